import { eq } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  workspaceAgentDevcontainers,
  workspaceAgentMemoryResourceMonitors,
  workspaceAgents,
} from '../../db/schema/workspace-agents.ts';
import { type TestAgent, insertAgentOf, insertAppOf, insertScriptOf } from '../support/agent-rows.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
let owner: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
  owner = await api.createUser();
  const secrets = [
    { name: 'b-token', value: 'canary-env', env_name: 'API_TOKEN' },
    { name: 'a-file', value: 'canary-file', file_path: '~/.netrc' },
    { name: 'c-off', value: 'canary-off', env_name: 'OFF', enabled: false },
  ];
  for (const body of secrets)
    expect((await api.request('POST', '/api/v2/users/me/secrets', { token: owner.token, body })).status).toBe(201);
});
afterAll(() => api.close());

const newAgent = async (columns: Parameters<typeof insertAgentOf>[2] = {}, ownerId: string | undefined = owner.id) =>
  insertAgentOf(api, await insertWorkspaceOf(api.db, template, ownerId === '' ? {} : { ownerId }), columns);
const manifest = async (agent: TestAgent) => {
  const answer = await api.request('GET', '/api/v2/workspaceagents/me/manifest', agent);
  expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
  return answer.body;
};
const post = (agent: TestAgent, path: string, body: unknown) =>
  api.request('POST', `/api/v2/workspaceagents/me/${path}`, { token: agent.token, body });
const row = async (agent: TestAgent) =>
  (
    await api.db
      .select({
        state: workspaceAgents.lifecycleState,
        startedAt: workspaceAgents.startedAt,
        readyAt: workspaceAgents.readyAt,
        version: workspaceAgents.version,
        subsystems: workspaceAgents.subsystems,
        expandedDirectory: workspaceAgents.expandedDirectory,
      })
      .from(workspaceAgents)
      .where(eq(workspaceAgents.id, agent.id))
  )[0]!;

describe('the manifest', () => {
  test('has everything that the agent runs by', async () => {
    const agent = await newAgent({
      metadataKeys: ['cpu', 'memory'],
      columns: { environmentVariables: { PATH: '/a:/b' }, directory: '~/x', motdFile: '/etc/motd' },
    });
    const apps = await Promise.all([0, 1].map((order) => insertAppOf(api.db, agent.id, { displayOrder: order })));
    const ninetyDays = 90 * 86_400;
    for (const timeoutSeconds of [0, 60, ninetyDays]) await insertScriptOf(api.db, agent.id, { timeoutSeconds });
    const now = new Date();
    await api.db.insert(workspaceAgentDevcontainers).values({
      id: randomUUID(),
      workspaceAgentId: agent.id,
      createdAt: now,
      workspaceFolder: '/work',
      configPath: '',
      name: 'dev',
    });
    await api.db
      .insert(workspaceAgentMemoryResourceMonitors)
      .values({ agentId: agent.id, enabled: true, threshold: 80, createdAt: now, updatedAt: now });
    const body = await manifest(agent);
    expect(body).toMatchObject({
      agent_id: agent.id,
      agent_name: 'main',
      parent_id: '00000000-0000-0000-0000-000000000000',
      owner_id: owner.id,
      owner_name: owner.username,
      workspace_id: agent.workspaceId,
      build_number: 1,
      git_auth_configs: 0,
      environment_variables: { PATH: '/a:/b' },
      directory: '~/x',
      motd_file: '/etc/motd',
      disable_direct_connections: true,
      derp_force_websockets: false,
      derpmap: {},
      devcontainers: [{ name: 'dev', workspace_folder: '/work', config_path: '', subagent_id: null }],
      stats_interval_seconds: 30,
      resources_monitoring: {
        config: { num_datapoints: 20, collection_interval_seconds: 10 },
        memory: { enabled: true },
        volumes: [],
      },
    });
    expect(body.apps.map(({ id }: { id: string }) => id)).toEqual(apps);
    expect(body.metadata.map(({ key }: { key: string }) => key)).toEqual(['cpu', 'memory']);
    const timeouts = body.scripts
      .map(({ timeout }: { timeout: number }) => timeout)
      .toSorted((a: number, b: number) => a - b);
    expect(timeouts).toEqual([0, 60e9, ninetyDays * 1e9]);
    expect(Number.isSafeInteger(timeouts[2])).toBe(true);
  });

  test('brings the secrets of its owner, by name, enabled ones only', async () => {
    const { secrets } = await manifest(await newAgent());
    expect(secrets).toEqual([
      { env_name: '', file_path: '~/.netrc', value_base64: Buffer.from('canary-file').toString('base64') },
      { env_name: 'API_TOKEN', file_path: '', value_base64: Buffer.from('canary-env').toString('base64') },
    ]);
  });

  test('brings none to a pool, to an agent without user data, or for a suspended owner', async () => {
    expect((await manifest(await newAgent({}, ''))).secrets).toEqual([]);
    expect((await manifest(await newAgent({ columns: { apiKeyScope: 'no_user_data' } }))).secrets).toEqual([]);
    const suspended = await api.createUser({ status: 'suspended' });
    expect((await manifest(await newAgent({}, suspended.id))).secrets).toEqual([]);
  });

  test('is the only answer in which a secret stands', async () => {
    const agent = await newAgent();
    await manifest(agent);
    for (const path of [
      `/workspaces/${agent.workspaceId}`,
      '/workspaces',
      '/users/me/secrets',
      `/workspaceagents/${agent.id}`,
    ])
      expect((await api.request('GET', `/api/v2${path}`, owner)).text).not.toMatch(/canary|Y2FuYXJ5/);
    expect(api.logs.join('\n')).not.toMatch(/canary|Y2FuYXJ5/);
  });
});

describe('an agent’s startup', () => {
  test('tells its version and directory; its subsystems are sorted', async () => {
    const agent = await newAgent();
    const body = {
      version: 'v1.2.3',
      expanded_directory: '/home/me',
      subsystems: ['exectrace', 'envbox', 'exectrace'],
    };
    expect((await post(agent, 'startup', body)).status).toBe(200);
    expect(await row(agent)).toMatchObject({
      version: 'v1.2.3',
      expandedDirectory: '/home/me',
      subsystems: ['envbox', 'exectrace'],
    });
    for (const [field, bad] of [
      ['version', { ...body, version: '1.2.3' }],
      ['subsystems', { ...body, subsystems: ['turbo'] }],
    ] as const) {
      const answer = await post(agent, 'startup', bad);
      expect([answer.status, answer.body.validations[0].field]).toEqual([400, field]);
    }
  });

  test('goes from created to ready, and a repeat writes nothing', async () => {
    const agent = await newAgent();
    const at = (seconds: number) => new Date(api.clock.now.getTime() + seconds * 1_000);
    const report = (state: string, seconds: number) =>
      post(agent, 'report-lifecycle', { state, changed_at: at(seconds).toISOString() });
    expect((await report('starting', -10)).status).toBe(204);
    expect((await report('ready', -5)).status).toBe(204);
    expect(await row(agent)).toMatchObject({ state: 'ready', startedAt: at(-10), readyAt: at(-5) });
    const before = api.statements.length;
    for (let i = 0; i < 5; i += 1) await report('ready', -5);
    await report('starting', -10);
    expect(api.statements.slice(before).filter((text) => text.startsWith('update'))).toEqual([]);
    expect((await post(agent, 'report-lifecycle', { state: 'flying' })).status).toBe(400);
  });
});

test('a body of more than 1 MiB is refused', async () => {
  const agent = await newAgent();
  const body = { state: 'ready', changed_at: 'x'.repeat(1_048_576) };
  expect((await post(agent, 'report-lifecycle', body)).status).toBe(413);
});

test('an agent that reports all the time is slowed down', async () => {
  const limited = await createTestApi({ env: { CODER_API_RATE_LIMIT: '512' } });
  try {
    const own = await createTemplate(limited);
    const agent = await insertAgentOf(limited, await insertWorkspaceOf(limited.db, own, { ownerId: limited.owner.id }));
    const statuses: number[] = [];
    for (let i = 0; i < 101; i += 1)
      statuses.push((await limited.request('POST', '/api/v2/workspaceagents/me/report-stats', agent)).status);
    expect(statuses.slice(0, 100).every((status) => status === 200)).toBe(true);
    expect(statuses[100]).toBe(429);
  } finally {
    await limited.close();
  }
});
