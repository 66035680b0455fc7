import { like, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { apiKeys } from '../../db/schema/users.ts';
import { parseState } from '../../terraform/state.ts';
import type { Answer, JsonValue, TestApi } from '../support/api.ts';
import { templateFiles } from '../support/builders.ts';
import { startApiStack } from '../support/stack.ts';
import { build, buildOver, createTemplate, createWorkspace } from '../support/workspaces.ts';

let api: TestApi;
let stop: () => Promise<void>;
let template: JsonValue;
/** Started, fresh for each test. */
let workspace: JsonValue;
let names = 0;
beforeAll(async () => {
  ({ api, stop } = await startApiStack());
  template = await createTemplate(api, 'basic');
});
afterAll(() => stop());
beforeEach(async () => {
  workspace = await createWorkspace(api, { name: `repaired-${(names += 1)}`, template_id: template.id });
  expect((await buildOver(api, workspace.latest_build.id)).job.error).toBeUndefined();
});

const ask = (method: string, path: string, body?: unknown): Promise<Answer> =>
  api.request(method, `/api/v2/workspaces/${workspace.id}/state${path}`, {
    token: api.ownerToken,
    ...(body !== undefined && { body }),
  });
const start = (): Promise<JsonValue> => build(api, workspace.id, { transition: 'start' });
const versions = async (): Promise<JsonValue[]> => (await ask('GET', '/versions')).body;
const current = async (): Promise<JsonValue> => (await versions())[0];
/** Id of a resource in the current state; undefined when it is not in there. */
async function idOf(address: string): Promise<unknown> {
  const { text } = await ask('GET', `/versions/${(await current()).version}`);
  return parseState(text)?.instances.find((instance) => instance.address === address)?.values['id'];
}

test('a resource that was forgotten is made again by the next start, and the version before it can be had back', async () => {
  const before = await current();
  expect(before).toMatchObject({ version: 1, source: 'build', build_number: 1, current: true });
  const home = await idOf('terraform_data.home');
  const machine = await idOf('terraform_data.machine[0]');
  const forgotten = await ask('POST', '/forget', { address: 'terraform_data.home' });
  expect([forgotten.status, forgotten.body]).toMatchObject([
    201,
    { version: 2, serial: before.serial + 1, lineage: before.lineage, forgotten: ['terraform_data.home'] },
  ]);
  expect(await idOf('terraform_data.home')).toBeUndefined();

  expect((await start()).job.error).toBeUndefined();
  const made = await current();
  expect(made).toMatchObject({ version: 3, source: 'build', build_number: 2, lineage: before.lineage });
  expect(made.serial).toBeGreaterThan(before.serial + 1);
  expect(await idOf('terraform_data.home')).toEqual(expect.any(String));
  expect(await idOf('terraform_data.home')).not.toBe(home);

  const restored = await ask('POST', '/versions/1/restore');
  expect([restored.status, restored.body]).toMatchObject([201, { version: 4, serial: before.serial, build_number: 2 }]);
  expect((await start()).job.error).toBeUndefined();
  expect(await current()).toMatchObject({ version: 5, source: 'build', build_number: 3 });
  expect([await idOf('terraform_data.home'), await idOf('terraform_data.machine[0]')]).toEqual([home, machine]);
  expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
});

test('a build never goes on from a damaged state: it fails with what to do, and that helps', async () => {
  const home = await idOf('terraform_data.home');
  expect((await start()).status).toBe('running');
  const damaged = await current();
  expect(damaged).toMatchObject({ version: 2, build_number: 2 });
  await api.db.execute(sql`update workspace_build_states set state = set_byte(state, 40, get_byte(state, 40) # 1)
    where workspace_id = ${workspace.id} and version = 2`);
  const failed = await start();
  const name = `owner/${workspace.name}`;
  expect(failed.status).toBe('failed');
  expect(failed.job.error).toBe(
    `State version 2 of ${name} (build 2, serial ${damaged.serial}) is damaged: it cannot be decrypted: ` +
      `version 1 (build 1, serial ${(await versions())[1].serial}) is intact: berth state restore ${name} 1`,
  );
  const { body: log } = await api.request('GET', `/api/v2/workspacebuilds/${failed.id}/logs`, {
    token: api.ownerToken,
  });
  // Terraform did not even begin.
  expect(log.map(({ stage }: { stage: string }) => stage)).not.toContain('Starting workspace');
  expect(await versions()).toHaveLength(2);

  expect((await ask('POST', '/versions/1/restore')).status).toBe(201);
  const retried = await api.request('POST', `/api/v2/workspacebuilds/${failed.id}/retry`, { token: api.ownerToken });
  expect(retried.status).toBe(201);
  expect((await buildOver(api, retried.body.id)).status).toBe('running');
  expect(await idOf('terraform_data.home')).toBe(home);
  expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
});

test('a refresh reads the world into the state and leaves agent, session, deadline and world as they are', async () => {
  const set = await api.request('PUT', `/api/v2/workspaces/${workspace.id}/ttl`, {
    token: api.ownerToken,
    body: { ttl_ms: 3_600_000 },
  });
  expect(set.status).toBeLessThan(300);
  const started = await start();
  const ofState = async () => {
    const { text } = await ask('GET', `/versions/${(await current()).version}`);
    const instances = parseState(text)!.instances.filter(({ mode }) => mode === 'managed');
    return Object.fromEntries(instances.map(({ address, values }) => [address, [values['id'], values['token']]]));
  };
  const before = await ofState();
  const sessions = () =>
    api.db.select({ id: apiKeys.id }).from(apiKeys).where(like(apiKeys.tokenName, '%_session_token'));
  const session = await sessions();
  const refresh = await api.request('POST', `/api/v2/workspaces/${workspace.id}/refresh`, { token: api.ownerToken });
  expect([refresh.status, refresh.body.refresh_only]).toEqual([201, true]);
  const over = await buildOver(api, refresh.body.id);
  expect(over.job.error).toBeUndefined();
  expect(over).toMatchObject({ status: 'running', deadline: started.deadline, refresh_only: true });
  expect(over.deadline).not.toBeNull();
  expect(await ofState()).toEqual(before);
  expect(await sessions()).toEqual(session);
  const names = ({ resources }: JsonValue) => resources.map(({ name }: JsonValue) => name);
  expect(names(over)).toEqual(names(started));
  // The row of an agent goes on as well: it knows nothing of the refresh.
  const agents = ({ resources }: JsonValue) =>
    resources.flatMap((resource: JsonValue) => resource.agents ?? []).map(({ id }: JsonValue) => id);
  expect(agents(over)).toHaveLength(1);
  expect(agents(over)).toEqual(agents(started));
});

test('a refresh of several agents is refused: they would lose their tokens', async () => {
  const agents = '\nresource "coder_agent" "second" {\n  os   = "linux"\n  arch = "amd64"\n}\n';
  const files = { 'main.tf': `${templateFiles('basic')['main.tf']}${agents}` };
  const twins = await createTemplate(api, 'twins', { files });
  const created = await createWorkspace(api, { name: 'twins', template_id: twins.id });
  await buildOver(api, created.latest_build.id);
  const refresh = await api.request('POST', `/api/v2/workspaces/${created.id}/refresh`, { token: api.ownerToken });
  const over = await buildOver(api, refresh.body.id);
  expect(over.job.error).toContain('several agents');
  expect((await build(api, created.id, { transition: 'start' })).status).toBe('running');
});
