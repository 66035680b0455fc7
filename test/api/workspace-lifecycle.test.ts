import { and, eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { workspacesChannel } from '../../db/notifications.ts';
import { moveDeadlines } from '../../db/queries/agent-stats.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { inboxNotifications } from '../../db/schema/notifications.ts';
import { templates } from '../../db/schema/templates.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { notificationTemplates } from '../../domain/notifications.ts';
import { type Answer, type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, insertParameters, takeBuild, templateWith } from '../support/build-rows.ts';
import { createImportedVersion, createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

let api: TestApi;
let alice: TestUser;
let template: JsonValue;

beforeAll(async () => {
  api = await createTestApi();
  alice = await api.createUser({ username: 'alice' });
});
afterAll(() => api.close());
beforeEach(async () => {
  api.clock.now = new Date();
  template = await createTemplate(api);
});

const send = (method: string, path: string, body?: unknown, token = alice.token): Promise<Answer> =>
  api.request(method, `/api/v2/workspaces/${path}`, { token, ...(body !== undefined && { body }) });
const fieldsOf = (answer: Answer): string[] =>
  (answer.body.validations ?? []).map(({ field }: { field: string }) => field);
const later = (ms: number): Date => new Date(api.clock.now.getTime() + ms);
const insert = (workspace: Parameters<typeof insertWorkspaceOf>[2] = {}) =>
  insertWorkspaceOf(api.db, template, { ownerId: alice.id, ...workspace });
const read = async (id: string): Promise<JsonValue> => (await send('GET', id)).body;
async function rowOf(id: string) {
  const [row] = await api.db
    .select({
      dormantAt: workspaces.dormantAt,
      deletingAt: workspaces.deletingAt,
      nextStartAt: workspaces.nextStartAt,
      lastUsedAt: workspaces.lastUsedAt,
      lifecycleAttempts: workspaces.lifecycleAttempts,
      lifecycleRetryAfter: workspaces.lifecycleRetryAfter,
    })
    .from(workspaces)
    .where(eq(workspaces.id, id));
  return row!;
}
const buildsOf = (id: string) =>
  api.db
    .select({
      transition: workspaceBuilds.transition,
      reason: workspaceBuilds.reason,
      initiatorId: workspaceBuilds.initiatorId,
      id: workspaceBuilds.id,
    })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.workspaceId, id))
    .orderBy(workspaceBuilds.buildNumber);
const messagesAbout = (id: string) =>
  api.db
    .select({ userId: inboxNotifications.userId, content: inboxNotifications.content })
    .from(inboxNotifications)
    .where(
      and(
        eq(inboxNotifications.templateId, notificationTemplates.workspaceDormant.id),
        eq(inboxNotifications.userId, alice.id),
      ),
    )
    .then((rows) => rows.filter(({ content }) => content.includes(`w-${id.slice(0, 8)}`)));

describe('putting a workspace to sleep', () => {
  const sleep = (id: string, token?: string) => send('PUT', `${id}/dormant`, { dormant: true }, token);

  test('a running one is stopped for dormancy by the same transaction, and its build starts', async () => {
    const nextStartAt = later(dayMs);
    const id = await insert({ nextStartAt });
    const before = await rowOf(id);
    const { status, body } = await sleep(id);
    expect([status, body.id, body.dormant_at]).toEqual([200, id, api.clock.now.toISOString()]);
    expect(body).toMatchObject({
      deleting_at: null,
      next_start_at: null,
      latest_build: { transition: 'stop', reason: 'dormancy', status: 'pending', deadline: null },
    });
    expect((await rowOf(id)).lastUsedAt).toEqual(before.lastUsedAt);
    const builds = await buildsOf(id);
    expect(builds.map(({ transition, reason }) => [transition, reason])).toEqual([
      ['start', 'initiator'],
      ['stop', 'dormancy'],
    ]);
    expect(builds[1]!.initiatorId).toBe(alice.id);
    expect(api.temporal.starts.map(({ workflowId }) => workflowId)).toContain(`build/${builds[1]!.id}`);
    expect(await messagesAbout(id)).toEqual([]);
    const [audit] = await api.db
      .select({ action: auditLogs.action, diff: auditLogs.diff })
      .from(auditLogs)
      .where(and(eq(auditLogs.resourceId, id), eq(auditLogs.action, 'write')));
    expect(audit!.diff).toEqual({
      dormant_at: { old: null, new: api.clock.now.toISOString(), secret: false },
      next_start_at: { old: nextStartAt.toISOString(), new: null, secret: false },
    });
  });

  test('a stopped one gets no build; the second time nothing happens', async () => {
    const id = await insert({ transition: 'stop' });
    expect((await sleep(id)).status).toBe(200);
    const again = await sleep(id);
    expect([again.status, again.text]).toEqual([304, '']);
    expect(await buildsOf(id)).toHaveLength(1);
    const writes = await api.db.select({ id: auditLogs.id }).from(auditLogs).where(eq(auditLogs.resourceId, id));
    expect(writes).toHaveLength(1);
  });

  test('each is deleted when its own template says', async () => {
    await api.db
      .update(templates)
      .set({ timeTilDormantAutodeleteMs: 3 * dayMs })
      .where(eq(templates.id, template.id));
    const own = await insert({ transition: 'stop' });
    const other = await insertWorkspaceOf(api.db, await createTemplate(api), {
      ownerId: alice.id,
      transition: 'stop',
    });
    expect((await sleep(own)).body.deleting_at).toBe(later(3 * dayMs).toISOString());
    expect((await sleep(other)).body.deleting_at).toBeNull();
  });

  test('the owner is told when somebody else does it, and when it is deleted', async () => {
    await api.db
      .update(templates)
      .set({ timeTilDormantAutodeleteMs: 3 * dayMs })
      .where(eq(templates.id, template.id));
    const id = await insert();
    expect((await sleep(id, api.ownerToken)).status).toBe(200);
    const [message, ...more] = await messagesAbout(id);
    expect(more).toEqual([]);
    expect(message!.userId).toBe(alice.id);
    expect(message!.content).toContain('owner requested it');
    expect(message!.content).toContain('deleted in 3 days');
    expect((await buildsOf(id))[1]!.initiatorId).toBe(api.owner.id);
  });

  test('one whose start goes on is left to the lifecycle to stop', async () => {
    const created = await api.request('POST', '/api/v2/users/me/workspaces', {
      token: alice.token,
      body: { name: 'starts-now', template_id: template.id },
    });
    const { id, latest_build: build } = created.body;
    await takeBuild(api.db, build.id);
    expect((await sleep(id)).body.latest_build).toMatchObject({ id: build.id, status: 'starting' });
    expect(await buildsOf(id)).toHaveLength(1);
  });

  test('while Temporal is away it sleeps all the same, and the sweep starts the stop', async () => {
    const id = await insert();
    api.temporal.reachable = false;
    try {
      expect((await sleep(id)).body.latest_build.status).toBe('pending');
    } finally {
      api.temporal.reachable = true;
    }
  });

  test('two at once make one stop', async () => {
    const id = await insert();
    const answers = await Promise.all([sleep(id), sleep(id), sleep(id, api.ownerToken)]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 304, 304]);
    expect(await buildsOf(id)).toHaveLength(2);
  });

  test('a prebuild has no sleep of its own, a reader may not, a stranger finds nothing', async () => {
    const prebuild = await insertWorkspaceOf(api.db, template);
    expect((await sleep(prebuild, api.ownerToken)).status).toBe(409);
    expect(await rowOf(prebuild)).toMatchObject({ dormantAt: null, deletingAt: null });
    const id = await insert();
    const reader = await api.createUser({ roles: ['template-admin'] });
    expect((await sleep(id, reader.token)).status).toBe(403);
    expect((await sleep(id, (await api.createUser()).token)).status).toBe(404);
    expect((await send('PUT', `${id}/dormant`, {})).status).toBe(400);
    expect((await rowOf(id)).dormantAt).toBeNull();
  });

  test('a dormant one is not started before it is awake, but may be stopped and deleted', async () => {
    const id = await insert({ dormantAt: api.clock.now });
    const start = await send('POST', `${id}/builds`, { transition: 'start' });
    expect([start.status, start.body.message]).toEqual([409, expect.stringContaining('wake it')]);
    const stop = await send('POST', `${id}/builds`, { transition: 'stop' });
    expect(stop.status).toBe(201);
    await endBuild(api.db, stop.body.id);
    expect((await send('PUT', `${id}/dormant`, { dormant: false })).status).toBe(200);
    expect((await send('POST', `${id}/builds`, { transition: 'start' })).status).toBe(201);
    const other = await insert({ dormantAt: api.clock.now, transition: 'stop' });
    expect((await send('POST', `${other}/builds`, { transition: 'delete' })).status).toBe(201);
  });

  test('the list shows dormant ones like others, and alone when asked', async () => {
    const asleep = await insert({ dormantAt: api.clock.now });
    const awake = await insert();
    const list = async (q: string): Promise<string[]> => {
      const { body } = await api.request('GET', `/api/v2/workspaces?q=${encodeURIComponent(q)}`, {
        token: alice.token,
      });
      return body.workspaces.map(({ id }: { id: string }) => id);
    };
    const mine = `owner:me template:${template.name}`;
    expect((await list(mine)).toSorted()).toEqual([asleep, awake].toSorted());
    expect(await list(`${mine} dormant:true`)).toEqual([asleep]);
    expect((await list(`${mine} dormant:false`)).length).toBe(2);
  });
});

describe('waking a workspace', () => {
  test('counts as use, takes the deletion back, forgets failed attempts and knows its next start', async () => {
    const id = await insert({ dormantAt: new Date(0), transition: 'stop' });
    await api.db
      .update(workspaces)
      .set({
        deletingAt: new Date(1),
        autostartSchedule: 'CRON_TZ=UTC 0 9 * * *',
        lifecycleAttempts: 3,
        lifecycleRetryAfter: later(dayMs),
      })
      .where(eq(workspaces.id, id));
    api.clock.now = new Date('2026-05-13T10:00:00Z');
    const { status, body } = await send('PUT', `${id}/dormant`, { dormant: false });
    expect([status, body.dormant_at, body.deleting_at]).toEqual([200, null, null]);
    expect(body.next_start_at).toBe('2026-05-14T09:00:00.000Z');
    expect(await rowOf(id)).toEqual({
      dormantAt: null,
      deletingAt: null,
      nextStartAt: new Date('2026-05-14T09:00:00Z'),
      lastUsedAt: api.clock.now,
      lifecycleAttempts: 0,
      lifecycleRetryAfter: null,
    });
    expect(await buildsOf(id)).toHaveLength(1);
    expect((await send('PUT', `${id}/dormant`, { dormant: false })).status).toBe(304);
  });
});

describe('setting the deadline of a running workspace', () => {
  const extend = (id: string, deadline: Date | string, token?: string) =>
    send('PUT', `${id}/extend`, { deadline: typeof deadline === 'string' ? deadline : deadline.toISOString() }, token);
  const deadlineOf = async (id: string) => (await read(id)).latest_build.deadline;

  test('moves it in both directions, and tells watchers', async () => {
    const id = await insert({ deadline: later(8 * 60 * minuteMs) });
    let told = 0;
    const end = api.deps.listener.subscribe(workspacesChannel, (ids) => {
      if (ids?.includes(id) === true) told += 1;
    });
    const late = later(10 * 60 * minuteMs);
    const { status, body } = await extend(id, late);
    expect([status, body]).toEqual([200, { message: expect.stringContaining(late.toISOString()) }]);
    expect(await deadlineOf(id)).toBe(late.toISOString());
    const soon = later(40 * minuteMs);
    expect((await extend(id, soon)).status).toBe(200);
    expect(await deadlineOf(id)).toBe(soon.toISOString());
    expect((await extend(id, later(28 * minuteMs))).status).toBe(400);
    end();
    expect(told).toBe(2);
  });

  test('takes any offset, and no less than 29 minutes from now', async () => {
    const id = await insert({ deadline: later(8 * 60 * minuteMs) });
    const early = await extend(id, later(28 * minuteMs));
    expect([early.status, fieldsOf(early)]).toEqual([400, ['deadline']]);
    expect((await extend(id, later(29 * minuteMs + 1_000))).status).toBe(200);
    const local = new Date(later(60 * minuteMs).getTime() + 2 * 60 * minuteMs).toISOString().replace('Z', '+02:00');
    expect((await extend(id, local)).status).toBe(200);
    expect(await deadlineOf(id)).toBe(later(60 * minuteMs).toISOString());
    for (const bad of ['', 'tomorrow', '2030-01-01']) expect((await extend(id, bad)).status).toBe(400);
  });

  test('not before its start was complete, and not beyond the hard limit', async () => {
    const maxDeadline = later(2 * 60 * minuteMs);
    const id = await insert({ deadline: later(60 * minuteMs), maxDeadline });
    const beyond = await extend(id, new Date(maxDeadline.getTime() + 1_000));
    expect([beyond.status, fieldsOf(beyond)]).toEqual([400, ['deadline']]);
    expect((await extend(id, maxDeadline)).status).toBe(200);
    // A clock that runs behind the database's.
    api.clock.now = new Date(Date.now() - 2 * 60 * minuteMs);
    const before = await extend(id, new Date(Date.now() - 60 * minuteMs));
    expect([before.status, fieldsOf(before)]).toEqual([400, ['deadline']]);
    expect(await deadlineOf(id)).toBe(maxDeadline.toISOString());
  });

  test('only while it runs, and only when it stops by a deadline at all', async () => {
    const hour = later(60 * minuteMs);
    expect((await extend(await insert({ transition: 'stop' }), hour)).status).toBe(409);
    expect((await extend(await insert(), hour)).status).toBe(409);
    expect((await extend(await insertWorkspaceOf(api.db, template), hour, api.ownerToken)).status).toBe(409);
    const pending = await api.request('POST', '/api/v2/users/me/workspaces', {
      token: alice.token,
      body: { name: 'extend-pending', template_id: template.id },
    });
    expect((await extend(pending.body.id, hour)).status).toBe(409);
    await endBuild(api.db, pending.body.latest_build.id, { error: 'boom' });
    const failed = await extend(pending.body.id, hour);
    expect([failed.status, failed.body.detail]).toEqual([409, expect.stringContaining('failed')]);
    const running = await insert({ deadline: hour });
    const reader = await api.createUser({ roles: ['template-admin'] });
    expect((await extend(running, hour, reader.token)).status).toBe(403);
  });

  test('is not undone by a bump that was decided before, nor does a bump pass a new hard limit', async () => {
    const from = later(40 * minuteMs);
    const id = await insert({ deadline: from });
    const [build] = await buildsOf(id);
    const long = later(9 * 60 * minuteMs);
    expect((await extend(id, long)).status).toBe(200);
    await moveDeadlines(api.db, [{ buildId: build!.id, from, to: later(60 * minuteMs) }]);
    expect(await deadlineOf(id)).toBe(long.toISOString());
    const maxDeadline = later(10 * 60 * minuteMs);
    await api.db.update(workspaceBuilds).set({ maxDeadline }).where(eq(workspaceBuilds.id, build!.id));
    await moveDeadlines(api.db, [{ buildId: build!.id, from: long, to: later(12 * 60 * minuteMs) }]);
    expect(await deadlineOf(id)).toBe(maxDeadline.toISOString());
  });

  test('wins against bumps at the same time, whoever comes first', async () => {
    const long = later(9 * 60 * minuteMs);
    for (let round = 0; round < 10; round += 1) {
      const id = await insert({ deadline: later(10 * minuteMs) });
      api.deps.agents.usage.active(id, api.clock.now);
      const [answer] = await Promise.all([extend(id, long), api.deps.agents.usage.flush()]);
      expect([answer.status, await deadlineOf(id)]).toEqual([200, long.toISOString()]);
    }
  });
});

describe('the next automatic start', () => {
  const mismatch = async (id: string, token?: string) =>
    (await send('GET', `${id}/resolve-autostart`, undefined, token)).body;

  test('cannot move to a version that asks for a value nobody gave', async () => {
    const own = await templateWith(api, [{ name: 'size', defaultValue: 's' }]);
    const created = await api.request('POST', '/api/v2/users/me/workspaces', {
      token: alice.token,
      body: { name: 'moves', template_id: own.id },
    });
    const id = created.body.id;
    await endBuild(api.db, created.body.latest_build.id);
    expect(await mismatch(id)).toEqual({ parameter_mismatch: false });
    const next = await createImportedVersion(api, { body: { template_id: own.id } });
    await insertParameters(api.db, next, [
      { name: 'size', defaultValue: 's' },
      { name: 'region', required: true },
    ]);
    await api.db.update(templates).set({ activeVersionId: next }).where(eq(templates.id, own.id));
    expect(await mismatch(id)).toEqual({ parameter_mismatch: false });
    await send('PUT', `${id}/autoupdates`, { automatic_updates: 'always' });
    expect(await mismatch(id)).toEqual({ parameter_mismatch: true });
    await send('PUT', `${id}/autoupdates`, { automatic_updates: 'never' });
    await api.db.update(templates).set({ requireActiveVersion: true }).where(eq(templates.id, own.id));
    expect(await mismatch(id)).toEqual({ parameter_mismatch: true });
    const built = await send('POST', `${id}/builds`, {
      transition: 'start',
      rich_parameter_values: [{ name: 'region', value: 'eu' }],
    });
    expect(built.status).toBe(201);
    expect(await mismatch(id)).toEqual({ parameter_mismatch: false });
    const stranger = await api.createUser();
    expect((await send('GET', `${id}/resolve-autostart`, undefined, stranger.token)).status).toBe(404);
  });

  test('that asks for nothing new is no mismatch', async () => {
    const own = await templateWith(api, [{ name: 'size', defaultValue: 's' }]);
    const id = await insertWorkspaceOf(api.db, own, { ownerId: alice.id });
    await send('PUT', `${id}/autoupdates`, { automatic_updates: 'always' });
    const next = await createImportedVersion(api, { body: { template_id: own.id } });
    await insertParameters(api.db, next, [{ name: 'region', defaultValue: 'eu' }]);
    await api.db.update(templates).set({ activeVersionId: next }).where(eq(templates.id, own.id));
    expect(await mismatch(id)).toEqual({ parameter_mismatch: false });
  });
});

describe('an autostart schedule', () => {
  const now = new Date('2026-05-15T10:00:00Z');
  const put = (id: string, schedule: unknown) => send('PUT', `${id}/autostart`, { schedule });

  test('is stored in one form, and its next start is the first after now', async () => {
    api.clock.now = now;
    const id = await insert({ transition: 'stop' });
    expect((await put(id, '  CRON_TZ=Europe/Berlin   0 9 * *  1-5 ')).status).toBe(204);
    expect(await read(id)).toMatchObject({
      autostart_schedule: 'CRON_TZ=Europe/Berlin 0 9 * * 1-5',
      // It is Friday noon in Berlin: Monday is next.
      next_start_at: '2026-05-18T07:00:00.000Z',
    });
    expect((await put(id, '30 9 * * *')).status).toBe(204);
    expect(await read(id)).toMatchObject({
      autostart_schedule: 'CRON_TZ=UTC 30 9 * * *',
      next_start_at: '2026-05-16T09:30:00.000Z',
    });
    for (const bad of [
      '0 9 * * 7',
      '0 9 1 * *',
      'CRON_TZ=Mars/X 0 9 * * *',
      'TZ=UTC 0 9 * * 1',
      '* * *',
      '*/5 9 * * *',
    ]) {
      const answer = await put(id, bad);
      expect([bad, answer.status, fieldsOf(answer)]).toEqual([bad, 400, ['schedule']]);
    }
    expect((await put(id, null)).status).toBe(204);
    expect((await read(id)).next_start_at).toBeNull();
  });

  test('skips days that the template blocks; without any day there is no start', async () => {
    api.clock.now = now;
    const id = await insert({ transition: 'stop' });
    const block = (days: number) =>
      api.db.update(templates).set({ autostartBlockDaysOfWeek: days }).where(eq(templates.id, template.id));
    await block(1);
    await put(id, 'CRON_TZ=Europe/Berlin 0 9 * * 1-5');
    expect((await read(id)).next_start_at).toBe('2026-05-19T07:00:00.000Z');
    await block(127);
    await put(id, 'CRON_TZ=Europe/Berlin 0 9 * * *');
    expect((await read(id)).next_start_at).toBeNull();
  });

  test('may always be cleared, and is kept without a start while the workspace is dormant', async () => {
    api.clock.now = now;
    const id = await insert({ dormantAt: now, transition: 'stop' });
    expect((await put(id, '0 9 * * *')).status).toBe(204);
    expect(await read(id)).toMatchObject({ autostart_schedule: 'CRON_TZ=UTC 0 9 * * *', next_start_at: null });
    await api.db.update(templates).set({ allowUserAutostart: false }).where(eq(templates.id, template.id));
    const refused = await put(id, '0 10 * * *');
    expect([refused.status, fieldsOf(refused)]).toEqual([400, ['schedule']]);
    expect((await put(id, null)).status).toBe(204);
    expect(await read(id)).not.toHaveProperty('autostart_schedule');
  });

  test('is taken at creation', async () => {
    api.clock.now = now;
    const create = (name: string, schedule: string) =>
      api.request('POST', '/api/v2/users/me/workspaces', {
        token: alice.token,
        body: { name, template_id: template.id, autostart_schedule: schedule, automatic_updates: 'always' },
      });
    expect((await create('scheduled', '0 9 * * *')).body).toMatchObject({
      autostart_schedule: 'CRON_TZ=UTC 0 9 * * *',
      next_start_at: '2026-05-16T09:00:00.000Z',
      automatic_updates: 'always',
    });
    const bad = await create('bad-schedule', '0 9 1 * *');
    expect([bad.status, fieldsOf(bad)]).toEqual([400, ['schedule']]);
    await api.db.update(templates).set({ allowUserAutostart: false }).where(eq(templates.id, template.id));
    const refused = await create('refused', '0 9 * * *');
    expect([refused.status, fieldsOf(refused)]).toEqual([400, ['schedule']]);
  });
});

describe('favorites', () => {
  test('of the one who asks come first, those of others in their ordinary place', async () => {
    const ann = await api.createUser({ username: 'ann', roles: ['owner'] });
    const ben = await api.createUser({ username: 'ben' });
    const name = async (owner: TestUser, called: string, transition: 'start' | 'stop' = 'start') => {
      const id = await insert({ ownerId: owner.id, transition });
      await api.db.update(workspaces).set({ name: called }).where(eq(workspaces.id, id));
      return id;
    };
    const marked: [TestUser, string][] = [];
    for (const called of ['a-two', 'b-four', 'a-six']) marked.push([ann, await name(ann, called, 'stop')]);
    for (const called of ['zed', 'box']) marked.push([ben, await name(ben, called, 'stop')]);
    await name(ann, 'plain');
    await name(ben, 'Plain');
    for (const [owner, id] of marked)
      for (const _ of [1, 2]) expect((await send('PUT', `${id}/favorite`, undefined, owner.token)).status).toBe(204);
    const { body } = await api.request('GET', `/api/v2/workspaces?q=template:${template.name}`, { token: ann.token });
    const listed = body.workspaces.map((each: JsonValue) => [each.owner_name, each.name, each.favorite]);
    expect(listed).toEqual([
      ['ann', 'a-six', true],
      ['ann', 'a-two', true],
      ['ann', 'b-four', true],
      ['ann', 'plain', false],
      ['ben', 'Plain', false],
      ['ben', 'box', false],
      ['ben', 'zed', false],
    ]);
  });
});
