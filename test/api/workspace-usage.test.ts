import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { templates } from '../../db/schema/templates.ts';
import { workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { createUsageTracker } from '../../ingest/usage-tracker.ts';
import { insertAgentOf } from '../support/agent-rows.ts';
import { type Answer, type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

const minuteMs = 60_000;

let api: TestApi;
let alice: TestUser;
let template: JsonValue;
beforeAll(async () => {
  api = await createTestApi();
  alice = await api.createUser({ username: 'alice' });
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(() => {
  api.clock.now = new Date();
});

const later = (ms: number): Date => new Date(api.clock.now.getTime() + ms);
const insert = (workspace: Parameters<typeof insertWorkspaceOf>[2] = {}) =>
  insertWorkspaceOf(api.db, template, { ownerId: alice.id, deadline: later(10 * minuteMs), ...workspace });
const use = (id: string, body?: unknown, token = alice.token): Promise<Answer> =>
  api.request('POST', `/api/v2/workspaces/${id}/usage`, { token, ...(body !== undefined && { body }) });
const flush = () => api.deps.agents.usage.flush();
async function rowOf(id: string) {
  const [row] = await api.db
    .select({
      lastUsedAt: workspaces.lastUsedAt,
      dormantAt: workspaces.dormantAt,
      deadline: workspaceBuilds.deadline,
    })
    .from(workspaces)
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.workspaceId, workspaces.id))
    .where(eq(workspaces.id, id));
  return row!;
}
const never = new Date(0);

describe('use that a client reports', () => {
  test('moves the time of use at the next flush, and no deadline', async () => {
    const id = await insert();
    const { deadline } = await rowOf(id);
    const { status, text } = await use(id);
    expect([status, text, (await rowOf(id)).lastUsedAt]).toEqual([204, '', never]);
    await flush();
    expect(await rowOf(id)).toEqual({ lastUsedAt: api.clock.now, dormantAt: null, deadline });
    expect((await use(id, {})).status).toBe(204);
  });

  test.each(['vscode', 'jetbrains', 'reconnecting-pty', 'ssh'])('through %s also moves the deadline', async (app) => {
    const id = await insert();
    const agent = await insertAgentOf(api, id);
    expect((await use(id, { agent_id: agent.id, app_name: app })).status).toBe(204);
    await flush();
    expect(await rowOf(id)).toMatchObject({ lastUsedAt: api.clock.now, deadline: later(60 * minuteMs) });
  });

  test('names the field that is missing or unknown', async () => {
    const id = await insert();
    const agent = await insertAgentOf(api, id);
    for (const [body, field] of [
      [{ agent_id: agent.id }, 'app_name'],
      [{ app_name: 'ssh' }, 'agent_id'],
      [{ agent_id: agent.id, app_name: 'emacs' }, 'app_name'],
      [{ agent_id: 'no-uuid', app_name: 'ssh' }, 'agent_id'],
    ] as const) {
      const answer = await use(id, body);
      expect([answer.status, answer.body.validations[0].field]).toEqual([400, field]);
    }
    await flush();
    expect((await rowOf(id)).lastUsedAt).toEqual(never);
  });

  test('through an agent that is unknown, foreign or deleted is not found', async () => {
    const id = await insert();
    const foreign = await insertAgentOf(api, await insert());
    const deleted = await insertAgentOf(api, id);
    await api.db.update(workspaceAgents).set({ deleted: true }).where(eq(workspaceAgents.id, deleted.id));
    for (const agent of [randomUUID(), foreign.id, deleted.id])
      expect((await use(id, { agent_id: agent, app_name: 'ssh' })).status).toBe(404);
    await flush();
    expect((await rowOf(id)).lastUsedAt).toEqual(never);
  });

  test('is for those who may change the workspace', async () => {
    const id = await insert();
    const reader = await api.createUser({ roles: ['template-admin'] });
    expect((await use(id, undefined, reader.token)).status).toBe(403);
    expect((await use(id, undefined, (await api.createUser()).token)).status).toBe(404);
    expect((await use(randomUUID())).status).toBe(404);
  });

  test('changes nothing on a prebuild', async () => {
    const id = await insertWorkspaceOf(api.db, template);
    const agent = await insertAgentOf(api, id);
    const before = await rowOf(id);
    expect((await use(id, undefined, api.ownerToken)).status).toBe(204);
    expect((await use(id, { agent_id: agent.id, app_name: 'ssh' }, api.ownerToken)).status).toBe(204);
    await flush();
    expect(await rowOf(id)).toEqual(before);
  });

  test('does not wake a dormant workspace, nor move its deadline', async () => {
    const deadline = later(10 * minuteMs);
    const dormantAt = later(-minuteMs);
    const id = await insert({ dormantAt, deadline });
    const agent = await insertAgentOf(api, id);
    expect((await use(id, { agent_id: agent.id, app_name: 'ssh' })).status).toBe(204);
    await flush();
    expect(await rowOf(id)).toEqual({ lastUsedAt: api.clock.now, dormantAt, deadline });
  });

  test('a hundred times within a minute is one statement', async () => {
    const id = await insert();
    for (let post = 0; post < 100; post += 1) expect((await use(id)).status).toBe(204);
    const updates = () => api.statements.filter((text) => text.includes('set last_used_at')).length;
    const before = updates();
    await flush();
    await flush();
    expect(updates() - before).toBe(1);
  });
});

describe('a bump by activity', () => {
  const bump = async (id: string) => {
    // A tracker of its own has bumped nothing lately.
    const tracker = createUsageTracker({ db: api.db, onFailed: (err) => expect(err).toBeUndefined() });
    tracker.active(id, api.clock.now);
    await tracker.close();
    return (await rowOf(id)).deadline;
  };
  const setBump = async (activityBumpMs: number) =>
    void (await api.db.update(templates).set({ activityBumpMs }).where(eq(templates.id, template.id)));

  test('waits until a twentieth of the interval is used up', async () => {
    const deadline = later(57 * minuteMs + 1_000);
    expect(await bump(await insert({ deadline }))).toEqual(deadline);
    expect(await bump(await insert({ deadline: later(57 * minuteMs - 1_000) }))).toEqual(later(60 * minuteMs));
  });

  test('ends at the hard limit', async () => {
    const maxDeadline = later(40 * minuteMs);
    expect(await bump(await insert({ maxDeadline }))).toEqual(maxDeadline);
    expect(await bump(await insert({ deadline: maxDeadline, maxDeadline }))).toEqual(maxDeadline);
  });

  test('runs on through an automatic start that is near', async () => {
    const id = await insert({
      deadline: later(45 * minuteMs),
      nextStartAt: later(15 * minuteMs),
      ttlMs: 8 * 60 * minuteMs,
    });
    expect(await bump(id)).toEqual(later((15 + 8 * 60) * minuteMs));
  });

  test('never happens to one that is stopped, has no deadline, or whose template wants none', async () => {
    expect(await bump(await insert({ deadline: null }))).toBeNull();
    const deadline = later(10 * minuteMs);
    expect(await bump(await insert({ deadline, transition: 'stop' }))).toEqual(deadline);
    await setBump(0);
    try {
      expect(await bump(await insert({ deadline }))).toEqual(deadline);
    } finally {
      await setBump(60 * minuteMs);
    }
  });

  test('comes at most once in half a minute', async () => {
    const id = await insert();
    api.deps.agents.usage.active(id, api.clock.now);
    await flush();
    const first = (await rowOf(id)).deadline!;
    await api.db
      .update(workspaceBuilds)
      .set({ deadline: later(minuteMs) })
      .where(eq(workspaceBuilds.workspaceId, id));
    api.deps.agents.usage.active(id, later(29_000));
    await flush();
    expect((await rowOf(id)).deadline).toEqual(later(minuteMs));
    api.deps.agents.usage.active(id, later(30_000));
    await flush();
    expect((await rowOf(id)).deadline).toEqual(new Date(first.getTime() + 30_000));
  });
});

describe('the writes of uses', () => {
  /** Workspaces without builds, which nothing here looks at. */
  async function insertMany(count: number): Promise<string[]> {
    const rows = await api.db.execute<{ id: string }>(sql`
      insert into workspaces (owner_id, organization_id, template_id, name, created_at, updated_at, last_used_at)
      select ${alice.id}::uuid, ${api.organizationId}::uuid, ${template.id}::uuid, 'm-' || gen_random_uuid(), now(), now(), to_timestamp(0)
      from generate_series(1, ${count}) returning id`);
    return rows.map(({ id }) => id);
  }
  const usedAt = async (ids: readonly string[]): Promise<number[]> => {
    const rows = await api.db.execute<{ at: number }>(sql`
      select distinct (extract(epoch from last_used_at) * 1000)::float8 as at from workspaces
      where id in (select jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb)::uuid)`);
    return rows.map(({ at }) => at);
  };

  test('of two processes that overlap do not wait for each other in a circle; the later time stays', async () => {
    const ids = await insertMany(5_000);
    const failures: unknown[] = [];
    const trackers = [1, 2].map(() => createUsageTracker({ db: api.db, onFailed: (err) => failures.push(err) }));
    for (let round = 1; round <= 3; round += 1) {
      const [early, late] = [later(round * 2_000), later(round * 2_000 + 1_000)];
      for (const id of ids) trackers[0]!.used(id, late);
      for (const id of ids.toReversed()) trackers[1]!.used(id, early);
      await Promise.all(trackers.map((tracker) => tracker.flush()));
      expect(await usedAt(ids)).toEqual([late.getTime()]);
    }
    for (const tracker of trackers) await tracker.close();
    expect(failures).toEqual([]);
  });

  test('come a thousand at a time', async () => {
    const ids = await insertMany(2_500);
    const before = api.statements.filter((text) => text.includes('set last_used_at')).length;
    for (const id of ids) api.deps.agents.usage.used(id, api.clock.now);
    await flush();
    expect(api.statements.filter((text) => text.includes('set last_used_at')).length - before).toBe(3);
    expect(await usedAt(ids)).toEqual([api.clock.now.getTime()]);
  });

  test('that fail lose nothing, however often; the first failure is a warning, the next are errors', async () => {
    const [id] = await insertMany(1);
    const levels = () =>
      api.logs
        .map((line) => JSON.parse(line) as { level: string; kind?: string })
        .filter(({ kind }) => kind === 'usage')
        .map(({ level }) => level);
    const first = later(1_000);
    await api.db.execute(sql`alter table workspaces rename column last_used_at to broken`);
    try {
      api.deps.agents.usage.used(id!, first);
      for (let flushes = 0; flushes < 3; flushes += 1) await flush();
      // An earlier one that comes meanwhile does not replace it.
      api.deps.agents.usage.used(id!, api.clock.now);
    } finally {
      await api.db.execute(sql`alter table workspaces rename column broken to last_used_at`);
    }
    expect(levels()).toEqual(['warn', 'error', 'error']);
    await flush();
    expect(await usedAt([id!])).toEqual([first.getTime()]);
  });

  test('that wait are done when the process ends', async () => {
    const [id] = await insertMany(1);
    const tracker = createUsageTracker({ db: api.db, onFailed: (err) => expect(err).toBeUndefined() });
    tracker.used(id!, api.clock.now);
    await tracker.close();
    expect(await usedAt([id!])).toEqual([api.clock.now.getTime()]);
  });
});
