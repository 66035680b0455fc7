import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { workspaceAgents, workspaceApps } from '../../db/schema/workspace-agents.ts';
import { templates } from '../../db/schema/templates.ts';
import { type TestAgent, insertAgentOf, insertRunningAgent, workspaceEvents } from '../support/agent-fixtures.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
let parent: TestAgent;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(async () => {
  parent = await insertRunningAgent(api, template, {
    instanceId: `i-${randomUUID()}`,
    apiKeyScope: 'no_user_data',
    troubleshootingUrl: 'https://help',
    environment: { SECRET: 'of the parent' },
  });
});

const path = '/api/v2/workspaceagents/me/sub-agents';
const create = (body: Record<string, unknown> = {}, token = parent.token) =>
  api.request('POST', path, {
    token,
    body: { name: 'dev', directory: '/work', architecture: 'arm64', operating_system: 'linux', ...body },
  });
const list = (token = parent.token) => api.request('GET', path, { token });
const remove = (id: string, token = parent.token) => api.request('DELETE', `${path}/${id}`, { token });
/** Any route of agents shows whether a token is taken. */
const admits = async (token: string) =>
  (await api.request('GET', '/api/v2/workspaceagents/me/resources-monitoring', { token })).status;
const rowOf = async (id: string) => {
  const [row] = await api.db
    .select({
      parentId: workspaceAgents.parentId,
      resourceId: workspaceAgents.resourceId,
      instanceId: workspaceAgents.authInstanceId,
      environment: workspaceAgents.environmentVariables,
      motdFile: workspaceAgents.motdFile,
      apiKeyScope: workspaceAgents.apiKeyScope,
      troubleshootingUrl: workspaceAgents.troubleshootingUrl,
      directory: workspaceAgents.directory,
      displayApps: workspaceAgents.displayApps,
      name: workspaceAgents.name,
      deleted: workspaceAgents.deleted,
    })
    .from(workspaceAgents)
    .where(eq(workspaceAgents.id, id));
  return row!;
};
const appsOf = (agentId: string) =>
  api.db
    .select({
      slug: workspaceApps.slug,
      sharing: workspaceApps.sharingLevel,
      health: workspaceApps.health,
      interval: workspaceApps.healthcheckInterval,
      threshold: workspaceApps.healthcheckThreshold,
    })
    .from(workspaceApps)
    .where(eq(workspaceApps.agentId, agentId))
    .orderBy(sql`substr(${workspaceApps.slug}, 10)`);
const agentsSeen = async () => {
  const { body } = await api.request('GET', `/api/v2/workspaces/${parent.workspaceId}`, { token: api.ownerToken });
  return body.latest_build.resources[0].agents.map((agent: { name: string }) => agent.name);
};

describe('A sub-agent', () => {
  test('takes over what its parent may, but neither its machine nor its environment', async () => {
    let answer: Awaited<ReturnType<typeof create>> | undefined;
    const events = await workspaceEvents(api, parent.workspaceId, async () => {
      answer = await create({ display_apps: ['vscode', 'vscode', 'ssh_helper'] });
    });
    const { agent, app_creation_errors: errors } = answer!.body;
    expect([answer!.status, errors, events]).toEqual([201, [], 1]);
    expect(await rowOf(agent.id)).toEqual({
      parentId: parent.id,
      resourceId: parent.resourceId,
      instanceId: null,
      environment: null,
      motdFile: '',
      apiKeyScope: 'no_user_data',
      troubleshootingUrl: 'https://help',
      directory: '/work',
      displayApps: ['vscode', 'ssh_helper'],
      name: 'dev',
      deleted: false,
    });
    expect(await admits(agent.auth_token)).toBe(200);
    expect((await list()).body).toEqual({ agents: [agent] });
    expect(await agentsSeen()).toEqual(['dev', 'main']);
  });

  test('has a name that no other agent of the build has, capitals apart', async () => {
    expect((await create({ name: 'Dev' })).status).toBe(201);
    const taken = await create({ name: 'dev' });
    expect([taken.status, taken.body.validations[0].field]).toEqual([409, 'name']);
    expect((await create({ name: 'MAIN' })).status).toBe(409);
    for (const name of ['a--b', 'a_b', '-a', 'a-', '', 'x'.repeat(65)])
      expect([name, (await create({ name })).status]).toEqual([name, 400]);
    // Names of other workspaces do not count.
    const other = await insertRunningAgent(api, template);
    expect((await create({ name: 'dev' }, other.token)).status).toBe(201);
  });

  test('is made once when ten requests ask for its name at once, through two parents', async () => {
    const second = await insertAgentOf(api, { workspaceId: parent.workspaceId, name: 'second' });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        create({ name: index % 2 === 0 ? 'one' : 'ONE' }, index < 5 ? parent.token : second.token),
      ),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, ...Array<number>(9).fill(409)]);
  });

  test('is neither seen nor admitted once it was deleted; its name is free', async () => {
    const { agent } = (await create()).body;
    expect(await admits(agent.auth_token)).toBe(200);
    expect(await workspaceEvents(api, parent.workspaceId, () => remove(agent.id))).toBe(1);
    // Kept in memory for a moment; the notification ends that.
    await expect.poll(() => admits(agent.auth_token), { timeout: 1_000 }).toBe(401);
    expect((await remove(agent.id)).status).toBe(204);
    expect(await workspaceEvents(api, parent.workspaceId, () => remove(agent.id))).toBe(0);
    expect((await list()).body).toEqual({ agents: [] });
    expect(await agentsSeen()).toEqual(['main']);
    expect((await api.request('GET', `/api/v2/workspaceagents/${agent.id}`, { token: api.ownerToken })).status).toBe(
      404,
    );
    expect((await rowOf(agent.id)).deleted).toBe(true);
    expect((await create()).status).toBe(201);
  });

  test('of somebody else can be neither changed nor deleted', async () => {
    const sibling = await insertAgentOf(api, { workspaceId: parent.workspaceId, name: 'second' });
    const { agent } = (await create({}, sibling.token)).body;
    for (const id of [agent.id, sibling.id, parent.id, randomUUID()]) {
      expect([id, (await create({ id, directory: '/theirs' })).status]).toEqual([id, 404]);
      expect([id, (await remove(id)).status]).toEqual([id, 404]);
    }
    expect(await rowOf(agent.id)).toMatchObject({ directory: '/work', deleted: false });
    expect((await remove('x')).status).toBe(400);
  });

  test('has no sub-agents itself', async () => {
    const { agent } = (await create()).body;
    expect((await create({ name: 'deeper' }, agent.auth_token)).status).toBe(403);
    expect((await list(agent.auth_token)).status).toBe(403);
    expect((await remove(agent.id, agent.auth_token)).status).toBe(403);
  });

  test('that the template declares keeps all but its display apps and a directory that is stated', async () => {
    const declared = await insertAgentOf(api, {
      workspaceId: parent.workspaceId,
      resourceId: parent.resourceId,
      parentId: parent.id,
      name: 'declared',
    });
    const answer = await create({
      id: declared.id,
      name: 'other',
      directory: '',
      display_apps: ['web_terminal'],
      apps: [{ slug: 'a' }],
    });
    expect([answer.status, answer.body]).toEqual([
      200,
      { agent: { id: declared.id, name: 'declared', auth_token: declared.token }, app_creation_errors: [] },
    ]);
    expect(await rowOf(declared.id)).toMatchObject({ directory: '', displayApps: ['web_terminal'], name: 'declared' });
    expect((await create({ id: declared.id, directory: '/new', display_apps: [] })).status).toBe(200);
    expect(await rowOf(declared.id)).toMatchObject({ directory: '/new', displayApps: [] });
    expect(await appsOf(declared.id)).toEqual([]);
    expect((await create({ id: declared.id, display_apps: ['emacs'] })).status).toBe(400);
  });

  test('is one of at most fifty', async () => {
    await api.db.execute(sql`insert into workspace_agents
      (id, created_at, updated_at, resource_id, name, auth_token_hash, auth_token_enc, architecture, operating_system, display_apps, parent_id)
      select gen_random_uuid(), now(), now(), ${parent.resourceId}, 'n' || n, decode(md5(random()::text), 'hex'), '', '', '', '{}', ${parent.id}
      from generate_series(1, 49) n`);
    expect((await create({ name: 'fiftieth' })).status).toBe(201);
    expect((await create({ name: 'one-more' })).status).toBe(400);
  });
});

describe('Apps of a sub-agent', () => {
  test('are made but for the bad ones, which are reported by their place', async () => {
    const answer = await create({
      apps: [
        { slug: 'editor', healthcheck: { url: 'http://localhost:1', interval: 0, threshold: 0 } },
        { slug: 'Not Good' },
        { slug: 'shell', display_name: 'Shell', share: null },
      ],
    });
    expect([answer.status, answer.body.app_creation_errors]).toEqual([
      201,
      [{ index: 1, field: 'slug', error: expect.any(String) }],
    ]);
    expect(await appsOf(answer.body.agent.id)).toEqual([
      {
        slug: expect.stringMatching(/^[0-9a-v]{8}-editor$/),
        sharing: 'owner',
        health: 'initializing',
        interval: 5,
        threshold: 3,
      },
      {
        slug: expect.stringMatching(/^[0-9a-v]{8}-shell$/),
        sharing: 'owner',
        health: 'disabled',
        interval: 0,
        threshold: 0,
      },
    ]);
  });

  test('are refused one by one for what is wrong with them', async () => {
    const apps: Record<string, unknown>[] = [
      { slug: 'a' },
      { slug: 'a' },
      {},
      { slug: 'b', url: 'x'.repeat(2_049) },
      { slug: 'c', share: 'world' },
      { slug: 'd', display_name: 'a\0b' },
      { slug: 'e', open_in: 'window' },
      { slug: 'f', healthcheck: { url: 'http://x', interval: 3_601 } },
    ];
    const { status, body } = await create({ apps });
    expect(status).toBe(201);
    expect(body.app_creation_errors.map((each: { index: number; field: string }) => [each.index, each.field])).toEqual([
      [1, 'slug'],
      [2, 'slug'],
      [3, 'url'],
      [4, 'share'],
      [5, 'display_name'],
      [6, 'open_in'],
      [7, 'healthcheck.interval'],
    ]);
    expect(await appsOf(body.agent.id)).toHaveLength(1);
    const many = Array.from({ length: 101 }, (_, index) => ({ slug: `a${index}` }));
    expect((await create({ name: 'many', apps: many })).status).toBe(400);
    expect((await create({ name: 'many', apps: many.slice(1) })).body.app_creation_errors).toEqual([]);
  });

  test('are shared no further than the template allows', async () => {
    const apps = [
      { slug: 'a', share: 'public' },
      { slug: 'b', share: 'organization' },
      { slug: 'c', share: 'owner' },
    ];
    const levels = async (name: string) =>
      (await appsOf((await create({ name, apps })).body.agent.id)).map(({ sharing }) => sharing);
    expect(await levels('one')).toEqual(['owner', 'owner', 'owner']);
    await api.db.update(templates).set({ maxPortSharingLevel: 'authenticated' }).where(eq(templates.id, template.id));
    expect(await levels('two')).toEqual(['authenticated', 'organization', 'owner']);
  });
});
