import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { agentTokenPlace } from '../../db/queries/provisioned-resources.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { freePort } from '../../toolchain/process.ts';
import { type AgentMachine, createAgentMachine } from '../support/agent-process.ts';
import type { JsonValue, TestApi, TestUser } from '../support/api.ts';
import { type OwnerDependence, pooledTemplate } from '../support/pooled-template.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { type TestStack, startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { buildOver, createTemplate, importVersion } from '../support/workspaces.ts';

let api: TestApi;
let stack: TestStack;
let served: ServedApi;
let stop: () => Promise<void>;
let bob: TestUser;
const machines: AgentMachine[] = [];
beforeAll(async () => {
  const port = await freePort();
  // An interval that no test lives through: whatever happens, a kick has brought it.
  const env = { CODER_ACCESS_URL: `http://127.0.0.1:${port}` };
  ({ api, stack, stop } = await startApiStack({ env, reconcileEveryMs: 3_600_000 }));
  served = await serveApi(api, { port });
  bob = await api.createUser({ username: 'bob' });
});
afterAll(async () => {
  await served.close();
  await stop();
});
afterEach(async () => {
  for (const machine of machines.splice(0)) machine.remove();
  // What waits in pools would be built in the next test's time.
  await api.db.execute(sql`update template_version_presets set desired_instances = null`);
});

interface Prebuild {
  readonly id: string;
  readonly created_at: string;
  readonly status: string;
  readonly version_id: string;
}
const prebuilds = async (templateId: string): Promise<Prebuild[]> =>
  api.db.execute<{ id: string; created_at: string; status: string; version_id: string }>(sql`
    select w.id, w.created_at, j.job_status as status, b.template_version_id as version_id
    from workspaces w join workspace_builds b on b.id = w.latest_build_id join provisioner_jobs j on j.id = b.job_id
    where w.template_id = ${templateId} and w.owner_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid and not w.deleted
      and b.transition = 'start' order by w.created_at`);
const agentRows = async (workspaceId: string) =>
  api.db.execute<{ id: string; enc: Buffer; key: string; state: string; number: number }>(sql`
    select a.id, a.auth_token_enc as enc, a.auth_token_enc_key_id as key, a.lifecycle_state as state, b.build_number as number
    from workspace_agents a join workspace_resources r on r.id = a.resource_id join workspace_builds b on b.job_id = r.job_id
    where b.workspace_id = ${workspaceId} and not a.deleted order by b.build_number`);
const tokenOf = async (workspaceId: string): Promise<string> => {
  const row = (await agentRows(workspaceId)).at(-1)!;
  return api.deps.cipher.decrypt(agentTokenPlace(row.id), row.key, Buffer.from(row.enc)).toString();
};
const stateOf = async (workspaceId: string) => (await agentRows(workspaceId)).at(-1)!.state;

let templates = 0;
/** A prebuild whose machine has started its agent, and that is ready. */
async function readyPrebuild(dependence: OwnerDependence) {
  const template = await createTemplate(api, `pool-${(templates += 1)}`, {
    files: pooledTemplate({ instances: 1, dependence }),
  });
  const { id } = await waitFor('the prebuild', async () =>
    (await prebuilds(template.id)).find(({ status }) => status === 'succeeded'),
  );
  const token = await tokenOf(id);
  const machine = createAgentMachine();
  machines.push(machine);
  await machine.start({ url: served.url, token });
  await waitFor('its agent', async () => (await stateOf(id)) === 'ready');
  return { template, id, token, machine };
}
const claim = async (template: JsonValue, name: string): Promise<JsonValue> => {
  const answer = await api.request('POST', '/api/v2/users/me/workspaces', {
    token: bob.token,
    body: { name, template_id: template.id },
  });
  expect(answer.text && answer.status).toBe(201);
  return answer.body;
};

describe('a claim of a real prebuild', () => {
  test.each([
    ['none', true],
    ['updated', false],
  ] as const)(
    'whose infrastructure depends on its owner: %s, gives the agent to its new owner, once, in the same process',
    async (dependence, handedOver) => {
      const { template, id, token, machine } = await readyPrebuild(dependence);
      const { pid } = machine;
      expect(machine.lines('owners')).toEqual(['prebuilds prebuilds']);
      const claimed = await claim(template, `claimed-${dependence}`);
      expect(claimed).toMatchObject({ id, owner_name: 'bob' });
      await waitFor('the new owner’s script', async () => machine.lines('owners').length > 1);
      const build = await buildOver(api, claimed.latest_build.id);
      expect(build.job.error ?? '').toBe('');
      await waitFor('the agent to be ready for him', async () => (await stateOf(id)) === 'ready');
      const [row] = await api.db.execute(sql`
        select handed_over, claim_drift, resource_replacements from workspace_builds where id = ${claimed.latest_build.id}`);
      expect(row).toEqual({
        handed_over: handedOver,
        claim_drift: handedOver ? [] : null,
        resource_replacements: null,
      });
      // Not a second time, whatever came after: Terraform’s end, a new connection.
      await machine.end('SIGKILL');
      await machine.start({ url: served.url, token });
      await waitFor('the restarted agent’s script', async () => machine.lines('owners').length > 2);
      expect(machine.lines('owners')).toEqual(['prebuilds prebuilds', 'bob bob', 'bob bob']);
      expect(await tokenOf(id)).toBe(token);
      expect(pid).toBeDefined();
      const { body: manifest } = await api.request('GET', '/api/v2/workspaceagents/me/manifest', { token });
      expect(manifest).toMatchObject({ owner_name: 'bob', workspace_name: `claimed-${dependence}` });
      // His workspace shows the one agent, below the claim’s build.
      const { body } = await api.request('GET', `/api/v2/workspaces/${id}`, { token: bob.token });
      const agents = body.latest_build.resources.flatMap((resource: JsonValue) => resource.agents ?? []);
      expect(agents).toHaveLength(1);
      expect(agents[0].environment_variables).toMatchObject({ AUTHOR: 'bob' });
    },
  );

  test('runs the agent on in its process from the pool to its owner', async () => {
    const { template, machine } = await readyPrebuild('none');
    const { pid } = machine;
    await claim(template, 'same-process');
    await waitFor('the new owner’s script', async () => machine.lines('owners').length > 1);
    expect(machine.pid).toBe(pid);
    expect(() => process.kill(pid!, 0)).not.toThrow();
  });

  test('that replaces a resource says so: in the log, in the build, to those who keep the template', async () => {
    const admin = await api.createUser({ username: 'keeper', roles: ['template-admin'] });
    const { template, id } = await readyPrebuild('replaced');
    const claimed = await claim(template, 'replaced');
    const build = await buildOver(api, claimed.latest_build.id);
    expect(build.job.status).toBe('succeeded');
    const [row] = await api.db.execute(sql`
      select handed_over, resource_replacements from workspace_builds where id = ${build.id}`);
    expect(row).toEqual({
      handed_over: false,
      resource_replacements: { 'terraform_data.named': ['triggers_replace'] },
    });
    const { body: lines } = await api.request('GET', `/api/v2/workspacebuilds/${build.id}/logs`, { token: bob.token });
    const warnings = lines.filter((line: JsonValue) => line.log_level === 'warn').map((line: JsonValue) => line.output);
    expect(warnings.join('\n')).toContain('terraform_data.named must be replaced');
    expect(warnings.join('\n')).toContain('triggers_replace');
    const told = await api.db.execute(sql`
      select payload -> 'labels' ->> 'claimant' as claimant, payload -> 'data' as data from notification_messages
      where user_id = ${admin.id} and ${id}::uuid = any(targets)`);
    expect(told).toEqual([{ claimant: 'bob', data: { replacements: { 'terraform_data.named': 'triggers_replace' } } }]);
  });
});

describe('a pool', () => {
  test('is filled again as soon as one of its prebuilds is claimed', async () => {
    const { template, id } = await readyPrebuild('none');
    const claimed = await claim(template, 'first');
    const at = Date.now();
    const next = await waitFor('its replacement', async () =>
      (await prebuilds(template.id)).find((prebuild) => prebuild.id !== id),
    );
    expect(new Date(next.created_at).getTime() - at).toBeLessThan(2_000);
    await buildOver(api, claimed.latest_build.id);
  });

  test('follows its template to the new version at once', async () => {
    const template = await createTemplate(api, 'promoted', { files: pooledTemplate({ instances: 2 }) });
    await waitFor('the pool', async () => (await prebuilds(template.id)).length === 2);
    const version = await importVersion(api, pooledTemplate({ instances: 1 }), { templateId: template.id });
    const at = Date.now();
    const promoted = await api.request('PATCH', `/api/v2/templates/${template.id}/versions`, {
      token: api.ownerToken,
      body: { id: version.id },
    });
    expect(promoted.status).toBe(200);
    const next = await waitFor('a prebuild of the new version', async () =>
      (await prebuilds(template.id)).find((prebuild) => prebuild.version_id === version.id),
    );
    expect(new Date(next.created_at).getTime() - at).toBeLessThan(2_000);
    await waitFor('the old ones to go', async () =>
      (await prebuilds(template.id)).every((prebuild) => prebuild.version_id === version.id),
    );
  });

  test('rests while it is paused, and gives away what it has', async () => {
    const { template, id } = await readyPrebuild('none');
    const pause = (paused: boolean) =>
      api.request('PUT', '/api/v2/prebuilds/settings', {
        token: api.ownerToken,
        body: { reconciliation_paused: paused },
      });
    await pause(true);
    // Counted before the claim, whose kick may come before its answer.
    const cycles = await stack.client.workflow.count("WorkflowType = 'reconcilePrebuilds'");
    expect((await claim(template, 'while-paused')).id).toBe(id);
    await waitFor('a cycle that does nothing', async () => {
      const now = await stack.client.workflow.count("WorkflowType = 'reconcilePrebuilds'");
      return now.count > cycles.count;
    });
    expect(await prebuilds(template.id)).toEqual([]);
    await pause(false);
    await waitFor('the refill', async () => (await prebuilds(template.id)).length === 1);
  });
});
