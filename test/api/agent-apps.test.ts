import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createRecordAiUse } from '../../commands/ai-seats.ts';
import { createReportAppHealth } from '../../commands/report-app-health.ts';
import { createReportAppStatus } from '../../commands/report-app-status.ts';
import { findAgentByToken } from '../../db/queries/agent-tokens.ts';
import { hashAgentToken } from '../../db/queries/provisioned-resources.ts';
import { aiSeatState, workspaceAppStatuses } from '../../db/schema/agent-reports.ts';
import { workspaceApps } from '../../db/schema/workspace-agents.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type NewTestAgent, type TestAgent, insertRunningAgent, workspaceEvents } from '../support/agent-fixtures.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate, insertBuildOf } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
let agent: TestAgent;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());

const running = (options: Omit<NewTestAgent, 'workspaceId'> = {}) =>
  insertRunningAgent(api, template, {
    apps: [
      { slug: 'web', healthcheckUrl: 'http://localhost:1' },
      { slug: 'api', healthcheckUrl: 'http://localhost:2' },
      { slug: 'plain' },
    ],
    ...options,
  });
beforeEach(async () => {
  agent = await running();
});

const workspaceOf = async (id: string) =>
  (await api.request('GET', `/api/v2/workspaces/${id}`, { token: api.ownerToken })).body;
const appOf = async (of: TestAgent, slug: string) =>
  (await workspaceOf(of.workspaceId)).latest_build.resources[0].agents[0].apps.find(
    (app: { slug: string }) => app.slug === slug,
  );

describe('App health', () => {
  const report = (healths: Record<string, string>, key = 'Healths', token = agent.token) =>
    api.request('POST', '/api/v2/workspaceagents/me/app-health', { token, body: { [key]: healths } });
  const healths = async () =>
    Object.fromEntries(
      (
        await api.db
          .select({ slug: workspaceApps.slug, health: workspaceApps.health })
          .from(workspaceApps)
          .where(eq(workspaceApps.agentId, agent.id))
      ).map(({ slug, health }) => [slug, health]),
    );

  test('goes from initializing to healthy and unhealthy, in either spelling, and is seen in the workspace', async () => {
    expect((await report({ [agent.apps['web']!]: 'healthy' })).status).toBe(200);
    expect((await report({ [agent.apps['api']!.toUpperCase()]: 'unhealthy' }, 'healths')).status).toBe(200);
    expect(await healths()).toEqual({ web: 'healthy', api: 'unhealthy', plain: 'disabled' });
    expect((await appOf(agent, 'web')).health).toBe('healthy');
  });

  test('with one bad entry changes nothing at all', async () => {
    const other = await running();
    const good = { [agent.apps['web']!]: 'healthy' };
    const cases: [Record<string, string>, number][] = [
      [{ ...good, [randomUUID()]: 'healthy' }, 404],
      [{ ...good, [other.apps['web']!]: 'healthy' }, 404],
      [{ ...good, [agent.apps['plain']!]: 'healthy' }, 404],
      [{ ...good, [agent.apps['api']!]: 'fine' }, 400],
      [{ ...good, nonsense: 'healthy' }, 400],
      [{}, 400],
    ];
    for (const [body, status] of cases) expect([body, (await report(body)).status]).toEqual([body, status]);
    expect(await healths()).toEqual({ web: 'initializing', api: 'initializing', plain: 'disabled' });
    const [foreign] = await api.db
      .select({ health: workspaceApps.health })
      .from(workspaceApps)
      .where(eq(workspaceApps.id, other.apps['web']!));
    expect(foreign!.health).toBe('initializing');
  });

  test('that has not changed is neither written nor told', async () => {
    const change = { [agent.apps['web']!]: 'healthy' };
    expect(await workspaceEvents(api, agent.workspaceId, () => report(change))).toBe(1);
    const before = api.statements.length;
    expect(await workspaceEvents(api, agent.workspaceId, () => report(change))).toBe(0);
    expect(api.statements.slice(before).filter((text) => text.includes('update workspace_apps'))).toEqual([]);
  });

  test('takes frozen reports, also two at once', async () => {
    const identity = (await findAgentByToken(api.db, hashAgentToken(agent.token)))!;
    const frozen = Object.freeze({ [agent.apps['web']!]: 'healthy' as const });
    const reportAppHealth = createReportAppHealth(api.deps);
    await Promise.all([reportAppHealth(Object.freeze(identity), frozen), reportAppHealth(identity, frozen)]);
    expect(frozen).toEqual({ [agent.apps['web']!]: 'healthy' });
    expect((await healths())['web']).toBe('healthy');
  });
});

describe('App status', () => {
  const report = (body: Record<string, unknown>, token = agent.token) =>
    api.request('PATCH', '/api/v2/workspaceagents/me/app-status', {
      token,
      body: { app_slug: 'web', state: 'working', message: 'hello', uri: '', ...body },
    });
  const rows = () =>
    api.db
      .select({
        state: workspaceAppStatuses.state,
        message: workspaceAppStatuses.message,
        uri: workspaceAppStatuses.uri,
      })
      .from(workspaceAppStatuses)
      .where(eq(workspaceAppStatuses.agentId, agent.id))
      .orderBy(workspaceAppStatuses.createdAt);

  test('is stored as plain text and told; old fields are ignored', async () => {
    const events = await workspaceEvents(api, agent.workspaceId, () =>
      report({ message: '<b>Fix</b>\u001b[1m it\n', uri: 'https://e/1', icon: 'x', needs_user_attention: true }),
    );
    expect(events).toBe(1);
    expect(await rows()).toEqual([{ state: 'working', message: 'Fix it', uri: 'https://e/1' }]);
  });

  test('refuses what is too long, unknown or runs code, and names the field', async () => {
    const other = await running({ apps: [{ slug: 'theirs' }] });
    const cases: [Record<string, unknown>, string][] = [
      [{ message: 'x'.repeat(161) }, 'message'],
      [{ state: 'sleeping' }, 'state'],
      [{ app_slug: 'nothing' }, 'app_slug'],
      [{ app_slug: 'theirs' }, 'app_slug'],
      [{ uri: 'JavaScript:alert(1)' }, 'uri'],
      [{ uri: `https://e/${'x'.repeat(2_048)}` }, 'uri'],
    ];
    for (const [body, field] of cases) {
      const answer = await report(body);
      expect([answer.status, answer.body.validations?.[0]?.field]).toEqual([400, field]);
    }
    expect(await rows()).toEqual([]);
    expect((await report({ message: 'x'.repeat(160) })).status).toBe(200);
    expect((await report({ app_slug: 'theirs' }, other.token)).status).toBe(200);
  });

  test('that equals the last one leaves no trace, also when it comes ten times at once', async () => {
    await Promise.all(Array.from({ length: 10 }, () => report({})));
    expect(await rows()).toHaveLength(1);
    expect(await workspaceEvents(api, agent.workspaceId, () => report({}))).toBe(0);
    await report({ message: 'more' });
    await report({});
    expect((await rows()).map(({ message }) => message)).toEqual(['hello', 'more', 'hello']);
  });

  test('keeps the workspace up while it works and when work ends, and not otherwise', async () => {
    const activity: string[] = [];
    const identity = (await findAgentByToken(api.db, hashAgentToken(agent.token)))!;
    const reportAppStatus = createReportAppStatus({
      db: api.db,
      now: api.deps.now,
      recordAiUse: async () => undefined,
      onActivity: (workspaceId) => void activity.push(workspaceId),
    });
    const say = async (state: 'working' | 'idle' | 'complete', message = '', of = identity) => {
      activity.length = 0;
      await reportAppStatus(of, { slug: 'web', state, message, uri: '' });
      return activity.length;
    };
    expect(await say('idle')).toBe(0);
    expect(await say('working')).toBe(1);
    expect(await say('working')).toBe(0);
    expect(await say('working', 'more')).toBe(1);
    expect(await say('idle')).toBe(1);
    expect(await say('complete')).toBe(0);
    expect(await say('working', '', { ...identity, ownerIsSystem: true })).toBe(0);
  });

  test('is shown with its app and as the latest of the workspace, also after a stop, until a new start', async () => {
    await report({ message: 'one' });
    await report({ message: 'two', state: 'idle' });
    api.clock.now = new Date(api.clock.now.getTime() + 1_000);
    await report({ message: 'three', app_slug: 'plain', state: 'complete', uri: 'https://e' });
    const { statuses } = await appOf(agent, 'web');
    expect(statuses.map((status: { message: string }) => status.message)).toEqual(['two', 'one']);
    const latest = {
      id: expect.any(String),
      created_at: expect.any(String),
      workspace_id: agent.workspaceId,
      agent_id: agent.id,
      app_id: agent.apps['plain'],
      state: 'complete',
      message: 'three',
      uri: 'https://e',
      icon: '',
      needs_user_attention: false,
    };
    expect((await workspaceOf(agent.workspaceId)).latest_app_status).toEqual(latest);
    const build = { workspaceId: agent.workspaceId, versionId: template.active_version_id, runMs: 1 };
    await insertBuildOf(api.db, { ...build, transition: 'stop' });
    expect((await workspaceOf(agent.workspaceId)).latest_app_status).toEqual(latest);
    await insertBuildOf(api.db, { ...build, transition: 'start' });
    expect((await workspaceOf(agent.workspaceId)).latest_app_status).toBeNull();
  });
});

describe('AI seats', () => {
  const seat = async (userId: string) =>
    (
      await api.db
        .select({ firstUsedAt: aiSeatState.firstUsedAt, lastUsedAt: aiSeatState.lastUsedAt })
        .from(aiSeatState)
        .where(eq(aiSeatState.userId, userId))
    )[0];
  const writes = (since: number) =>
    api.statements.slice(since).filter((text) => text.includes('insert into ai_seat_state')).length;
  const use = (userId: string) => ({ userId, event: 'task' as const, description: 'x' });

  test('are counted when a task reports, and only then', async () => {
    const user = await api.createUser();
    const mine = await insertRunningAgent(api, template, { ownerId: user.id, apps: [{ slug: 'web' }] });
    const report = (state: string) =>
      api.request('PATCH', '/api/v2/workspaceagents/me/app-status', {
        token: mine.token,
        body: { app_slug: 'web', state, message: '' },
      });
    expect((await report('working')).status).toBe(200);
    expect(await seat(user.id)).toBeUndefined();
    await api.db
      .update(workspaceBuilds)
      .set({ hasAiTask: true })
      .where(eq(workspaceBuilds.workspaceId, mine.workspaceId));
    expect((await report('idle')).status).toBe(200);
    expect(await seat(user.id)).toBeDefined();
  });

  test('are written once for a thousand uses within the hour, and again after it, with the first use kept', async () => {
    const user = await api.createUser();
    const clock = { now: new Date('2026-01-01T00:00:00Z') };
    const deps = { ...api.deps, now: () => clock.now };
    const record = createRecordAiUse(deps);
    const before = api.statements.length;
    await Promise.all(Array.from({ length: 1_000 }, () => record(use(user.id))));
    expect(writes(before)).toBe(1);
    const first = await seat(user.id);
    clock.now = new Date('2026-01-01T00:59:59Z');
    await record(use(user.id));
    // Another process remembers nothing: there the statement itself holds back.
    await createRecordAiUse(deps)(use(user.id));
    expect(await seat(user.id)).toEqual(first);
    clock.now = new Date('2026-01-01T01:00:00Z');
    await record(use(user.id));
    expect(await seat(user.id)).toEqual({ firstUsedAt: first!.firstUsedAt, lastUsedAt: clock.now });
  });

  test('that cannot be written hold nothing up and are tried again a minute later', async () => {
    const user = await api.createUser();
    const clock = { now: new Date('2026-01-01T00:00:00Z') };
    let broken = true;
    const db = new Proxy(api.db, {
      get(target, key) {
        if (broken && key === 'execute') throw new Error('away');
        return Reflect.get(target, key) as unknown;
      },
    });
    const record = createRecordAiUse({ ...api.deps, db, now: () => clock.now });
    await record(use(user.id));
    broken = false;
    clock.now = new Date('2026-01-01T00:00:59Z');
    await record(use(user.id));
    expect(await seat(user.id)).toBeUndefined();
    clock.now = new Date('2026-01-01T00:01:00Z');
    await record(use(user.id));
    expect(await seat(user.id)).toBeDefined();
  });

  test('are not for system users', async () => {
    await createRecordAiUse(api.deps)(use(PREBUILDS_SYSTEM_USER_ID));
    expect(
      await api.db.execute(sql`select 1 from ai_seat_state where user_id = ${PREBUILDS_SYSTEM_USER_ID}`),
    ).toHaveLength(0);
  });
});
