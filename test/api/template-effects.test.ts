import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { transaction } from '../../db/client.ts';
import { lockTemplate } from '../../db/queries/templates.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { templates } from '../../db/schema/templates.ts';
import { users } from '../../db/schema/users.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { addWorker, messagesOf, runTick, stored } from '../support/lifecycle-rows.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

/** What a change of a template's settings does to its workspaces. Source: spec/04 §7. */
let api: TestApi;
let member: TestUser;
/** Tuesday. */
const now = new Date('2026-05-12T10:00:00Z');
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const later = (ms: number) => new Date(now.getTime() + ms);
const weekdays = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser();
});
afterAll(() => api.close());
beforeEach(() => {
  api.clock.now = now;
});

async function patch(template: JsonValue, body: object, status = 200): Promise<void> {
  const path = `/api/v2/templates/${template.id}`;
  const answer = await api.request('PATCH', path, { token: api.ownerToken, body });
  expect([answer.status, answer.text]).toEqual([status, status === 200 ? expect.any(String) : '']);
}

/** A workspace of a member that was started at `startedAt`; columns as they are given. */
async function workspaceOf(
  template: JsonValue,
  {
    schedule,
    lastUsedAt,
    startedAt = later(-dayMs),
    ...columns
  }: { schedule?: string; lastUsedAt?: Date; startedAt?: Date } & Parameters<typeof insertWorkspaceOf>[2] = {},
): Promise<string> {
  const id = await insertWorkspaceOf(api.db, template, { ownerId: member.id, ...columns });
  await api.db
    .update(workspaces)
    .set({ autostartSchedule: schedule ?? null, lastUsedAt: lastUsedAt ?? now })
    .where(eq(workspaces.id, id));
  await api.db
    .update(provisionerJobs)
    .set({ startedAt, completedAt: startedAt })
    .where(sql`id in (select job_id from workspace_builds where workspace_id = ${id})`);
  return id;
}
const row = (id: string) => stored(api.db, id);
const deadlines = async (id: string) => {
  const { deadline, maxDeadline } = await row(id);
  return { deadline, maxDeadline };
};
const daily = { autostop_requirement: { days_of_week: weekdays, weeks: 1 } };
const never = { autostop_requirement: { days_of_week: [], weeks: 1 } };

describe('the time to live', () => {
  test('of all follows the default where users have no say; running ones keep their deadline', async () => {
    const template = await createTemplate(api, { allow_user_autostop: false, default_ttl_ms: 8 * hourMs });
    const [deadline, maxDeadline] = [later(hourMs), later(5 * hourMs)];
    const plain = await workspaceOf(template, { ttlMs: 8 * hourMs, deadline });
    const limited = await workspaceOf(template, { ttlMs: hourMs, deadline, maxDeadline });
    const stopped = await workspaceOf(template, { transition: 'stop' });
    await patch(template, { default_ttl_ms: 4 * hourMs });
    for (const id of [plain, limited, stopped]) expect((await row(id)).ttlMs).toBe(4 * hourMs);
    expect(await deadlines(plain)).toEqual({ deadline, maxDeadline: null });
    expect(await deadlines(limited)).toEqual({ deadline, maxDeadline });
    await patch(template, { default_ttl_ms: 0 });
    for (const id of [plain, limited, stopped]) expect((await row(id)).ttlMs).toBeNull();
    expect(await deadlines(plain)).toEqual({ deadline: null, maxDeadline: null });
    expect(await deadlines(limited)).toEqual({ deadline: maxDeadline, maxDeadline });
  });

  test('of nobody changes where users may choose, and stays as it was handed out when they may again', async () => {
    const template = await createTemplate(api, { default_ttl_ms: hourMs });
    const id = await workspaceOf(template, { ttlMs: 2 * hourMs, deadline: later(hourMs) });
    await patch(template, { default_ttl_ms: 3 * hourMs });
    expect(await row(id)).toMatchObject({ ttlMs: 2 * hourMs, deadline: later(hourMs) });
    await patch(template, { allow_user_autostop: false });
    expect(await row(id)).toMatchObject({ ttlMs: 3 * hourMs, deadline: later(hourMs) });
    await patch(template, { allow_user_autostop: true, default_ttl_ms: 0 });
    expect(await row(id)).toMatchObject({ ttlMs: 3 * hourMs, deadline: later(hourMs) });
  });
});

describe('the required stop', () => {
  test('is that of the start, though never in less than two hours', async () => {
    const template = await createTemplate(api);
    api.clock.now = new Date('2026-05-12T23:30:00Z');
    const soonest = new Date('2026-05-13T01:30:00Z');
    const overdue = await workspaceOf(template, { startedAt: new Date('2026-05-11T10:00:00Z') });
    const bumped = await workspaceOf(template, { deadline: new Date('2026-05-13T08:00:00Z') });
    const short = await workspaceOf(template, { deadline: new Date('2026-05-13T01:00:00Z') });
    const fresh = await workspaceOf(template, { startedAt: new Date('2026-05-12T23:00:00Z') });
    const stopped = await workspaceOf(template, { transition: 'stop' });
    await patch(template, daily);
    expect(await deadlines(overdue)).toEqual({ deadline: soonest, maxDeadline: soonest });
    expect(await deadlines(bumped)).toEqual({ deadline: soonest, maxDeadline: soonest });
    expect(await deadlines(short)).toEqual({ deadline: new Date('2026-05-13T01:00:00Z'), maxDeadline: soonest });
    const nextDay = new Date('2026-05-14T00:00:00Z');
    expect(await deadlines(fresh)).toEqual({ deadline: nextDay, maxDeadline: nextDay });
    expect(await deadlines(stopped)).toEqual({ deadline: null, maxDeadline: null });
  });

  test('stays when it is due within two hours, and goes with the requirement', async () => {
    const template = await createTemplate(api, daily);
    const [soon, far] = [later(hourMs), later(5 * hourMs)];
    const due = await workspaceOf(template, { deadline: soon, maxDeadline: soon });
    const forced = await workspaceOf(template, { deadline: far, maxDeadline: far });
    const withTtl = await workspaceOf(template, { ttlMs: 30 * hourMs, deadline: far, maxDeadline: far });
    const own = await workspaceOf(template, { ttlMs: 30 * hourMs, deadline: soon, maxDeadline: far });
    const saturday = new Date('2026-05-16T00:00:00Z');
    await patch(template, { autostop_requirement: { days_of_week: ['saturday'], weeks: 1 } });
    expect(await deadlines(due)).toEqual({ deadline: soon, maxDeadline: soon });
    expect(await deadlines(own)).toEqual({ deadline: soon, maxDeadline: saturday });
    await patch(template, daily);
    // Since yesterday's start it would have been at midnight already: two hours from now.
    expect(await deadlines(own)).toEqual({ deadline: soon, maxDeadline: later(2 * hourMs) });
    for (const id of [due, forced, withTtl])
      await api.db
        .update(workspaceBuilds)
        .set({ deadline: far, maxDeadline: far })
        .where(eq(workspaceBuilds.workspaceId, id));
    await patch(template, never);
    expect(await deadlines(forced)).toEqual({ deadline: null, maxDeadline: null });
    expect(await deadlines(withTtl)).toEqual({ deadline: later(6 * hourMs), maxDeadline: null });
    expect(await deadlines(own)).toEqual({ deadline: soon, maxDeadline: null });
  });

  test('is at the quiet hours of the owner, or of the deployment where his do not count', async () => {
    const startedAt = now;
    const template = await createTemplate(api);
    const id = await workspaceOf(template, { startedAt });
    const berlin = 'CRON_TZ=Europe/Berlin 30 3 * * *';
    await api.db.update(users).set({ quietHoursSchedule: berlin }).where(eq(users.id, member.id));
    await patch(template, daily);
    expect((await row(id)).maxDeadline).toEqual(new Date('2026-05-13T01:30:00Z'));
    await api.db.update(users).set({ quietHoursSchedule: '' }).where(eq(users.id, member.id));

    const own = await createTestApi({
      env: {
        CODER_ALLOW_CUSTOM_QUIET_HOURS: 'false',
        CODER_QUIET_HOURS_DEFAULT_SCHEDULE: 'CRON_TZ=Asia/Tokyo 0 4 * * *',
      },
    });
    try {
      own.clock.now = now;
      await own.db.update(users).set({ quietHoursSchedule: berlin }).where(eq(users.id, own.owner.id));
      const other = await createTemplate(own);
      const workspaceId = await insertWorkspaceOf(own.db, other, { ownerId: own.owner.id });
      await own.db.update(provisionerJobs).set({ startedAt, completedAt: startedAt });
      await own.request('PATCH', `/api/v2/templates/${other.id}`, { token: own.ownerToken, body: daily });
      expect((await stored(own.db, workspaceId)).maxDeadline).toEqual(new Date('2026-05-12T19:00:00Z'));
    } finally {
      await own.close();
    }
  });

  test('is none of a machine that runs elsewhere, nor of a start that failed', async () => {
    const template = await createTemplate(api);
    const external = await workspaceOf(template);
    const failed = await workspaceOf(template);
    await api.db
      .update(workspaceBuilds)
      .set({ hasExternalAgent: true })
      .where(eq(workspaceBuilds.workspaceId, external));
    await api.db
      .update(provisionerJobs)
      .set({ error: 'no' })
      .where(sql`id in (select job_id from workspace_builds where workspace_id = ${failed})`);
    await patch(template, daily);
    for (const id of [external, failed]) expect(await deadlines(id)).toEqual({ deadline: null, maxDeadline: null });
  });
});

describe('the next automatic start', () => {
  const nine = 'CRON_TZ=Europe/Berlin 0 9 * * 1-5';
  const tomorrow = new Date('2026-05-13T07:00:00Z');

  test('follows the days that are allowed, and the switch', async () => {
    const template = await createTemplate(api);
    const id = await workspaceOf(template, { schedule: nine, nextStartAt: tomorrow, transition: 'stop' });
    const missing = await workspaceOf(template, { schedule: nine });
    const without = await workspaceOf(template);
    const unreadable = await workspaceOf(template, { schedule: 'nonsense', nextStartAt: tomorrow });
    const dormant = await workspaceOf(template, { schedule: nine, dormantAt: now, transition: 'stop' });
    const starts = async () =>
      Promise.all([id, missing, without, unreadable, dormant].map(async (each) => (await row(each)).nextStartAt));
    const allow = (...days: string[]) => patch(template, { autostart_requirement: { days_of_week: days } });
    await allow('thursday', 'saturday');
    const thursday = new Date('2026-05-14T07:00:00Z');
    expect(await starts()).toEqual([thursday, thursday, null, null, null]);
    await allow('sunday');
    expect(await starts()).toEqual([null, null, null, null, null]);
    await allow(...weekdays);
    expect(await starts()).toEqual([tomorrow, tomorrow, null, null, null]);
    await patch(template, { allow_user_autostart: false });
    expect(await starts()).toEqual([null, null, null, null, null]);
    await patch(template, { allow_user_autostart: true });
    expect(await starts()).toEqual([tomorrow, tomorrow, null, null, null]);
  });

  test('of more workspaces than a statement takes, each by its own schedule', async () => {
    const template = await createTemplate(api);
    const model = await workspaceOf(template);
    const schedules = [nine, 'CRON_TZ=UTC 30 14 * * *', 'CRON_TZ=Asia/Kolkata 0 9 * * SUN'];
    await api.db.execute(sql`
      insert into workspaces (id, created_at, updated_at, owner_id, organization_id, template_id, name, last_used_at,
        autostart_schedule, next_start_at)
      select gen_random_uuid(), w.created_at, w.updated_at, w.owner_id, w.organization_id, w.template_id, 'many-' || n,
        w.last_used_at, case n % 3 when 0 then ${schedules[0]!} when 1 then ${schedules[1]!} else ${schedules[2]!} end, null
      from workspaces w, generate_series(1, 2500) n where w.id = ${model}`);
    api.statements.length = 0;
    await patch(template, { autostart_requirement: { days_of_week: weekdays.slice(2) } });
    // Three pages, each locked and written by a few statements.
    expect(api.statements.filter((text) => text.includes('next_start_at')).length).toBeLessThanOrEqual(8);
    const counts = await api.db.execute<{ at: string; n: number }>(sql`
      select next_start_at as at, count(*)::int as n from workspaces where name like 'many-%' group by 1 order by 1`);
    expect(counts.map(({ at, n }) => [new Date(at).toISOString(), n])).toEqual([
      ['2026-05-13T07:00:00.000Z', 833],
      ['2026-05-13T14:30:00.000Z', 834],
      ['2026-05-17T03:30:00.000Z', 833],
    ]);
  });

  test('is never that of an old schedule or an old rule, whoever is first', async () => {
    const template = await createTemplate(api);
    const ids = await Promise.all(Array.from({ length: 12 }, () => workspaceOf(template, { schedule: nine })));
    for (let round = 0; round < 4; round += 1) {
      const days = round % 2 === 0 ? ['friday'] : weekdays;
      await Promise.all([
        patch(template, { autostart_requirement: { days_of_week: days } }),
        ...ids.map((id, at) =>
          api.request('PUT', `/api/v2/workspaces/${id}/autostart`, {
            token: member.token,
            body: { schedule: `CRON_TZ=UTC ${round} ${11 + at} * * *` },
          }),
        ),
      ]);
      const expected = ids.map((_, at) => new Date(Date.UTC(2026, 4, round % 2 === 0 ? 15 : 12, 11 + at, round)));
      expect(await Promise.all(ids.map(async (id) => (await row(id)).nextStartAt))).toEqual(expected);
    }
  });

  test('is that of the new rule also where a schedule is set for the first time meanwhile', async () => {
    const template = await createTemplate(api);
    const id = await workspaceOf(template);
    const allButFriday = 0b1101111;
    const waits = async () =>
      (
        await api.db.execute(sql`select from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`)
      ).length > 0;
    const put = await transaction(api.db, async (tx) => {
      await lockTemplate(tx, template.id);
      await tx.update(templates).set({ autostartBlockDaysOfWeek: allButFriday }).where(eq(templates.id, template.id));
      const answer = api.request('PUT', `/api/v2/workspaces/${id}/autostart`, {
        token: member.token,
        body: { schedule: 'CRON_TZ=UTC 0 12 * * *' },
      });
      await waitFor('the workspace to wait for its template', waits);
      return { answer };
    });
    expect((await put.answer).status).toBe(204);
    expect((await row(id)).nextStartAt).toEqual(new Date('2026-05-15T12:00:00Z'));
  });

  test('of quick edits is that of the last one', async () => {
    const template = await createTemplate(api);
    const id = await workspaceOf(template, { schedule: 'CRON_TZ=UTC 0 9 * * *' });
    await Promise.all(weekdays.map((day) => patch(template, { autostart_requirement: { days_of_week: [day] } })));
    const { body } = await api.request('GET', `/api/v2/templates/${template.id}`, { token: api.ownerToken });
    const { nextStartAt } = await row(id);
    expect(weekdays[(nextStartAt!.getUTCDay() + 6) % 7]).toBe(body.autostart_requirement.days_of_week[0]);
  });
});

describe('the deletion of dormant workspaces', () => {
  const marked = async (id: string) =>
    (await messagesOf(api.db, id)).filter(({ name }) => name === 'Workspace Marked for Deletion');

  test('moves with the time until then, and is told to those whose it really is', async () => {
    const template = await createTemplate(api);
    const dormant = await workspaceOf(template, { dormantAt: later(-dayMs), transition: 'stop' });
    const awake = await workspaceOf(template);
    await patch(template, { time_til_dormant_autodelete_ms: 3 * dayMs });
    expect((await row(dormant)).deletingAt).toEqual(later(2 * dayMs));
    expect((await row(awake)).deletingAt).toBeNull();
    const [message] = await marked(dormant);
    const [named] = await api.db.select({ name: workspaces.name }).from(workspaces).where(eq(workspaces.id, dormant));
    expect(message).toMatchObject({ user_id: member.id, labels: { name: named!.name, timeTilDelete: 'in 2 days' } });
    expect(message!.labels['reason']).not.toBe('');
    // The same once more, something else, and none: nobody is told anything.
    await patch(template, { time_til_dormant_autodelete_ms: 3 * dayMs }, 304);
    await patch(template, { description: randomUUID(), time_til_dormant_ms: 90 * dayMs });
    await patch(template, { time_til_dormant_autodelete_ms: 0 });
    expect((await row(dormant)).deletingAt).toBeNull();
    expect(await marked(dormant)).toHaveLength(1);
    // Back again is news.
    api.clock.now = later(60_000);
    await patch(template, { time_til_dormant_autodelete_ms: 3 * dayMs });
    expect(await marked(dormant)).toHaveLength(2);
    expect(await marked(awake)).toHaveLength(0);
  });

  test('is due at once where the time is over, unless it begins anew', async () => {
    await addWorker(api.db);
    const [late, spared] = [await createTemplate(api), await createTemplate(api)];
    for (const each of [late, spared]) await patch(each, { time_til_dormant_autodelete_ms: 30 * dayMs });
    const facts = { dormantAt: later(-10 * dayMs), transition: 'stop' } as const;
    const [gone, kept] = [await workspaceOf(late, facts), await workspaceOf(spared, facts)];
    await patch(late, { time_til_dormant_autodelete_ms: 7 * dayMs });
    await patch(spared, { time_til_dormant_autodelete_ms: 7 * dayMs, update_workspace_dormant_at: true });
    expect((await row(gone)).deletingAt).toEqual(later(-3 * dayMs));
    expect(await row(kept)).toMatchObject({ dormantAt: now, deletingAt: later(7 * dayMs) });
    expect((await marked(gone))[0]!.labels['timeTilDelete']).toBe('now');
    expect((await marked(kept)).map(({ labels }) => labels['timeTilDelete'])).toEqual(['in 7 days']);
    await runTick(api, later(60_000));
    expect(await row(gone)).toMatchObject({ transition: 'delete', reason: 'autodelete' });
    expect(await row(kept)).toMatchObject({ transition: 'stop', buildNumber: 1 });
  });
});

describe('dormancy', () => {
  test('does not hit at once whom the change counts as used', async () => {
    const [spared, hit] = [await createTemplate(api), await createTemplate(api)];
    const facts = { lastUsedAt: later(-2 * dayMs), transition: 'stop' } as const;
    const [used, unused] = [await workspaceOf(spared, facts), await workspaceOf(hit, facts)];
    const recent = await workspaceOf(hit, { lastUsedAt: later(-hourMs), transition: 'stop' });
    await patch(spared, { time_til_dormant_ms: dayMs, update_workspace_last_used_at: true });
    await patch(hit, { time_til_dormant_ms: dayMs });
    expect((await row(used)).lastUsedAt).toEqual(now);
    await runTick(api, later(60_000));
    expect((await row(used)).dormantAt).toBeNull();
    expect((await row(unused)).dormantAt).toEqual(later(60_000));
    expect((await row(recent)).dormantAt).toBeNull();
  });

  test('is renewed by the flags alone: nothing of the template changes and nobody is told', async () => {
    const template = await createTemplate(api, { delete_ttl_ms: 3 * dayMs });
    const facts = { dormantAt: later(-dayMs), transition: 'stop' } as const;
    const dormant = await workspaceOf(template, { ...facts, lastUsedAt: later(-9 * dayMs) });
    const awake = await workspaceOf(template, { lastUsedAt: later(-dayMs) });
    const read = async () =>
      (await api.request('GET', `/api/v2/templates/${template.id}`, { token: api.ownerToken })).body.updated_at;
    const before = await read();
    api.clock.now = later(hourMs);
    await patch(template, { update_workspace_last_used_at: true, update_workspace_dormant_at: true });
    expect(await row(dormant)).toMatchObject({
      dormantAt: later(hourMs),
      deletingAt: later(hourMs + 3 * dayMs),
      lastUsedAt: later(-9 * dayMs),
    });
    expect(await row(awake)).toMatchObject({ dormantAt: null, lastUsedAt: later(hourMs) });
    expect(await messagesOf(api.db, dormant)).toHaveLength(0);
    expect(await read()).toBe(before);
    await patch(template, { update_workspace_last_used_at: false }, 304);
  });
});

test('nothing of it reaches a prebuild', async () => {
  const template = await createTemplate(api);
  const id = await insertWorkspaceOf(api.db, template);
  const read = () => api.db.select().from(workspaces).where(eq(workspaces.id, id));
  const before = [await read(), await deadlines(id)];
  await patch(template, {
    ...daily,
    allow_user_autostop: false,
    default_ttl_ms: hourMs,
    autostart_requirement: { days_of_week: ['monday'] },
    time_til_dormant_ms: dayMs,
    time_til_dormant_autodelete_ms: dayMs,
    update_workspace_last_used_at: true,
    update_workspace_dormant_at: true,
  });
  await patch(template, { ...never, default_ttl_ms: 0, allow_user_autostart: false });
  expect([await read(), await deadlines(id)]).toEqual(before);
});
