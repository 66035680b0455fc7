import { and, eq, like } from 'drizzle-orm';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { taskQueueOf } from '../../commands/task-queue.ts';
import { upsertDaemon } from '../../db/queries/provisioner-daemons.ts';
import { apiKeys } from '../../db/schema/users.ts';
import { workspaceAgents, workspaceResources } from '../../db/schema/workspace-agents.ts';
import { workspaceBuildStates } from '../../db/schema/workspaces.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { templateFiles } from '../support/builders.ts';
import { type TestStack, startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { build, buildOver, createWorkspace, importVersion } from '../support/workspaces.ts';

let api: TestApi;
let stack: TestStack;
let stop: () => Promise<void>;
let template: JsonValue;
let name: string;
let names = 0;
const directory = mkdtempSync(join(tmpdir(), 'berth-lab-'));
const ledger = join(directory, 'ledger');

beforeAll(async () => {
  ({ api, stack, stop } = await startApiStack());
  const version = await importVersion(api, templateFiles('lab'), { variables: [{ name: 'ledger', value: ledger }] });
  expect(version.job.error).toBeUndefined();
  const body = { name: 'lab', template_version_id: version.id };
  template = (await ask('POST', '/organizations/default/templates', body)).body;
});
afterAll(async () => {
  await stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  name = `lab-${(names += 1)}`;
});

const ask = (method: string, path: string, body?: unknown) =>
  api.request(method, `/api/v2${path}`, { token: api.ownerToken, ...(body !== undefined && { body }) });
const acting = (act: string) => ({ rich_parameter_values: [{ name: 'act', value: act }] });
const create = (act = 'plain') => createWorkspace(api, { name, template_id: template.id, ...acting(act) });
/** Creates a workspace and waits for its first build. */
const first = async (act = 'plain') => buildOver(api, (await create(act)).latest_build.id);
/** What the template's own provisioners really did in this workspace. */
const effects = (): string[] => {
  try {
    return readFileSync(`${ledger}.${name}`, 'utf8').trim().split('\n');
  } catch {
    return [];
  }
};
interface StateResource {
  readonly type: string;
  readonly name: string;
  readonly instances: readonly { readonly status?: string; readonly attributes: JsonValue }[];
}
const stateOf = async (buildId: string): Promise<StateResource[]> => {
  const { text } = await ask('GET', `/workspacebuilds/${buildId}/state`);
  if (text === '') return [];
  const resources: (StateResource & { mode: string })[] = JSON.parse(text).resources;
  return resources.filter(({ mode, instances }) => mode === 'managed' && instances.length > 0);
};
const namesIn = (state: readonly StateResource[]) => state.map((resource) => resource.name).toSorted();
const attribute = (state: readonly StateResource[], resource: string) =>
  state.find((each) => each.name === resource)!.instances[0]!.attributes;
const logOf = async (buildId: string) => (await ask('GET', `/workspacebuilds/${buildId}/logs`)).body;
/** Processes that work in the provisioner's directories. */
const leftProcesses = () =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(stack.provisioner.workRoot);
    } catch {
      return false;
    }
  });

describe('a build that fails', () => {
  test('in the middle of an apply keeps what was made, shows no resources, and a delete removes it', async () => {
    const failed = await first('fail');
    expect(failed).toMatchObject({ status: 'failed', resources: [] });
    expect(failed.job.error).toMatch(/local-exec.*terraform_data\.second/s);
    expect(effects()).toEqual(['create first', 'begin second']);
    const state = await stateOf(failed.id);
    expect(namesIn(state)).toEqual(['first', 'main', 'second', 'secrets', 'volume']);
    expect(state.find((each) => each.name === 'second')!.instances[0]!.status).toBe('tainted');
    const rows = await api.db
      .select({ id: workspaceResources.id })
      .from(workspaceResources)
      .where(eq(workspaceResources.jobId, failed.job.id));
    expect(rows).toEqual([]);
    const log = await logOf(failed.id);
    expect(log.filter((row: JsonValue) => row.log_level === 'error').length).toBeGreaterThanOrEqual(2);
    expect(JSON.stringify(log)).toContain('the second one is refused');
    const timings = (await ask('GET', `/workspacebuilds/${failed.id}/timings`)).body.provisioner_timings;
    expect(timings.map(({ resource }: JsonValue) => resource)).toContain('terraform_data.second[0]');

    const deleted = await build(api, failed.workspace_id, { transition: 'delete' });
    expect(deleted.status).toBe('deleted');
    expect(effects()).toContain('destroy first');
    expect(await stateOf(deleted.id)).toEqual([]);
  });

  test('in its completion leaves no row of a success and keeps the state', async () => {
    const failed = await first('twins');
    expect(failed).toMatchObject({ status: 'failed', resources: [] });
    expect(failed.job.error).toMatch(/twin/);
    expect(namesIn(await stateOf(failed.id))).toContain('twin');
    const agents = await api.db
      .select({ id: workspaceAgents.id })
      .from(workspaceAgents)
      .innerJoin(workspaceResources, eq(workspaceResources.id, workspaceAgents.resourceId))
      .where(eq(workspaceResources.jobId, failed.job.id));
    expect(agents).toEqual([]);
    const next = await build(api, failed.workspace_id, { transition: 'start', ...acting('plain') });
    expect(next.status).toBe('running');
    expect(effects()).toEqual(['create first', 'begin second', 'create second']);
  });

  test('before anything was made can be deleted without Terraform', async () => {
    const terraform = stack.provisioner.terraform as { path: string };
    const { path } = terraform;
    terraform.path = join(directory, 'no-such-binary');
    try {
      const failed = await first();
      expect(failed.status).toBe('failed');
      expect(failed.job.error).toContain('could not be started');
      const deleted = await build(api, failed.workspace_id, { transition: 'delete' });
      expect(deleted.job.error).toBeUndefined();
      expect(deleted.status).toBe('deleted');
      expect(JSON.stringify(await logOf(deleted.id))).toContain('nothing to destroy');
    } finally {
      terraform.path = path;
    }
  });
});

describe('a build that is canceled', () => {
  test('in the middle of an apply ends soon, with its state and without a process, and the next one works', async () => {
    const workspace = await create('300');
    const { id } = workspace.latest_build;
    await waitFor('the second resource', async () => effects().includes('begin second'));
    const begin = performance.now();
    expect((await ask('PATCH', `/workspacebuilds/${id}/cancel`)).status).toBe(200);
    expect((await ask('GET', `/workspacebuilds/${id}`)).body.status).toBe('canceling');
    const over = await buildOver(api, id);
    expect(performance.now() - begin).toBeLessThan(10_000);
    expect(over).toMatchObject({ status: 'canceled', resources: [] });
    expect(over.job).not.toHaveProperty('error');
    const state = await stateOf(id);
    expect(state.find((each) => each.name === 'second')!.instances[0]!.status).toBe('tainted');
    await waitFor('the end of all its processes', async () => leftProcesses().length === 0, 5_000);
    const directories = async () => readdirSync(stack.provisioner.workRoot);
    await waitFor('its directory to be gone', async () => !(await directories()).includes(over.job.id), 5_000);

    const next = await build(api, workspace.id, { transition: 'start', ...acting('plain') });
    expect(next.status).toBe('running');
    expect(effects().filter((effect) => effect === 'create first')).toHaveLength(1);
    expect(effects().at(-1)).toBe('create second');
  });

  test('is stopped by its row alone when Temporal loses the call', async () => {
    const workspace = await create('300');
    const { id } = workspace.latest_build;
    await waitFor('the second resource', async () => effects().includes('begin second'));
    api.temporal.reachable = false;
    try {
      expect((await ask('PATCH', `/workspacebuilds/${id}/cancel`)).status).toBe(200);
    } finally {
      api.temporal.reachable = true;
    }
    const begin = performance.now();
    expect((await buildOver(api, id)).status).toBe('canceled');
    expect(performance.now() - begin).toBeLessThan(10_000);
  });
});

describe('the state', () => {
  test('is stored while the apply goes on, and is what was applied in the end', async () => {
    const workspace = await create('4');
    const { id } = workspace.latest_build;
    await waitFor('a state with the first resource', async () => namesIn(await stateOf(id)).includes('first'));
    expect((await ask('GET', `/workspacebuilds/${id}`)).body.status).toBe('starting');
    const [row] = await api.db
      .select({ serial: workspaceBuildStates.serial })
      .from(workspaceBuildStates)
      .where(eq(workspaceBuildStates.workspaceBuildId, id));
    expect(row!.serial).toBeGreaterThanOrEqual(1);
    const over = await buildOver(api, id);
    expect(over.status).toBe('running');
    expect(namesIn(await stateOf(id))).toEqual(['first', 'main', 'second', 'secrets', 'volume']);
  });

  test('keeps a volume over stop and start, while the agent gets a new token and the session ends', async () => {
    const started = await first();
    const state = await stateOf(started.id);
    const volume = attribute(state, 'volume').id;
    const { agent_token: agent, session_token: session } = attribute(state, 'secrets').input.value;
    const whoami = (token: string) => api.request('GET', '/api/v2/users/me', { token });
    const sessionKeys = () =>
      api.db
        .select({ id: apiKeys.id })
        .from(apiKeys)
        .where(and(eq(apiKeys.userId, api.owner.id), like(apiKeys.tokenName, `%${started.workspace_id}%`)));
    expect((await whoami(session)).body.id).toBe(api.owner.id);
    expect(await sessionKeys()).toHaveLength(1);

    const stopped = await build(api, started.workspace_id, { transition: 'stop' });
    expect(stopped.resources.map((resource: JsonValue) => resource.name)).toEqual(['volume']);
    expect((await whoami(session)).status).toBe(401);
    expect(await sessionKeys()).toEqual([]);

    const again = await build(api, started.workspace_id, { transition: 'start' });
    const next = await stateOf(again.id);
    expect(attribute(next, 'volume').id).toBe(volume);
    const renewed = attribute(next, 'secrets').input.value;
    expect(renewed.agent_token).not.toBe(agent);
    expect((await whoami(renewed.session_token)).status).toBe(200);
    const [row] = await api.db
      .select({ hash: workspaceAgents.authTokenHash })
      .from(workspaceAgents)
      .where(eq(workspaceAgents.id, agentIds(again)[0]!));
    expect(row!.hash.toString('hex')).toBe(createHash('sha256').update(renewed.agent_token).digest('hex'));
  });

  test('is forgotten by an orphan delete: nothing is destroyed', async () => {
    const started = await first();
    const id = crypto.randomUUID();
    const tags = { scope: 'organization', owner: '' };
    await upsertDaemon(api.db, { id, name: 'lab', tags, version: 't', taskQueues: [taskQueueOf(tags)] });
    const deleted = await build(api, started.workspace_id, { transition: 'delete', orphan: true });
    expect(deleted.status).toBe('deleted');
    expect(effects()).toEqual(['create first', 'begin second', 'create second']);
  });

  test('that an operator emptied is followed by the one that is made next', async () => {
    const started = await first();
    const again = await build(api, started.workspace_id, { transition: 'start', state: '' });
    expect(again.status).toBe('running');
    expect(namesIn(await stateOf(again.id))).toContain('second');
    const deleted = await build(api, started.workspace_id, { transition: 'delete' });
    expect(deleted.status).toBe('deleted');
    expect(effects().filter((effect) => effect === 'destroy second')).toHaveLength(1);
  });
});

const agentIds = (of: JsonValue): string[] =>
  of.resources.flatMap((resource: JsonValue) => (resource.agents ?? []).map((agent: JsonValue) => agent.id));

describe('secrets', () => {
  test('appear neither in the log nor in the history nor on a command line', async () => {
    await ask('GET', '/users/me/gitsshkey');
    const seen = new Set<string>();
    let watching = true;
    const watch = (async () => {
      for (; watching; await delay(20))
        for (const pid of readdirSync('/proc'))
          try {
            if (/^\d+$/.test(pid)) seen.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
          } catch {
            // Gone already.
          }
    })();
    const started = await first('print');
    watching = false;
    await watch;
    expect(started.status).toBe('running');
    const secrets = attribute(await stateOf(started.id), 'secrets').input.value;
    const needles = [
      'canary-of-a-variable',
      secrets.agent_token,
      secrets.session_token,
      ...secrets.ssh_key.split('\n').filter((line: string) => line !== ''),
    ];
    expect(needles.length).toBeGreaterThan(5);
    const { text: log } = await ask('GET', `/workspacebuilds/${started.id}/logs`);
    for (const word of ['variable', 'agent', 'session', 'key']) expect(log).toContain(`${word} [redacted]`);
    const history = await stack.client.workflow.getHandle(`build/${started.id}`).fetchHistory();
    const payloads = JSON.stringify(history, (_key, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString() : value,
    );
    expect(payloads).toContain(started.id);
    expect(history.events!.length).toBeLessThanOrEqual(17);
    const commands = [...seen].join('\n');
    expect(commands).toContain('terraform apply');
    for (const needle of needles) {
      expect(log).not.toContain(needle);
      expect(payloads).not.toContain(needle);
      expect(commands).not.toContain(needle);
    }
  });
});

describe('the environment of Terraform', () => {
  test('is exactly the contract of the provider and what its run needs', async () => {
    const started = await first('environment');
    expect(started.status).toBe('running');
    const lines = readFileSync(`${ledger}.${name}.environment`, 'utf8').split('\n');
    const environment = new Map(
      lines
        .filter((line) => line.includes('='))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    const ours = [...environment.keys()].filter((key) => /^(CODER|TF|CHECKPOINT|BERTH|TEMPORAL)_/.test(key)).toSorted();
    const parameter = createHash('sha256').update('act').digest('hex');
    expect(ours).toEqual([
      'CHECKPOINT_DISABLE',
      'CODER_AGENT_SCRIPT_darwin_amd64',
      'CODER_AGENT_SCRIPT_darwin_arm64',
      'CODER_AGENT_SCRIPT_linux_amd64',
      'CODER_AGENT_SCRIPT_linux_arm64',
      'CODER_AGENT_SCRIPT_linux_armv7',
      'CODER_AGENT_SCRIPT_windows_amd64',
      'CODER_AGENT_SCRIPT_windows_arm64',
      'CODER_AGENT_URL',
      `CODER_PARAMETER_${parameter}`,
      'CODER_WORKSPACE_BUILD_ID',
      'CODER_WORKSPACE_ID',
      'CODER_WORKSPACE_NAME',
      'CODER_WORKSPACE_OWNER',
      'CODER_WORKSPACE_OWNER_EMAIL',
      'CODER_WORKSPACE_OWNER_GROUPS',
      'CODER_WORKSPACE_OWNER_ID',
      'CODER_WORKSPACE_OWNER_LOGIN_TYPE',
      'CODER_WORKSPACE_OWNER_NAME',
      'CODER_WORKSPACE_OWNER_OIDC_ACCESS_TOKEN',
      'CODER_WORKSPACE_OWNER_RBAC_ROLES',
      'CODER_WORKSPACE_OWNER_SESSION_TOKEN',
      'CODER_WORKSPACE_OWNER_SSH_PRIVATE_KEY',
      'CODER_WORKSPACE_OWNER_SSH_PUBLIC_KEY',
      'CODER_WORKSPACE_TEMPLATE_ID',
      'CODER_WORKSPACE_TEMPLATE_NAME',
      'CODER_WORKSPACE_TEMPLATE_VERSION',
      'CODER_WORKSPACE_TRANSITION',
      'TF_CLI_CONFIG_FILE',
      'TF_IN_AUTOMATION',
      'TF_VAR_canary',
      'TF_VAR_ledger',
    ]);
    expect(Object.fromEntries(environment)).toMatchObject({
      CODER_WORKSPACE_TRANSITION: 'start',
      CODER_WORKSPACE_BUILD_ID: started.id,
      CODER_WORKSPACE_ID: started.workspace_id,
      CODER_WORKSPACE_NAME: name,
      CODER_WORKSPACE_OWNER: 'owner',
      CODER_WORKSPACE_OWNER_GROUPS: '["Everyone"]',
      CODER_WORKSPACE_TEMPLATE_ID: template.id,
      CODER_WORKSPACE_TEMPLATE_NAME: 'lab',
      [`CODER_PARAMETER_${parameter}`]: 'environment',
      TF_IN_AUTOMATION: '1',
    });
    expect(JSON.parse(environment.get('CODER_WORKSPACE_OWNER_RBAC_ROLES')!)).toContainEqual({
      name: 'owner',
      org_id: '',
    });
  });
});

test('a template without any resource builds and ends', async () => {
  const version = await importVersion(api, { 'main.tf': 'locals { nothing = true }\n' });
  expect(version.job.error).toBeUndefined();
  const body = { name: 'empty', template_version_id: version.id };
  const empty = (await ask('POST', '/organizations/default/templates', body)).body;
  const workspace = await createWorkspace(api, { name, template_id: empty.id });
  expect(await buildOver(api, workspace.latest_build.id)).toMatchObject({ status: 'running', resources: [] });
  expect((await build(api, workspace.id, { transition: 'stop' })).status).toBe('stopped');
  expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
});
