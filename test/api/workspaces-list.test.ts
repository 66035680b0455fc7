import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { workspaceAgentConnections, workspaceAgents, workspaceResources } from '../../db/schema/workspace-agents.ts';
import { workspaceBuildParameters, workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { createImportedVersion, createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let alice: TestUser;
let bob: TestUser;
let one: JsonValue;
let two: JsonValue;
/** Workspaces by name, see `beforeAll`. */
const ids: Record<string, string> = {};

async function insert(
  name: string,
  owner: TestUser,
  workspace: Parameters<typeof insertWorkspaceOf>[2] & { template?: JsonValue } = {},
): Promise<string> {
  const { template = one, ...options } = workspace;
  const id = await insertWorkspaceOf(api.db, template, { ownerId: owner.id, ...options });
  await api.db.update(workspaces).set({ name }).where(eq(workspaces.id, id));
  return (ids[name] = id);
}

async function insertAgent(
  workspaceId: string,
  agent: { name: string; connected?: number; disconnected?: boolean; parentId?: string; timeoutSeconds?: number },
): Promise<string> {
  const [build] = await api.db
    .select({ jobId: workspaceBuilds.jobId })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.workspaceId, workspaceId));
  const resourceId = randomUUID();
  const id = randomUUID();
  const createdAt = new Date(Date.now() - 600_000);
  const stamps = { createdAt, updatedAt: createdAt };
  await api.db
    .insert(workspaceResources)
    .values({ id: resourceId, createdAt, jobId: build!.jobId, transition: 'start', type: 'machine', name: agent.name });
  await api.db.insert(workspaceAgents).values({
    id,
    ...stamps,
    resourceId,
    name: agent.name,
    authTokenHash: Buffer.from(id),
    authTokenEnc: Buffer.alloc(0),
    authTokenEncKeyId: '',
    architecture: 'amd64',
    operatingSystem: 'linux',
    displayApps: [],
    connectionTimeoutSeconds: agent.timeoutSeconds ?? 0,
    parentId: agent.parentId ?? null,
  });
  const last = agent.connected === undefined ? null : new Date(Date.now() - agent.connected * 1000);
  await api.db.insert(workspaceAgentConnections).values({
    agentId: id,
    firstConnectedAt: last,
    lastConnectedAt: last,
    disconnectedAt: agent.disconnected === true ? new Date() : null,
  });
  return id;
}

beforeAll(async () => {
  api = await createTestApi();
  alice = await api.createUser({ username: 'alice' });
  bob = await api.createUser({ username: 'bob' });
  one = await createTemplate(api, { name: 'one' });
  two = await createTemplate(api, { name: 'two' });
  const old = await createImportedVersion(api, { body: { template_id: two.id } });
  await insert('zeta', alice, { transition: 'stop' });
  await insert('beta', alice);
  await insert('alpha', bob);
  await insert('dev-box', bob, { template: two, versionId: old, dormantAt: new Date(), transition: 'stop' });
  await insert('gone', alice, { transition: 'delete' });
  await insert('pool', { ...alice, id: 'c42fdf75-3097-471c-8c33-fb52454d81c0' });
  await api.db.update(workspaces).set({ favorite: true }).where(eq(workspaces.name, 'zeta'));
  await api.db.update(workspaces).set({ favorite: true }).where(eq(workspaces.name, 'alpha'));
  await api.db.update(workspaces).set({ deleted: true }).where(eq(workspaces.name, 'gone'));
  await api.db
    .update(workspaces)
    .set({ lastUsedAt: new Date('2026-01-02T00:00:00Z'), userAcl: { [alice.id]: ['use'] } })
    .where(eq(workspaces.name, 'alpha'));
  await api.db.update(workspaceBuilds).set({ hasAiTask: true }).where(eq(workspaceBuilds.workspaceId, ids['beta']!));
  await api.db
    .update(workspaceBuilds)
    .set({ hasExternalAgent: true })
    .where(eq(workspaceBuilds.workspaceId, ids['alpha']!));
  const [build] = await api.db
    .select({ id: workspaceBuilds.id })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.workspaceId, ids['beta']!));
  await api.db.insert(workspaceBuildParameters).values({ workspaceBuildId: build!.id, name: 'Region', value: 'EU' });
});
afterAll(() => api.close());

const list = (query: string, token = api.ownerToken) => api.request('GET', `/api/v2/workspaces${query}`, { token });
const named = async (q: string, token?: string): Promise<string[]> => {
  const { status, body } = await list(`?q=${encodeURIComponent(q)}`, token);
  if (status !== 200) return [String(status), ...(body.validations ?? []).map((each: { field: string }) => each.field)];
  expect(body.count).toBe(body.workspaces.length);
  return body.workspaces.map(({ name }: { name: string }) => name);
};

describe('the list of workspaces', () => {
  test('shows the caller’s favorites first, then running ones, by owner and name; others see no mark', async () => {
    expect(await named('')).toEqual(['beta', 'alpha', 'pool', 'zeta', 'dev-box']);
    expect(await named('', alice.token)).toEqual(['zeta', 'beta', 'alpha']);
    expect(await named('', bob.token)).toEqual(['alpha', 'dev-box']);
    const { body } = await list('', alice.token);
    const marks = body.workspaces.map(({ name, favorite }: { name: string; favorite: boolean }) => [name, favorite]);
    expect(marks).toEqual([
      ['zeta', true],
      ['beta', false],
      ['alpha', false],
    ]);
  });

  test('comes in pages whose count is always the total', async () => {
    const page = async (query: string) => {
      const { body } = await list(query);
      return [body.workspaces.map(({ name }: { name: string }) => name), body.count];
    };
    expect(await page('?limit=2')).toEqual([['beta', 'alpha'], 5]);
    expect(await page('?limit=2&offset=2')).toEqual([['pool', 'zeta'], 5]);
    expect(await page('?limit=2&offset=100')).toEqual([[], 5]);
    expect(await page('?limit=0')).toMatchObject([{ length: 5 }, 5]);
    for (const query of ['?limit=-1', '?offset=-1', '?limit=many']) expect((await list(query)).status).toBe(400);
  });

  test('hides nothing that may be read and shows nothing that may not', async () => {
    const stranger = await api.createUser();
    expect(await named('', stranger.token)).toEqual([]);
    expect(await named('owner:alice', stranger.token)).toEqual([]);
    const { headers } = await list('');
    expect(headers.get('cache-control')).toBe('no-store');
  });

  test.each([
    ['owner:alice', ['beta', 'zeta']],
    ['owner:me', []],
    ['owner:prebuilds', ['pool']],
    ['name:ET', ['beta', 'zeta']],
    ['ET', ['beta', 'zeta']],
    ['alice/et', ['beta', 'zeta']],
    ['bob/', ['alpha', 'dev-box']],
    ['owner:bob name:dev', ['dev-box']],
    ['name:%', []],
    ['name:_', []],
    ['template:two', ['dev-box']],
    ['template:tw', []],
    ['status:running', ['beta', 'alpha', 'pool']],
    ['status:stopped', ['zeta', 'dev-box']],
    ['status:failed', []],
    ['status:deleted', ['gone']],
    ['organization:default', ['beta', 'alpha', 'pool', 'zeta', 'dev-box']],
    ['organization:elsewhere', []],
    ['dormant:true', ['dev-box']],
    ['dormant:false', ['beta', 'alpha', 'pool', 'zeta', 'dev-box']],
    ['last_used_after:"2026-01-01T00:00:00Z"', ['alpha']],
    ['last_used_before:"2026-01-01T00:00:00Z"', ['beta', 'pool', 'zeta', 'dev-box']],
    ['outdated:true', ['dev-box']],
    ['outdated:f', ['beta', 'alpha', 'pool', 'zeta']],
    ['has-ai-task:1', ['beta']],
    ['has_external_agent:t', ['alpha']],
    ['shared:true', ['alpha']],
    ['shared_with_user:alice', ['alpha']],
    ['shared_with_group:everyone', []],
    ['param:region', ['beta']],
    ['param:region=eu', ['beta']],
    ['param:region=us', []],
    ['param:region=eu param:other', []],
    ['a:b:c', ['400', 'q']],
    ['foo:1', ['400', 'foo']],
    ['name:', ['400', 'q']],
    ['"open', ['400', 'q']],
    ['a/b/c', ['400', 'q']],
    ['status:perhaps', ['400', 'status']],
    ['status:running status:stopped', ['400', 'status']],
    ['dormant:maybe', ['400', 'dormant']],
    ['id:no-uuid', ['400', 'id']],
    ['param:region=', ['400', 'param']],
    ['param:region=a=b', ['400', 'param']],
    ['last_used_after:2026-01-01', ['400', 'last_used_after']],
  ])('answers %s', async (q, expected) => {
    expect(await named(q)).toEqual(expected);
  });

  test('finds by id, and by "me"', async () => {
    expect(await named(`id:${ids['zeta']},${ids['alpha']!.toUpperCase()}`)).toEqual(['alpha', 'zeta']);
    expect(await named('owner:me', bob.token)).toEqual(['alpha', 'dev-box']);
    expect(await named(`shared_with_user:${alice.id}`)).toEqual(['alpha']);
  });

  test('does not answer a NUL byte with an error of ours', async () => {
    expect((await list(`?q=${encodeURIComponent('name:a\0b')}`)).status).toBe(400);
  });

  test('asks the same number of statements for 1 and for 50 workspaces', async () => {
    for (let i = 0; i < 46; i += 1) await insert(`many-${i}`, alice);
    const count = async (limit: number) => {
      api.statements.length = 0;
      expect((await list(`?limit=${limit}`)).body.workspaces).toHaveLength(limit);
      return api.statements.length;
    };
    await count(1);
    expect(await count(50)).toBe(await count(1));
    await api.db.execute(sql`update workspaces set deleted = true where name like 'many-%'`);
  });
});

describe('the status in the list', () => {
  test('is the one of all ten that the build’s job and transition give', async () => {
    const id = await insert('changing', bob);
    const [build] = await api.db
      .select({ id: workspaceBuilds.id, jobId: workspaceBuilds.jobId })
      .from(workspaceBuilds)
      .where(eq(workspaceBuilds.workspaceId, id));
    const now = new Date();
    const jobs = {
      pending: { startedAt: null, canceledAt: null, completedAt: null, error: null },
      running: { startedAt: now, canceledAt: null, completedAt: null, error: null },
      canceling: { startedAt: now, canceledAt: now, completedAt: null, error: null },
      canceled: { startedAt: now, canceledAt: now, completedAt: now, error: null },
      failed: { startedAt: now, canceledAt: null, completedAt: now, error: 'x' },
      succeeded: { startedAt: now, canceledAt: null, completedAt: now, error: null },
    };
    const expected = {
      start: { running: 'starting', succeeded: 'running' },
      stop: { running: 'stopping', succeeded: 'stopped' },
      delete: { running: 'deleting', succeeded: 'deleted' },
    };
    for (const transition of ['start', 'stop', 'delete'] as const)
      for (const [status, columns] of Object.entries(jobs)) {
        await api.db.update(provisionerJobs).set(columns).where(eq(provisionerJobs.id, build!.jobId));
        await api.db.update(workspaceBuilds).set({ transition }).where(eq(workspaceBuilds.id, build!.id));
        const wanted = (expected[transition] as Record<string, string>)[status] ?? status;
        const { body } = await list(`?q=${encodeURIComponent(`id:${id}`)}`);
        expect([transition, status, body.workspaces[0].latest_build.status]).toEqual([transition, status, wanted]);
        // A successful delete is a deleted workspace; its row carries the flag, which this one has not.
        if (wanted !== 'deleted') expect(await named(`id:${id} status:${wanted}`)).toEqual(['changing']);
      }
  });
});

describe('the agents in the list', () => {
  test('are connected, connecting, timed out or disconnected; health leaves sub-agents out', async () => {
    const ok = await insert('agent-ok', bob);
    const parentId = await insertAgent(ok, { name: 'main', connected: 1 });
    await insertAgent(ok, { name: 'sub', connected: 600, parentId });
    const lost = await insert('agent-lost', bob);
    const lostAgent = await insertAgent(lost, { name: 'main', connected: 60 });
    await insertAgent(await insert('agent-left', bob), { name: 'main', connected: 1, disconnected: true });
    await insertAgent(await insert('agent-late', bob), { name: 'main', timeoutSeconds: 60 });
    await insertAgent(await insert('agent-soon', bob), { name: 'main' });
    expect(await named('has-agent:connected')).toEqual(['agent-ok']);
    expect(await named('has-agent:connecting')).toEqual(['agent-soon']);
    expect(await named('has-agent:timeout')).toEqual(['agent-late']);
    expect(await named('has-agent:disconnected')).toEqual(['agent-left', 'agent-lost', 'agent-ok']);
    expect(await named('has-agent:timeout,connecting')).toEqual(['agent-late', 'agent-soon']);
    expect(await named('healthy:true')).toEqual(['agent-ok']);
    expect(await named('healthy:false')).toEqual(['agent-late', 'agent-left', 'agent-lost']);
    const health = async (id: string) =>
      (await api.request('GET', `/api/v2/workspaces/${id}`, { token: api.ownerToken })).body.health;
    expect(await health(ok)).toEqual({ healthy: true, failing_agents: [] });
    expect(await health(lost)).toEqual({ healthy: false, failing_agents: [lostAgent] });
  });
});
