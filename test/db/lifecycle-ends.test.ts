import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestApi, type TestApi } from '../support/api.ts';
import { endBuild } from '../support/build-rows.ts';
import {
  addWorker,
  build,
  endLatest,
  messagesOf,
  onlyDue,
  runTick,
  startedWorkspace,
  stored,
} from '../support/lifecycle-rows.ts';
import { activePoolBuilds, insertPool, prebuildDeps, runCycle } from '../support/pool-rows.ts';
import { createImportedVersion, createTemplate, promote } from '../support/template-rows.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
  await addWorker(api.db);
});
afterAll(() => api.close());

const utc = (text: string) => new Date(`2026-05-${text}Z`);
const names = async (workspaceId: string) => (await messagesOf(api.db, workspaceId)).map(({ name }) => name);

describe('autostop', () => {
  test('comes with the minute of the deadline', async () => {
    const template = await createTemplate(api);
    const at = async (deadline: string) => {
      const id = await startedWorkspace(api, template, { at: utc('13T08:00:00') });
      await api.db.execute(sql`update workspace_builds set deadline = ${deadline} where workspace_id = ${id}`);
      return id;
    };
    const [whole, later] = [await at('2026-05-13T12:00:00Z'), await at('2026-05-13T12:00:01Z')];
    await onlyDue(api, whole, later);
    expect(await runTick(api, utc('13T11:59:59'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('13T12:00:37'))).toMatchObject({ builds: 1 });
    expect(await stored(api.db, whole)).toMatchObject({ transition: 'stop', reason: 'autostop' });
    expect((await stored(api.db, later)).transition).toBe('start');
    expect(await runTick(api, utc('13T12:01:00'))).toMatchObject({ builds: 1 });
  });

  test('takes what a suspended owner has running, deadline or not', async () => {
    const template = await createTemplate(api);
    const user = await api.createUser();
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), token: user.token });
    await api.db.execute(sql`update workspace_builds set deadline = null where workspace_id = ${id}`);
    const { status } = await api.request('PUT', `/api/v2/users/${user.id}/status/suspend`, { token: api.ownerToken });
    expect(status).toBe(200);
    expect(await runTick(api, utc('13T08:01:00'))).toMatchObject({ actions: { stop: 1 }, due: { suspended: 1 } });
    expect(await stored(api.db, id)).toMatchObject({ transition: 'stop', reason: 'autostop' });
  });

  test('that failed is tried again, and given up at last', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), ttl_ms: 3_600_000 });
    await onlyDue(api, id);
    for (const tick of ['13T09:00', '13T09:06', '13T09:17', '13T09:38']) {
      expect(await runTick(api, utc(`${tick}:00`))).toMatchObject({ actions: { stop: 1 } });
      await endLatest(api, id, { at: utc(`${tick}:30`), error: 'no' });
    }
    expect(await runTick(api, utc('13T20:00:00'))).toMatchObject({ builds: 0 });
    expect((await names(id)).filter((name) => name === 'Workspace Autobuild Failed')).toHaveLength(2);
  });

  test('leaves workspaces with an agent outside alone', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), ttl_ms: 3_600_000 });
    await api.db.execute(sql`update workspace_builds set has_external_agent = true where workspace_id = ${id}`);
    expect(await runTick(api, utc('13T12:00:00'))).toMatchObject({ due: {} });
  });
});

describe('clean-up of failed builds', () => {
  test('stops after the time of the template, and waits longer each time that it fails', async () => {
    const template = await createTemplate(api, { failure_ttl_ms: 3_600_000 });
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00') });
    await onlyDue(api, id);
    await build(api, id, { transition: 'start', at: utc('13T10:00:00'), error: 'no' });
    expect(await runTick(api, utc('13T11:00:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('13T11:01:00'))).toMatchObject({ actions: { stop: 1 } });
    expect(await stored(api.db, id)).toMatchObject({ reason: 'autostop', failedAt: null });
    await endLatest(api, id, { at: utc('13T11:02:00'), error: 'no' });
    expect(await runTick(api, utc('13T13:01:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('13T13:02:00'))).toMatchObject({ actions: { stop: 1 } });
    await endLatest(api, id, { at: utc('13T13:03:00'), error: 'no' });
    expect(await runTick(api, utc('13T17:02:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('13T17:03:00'))).toMatchObject({ actions: { stop: 1 } });
    await endLatest(api, id, { at: utc('13T17:04:00') });
    expect(await stored(api.db, id)).toMatchObject({ failedAt: null, retryAfter: null, attempts: 0 });
    // A start that was canceled has left something as well.
    await build(api, id, { transition: 'start', at: utc('13T18:00:00'), canceled: true });
    expect(await runTick(api, utc('13T19:01:00'))).toMatchObject({ actions: { stop: 1 } });
  });

  test('tells those who keep the template of what people could not build', async () => {
    const admin = await api.createUser({ roles: ['template-admin'] });
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00') });
    await build(api, id, { transition: 'stop', at: utc('13T10:00:00'), error: 'no' });
    expect(await messagesOf(api.db, id)).toMatchObject([
      { name: 'Workspace Manual Build Failed', user_id: admin.id, labels: { initiator: 'owner' } },
    ]);
  });
});

describe('dormancy', () => {
  const week = 7 * 24 * 3_600_000;

  test('comes after more than the time, stops what runs, and is told with the time of the deletion', async () => {
    const template = await createTemplate(api, { dormant_ttl_ms: week, delete_ttl_ms: 3 * 24 * 3_600_000 });
    const other = await createTemplate(api, { dormant_ttl_ms: week });
    const running = await startedWorkspace(api, template, { at: utc('01T10:00:00'), autostart_schedule: '0 12 * * *' });
    const stopped = await startedWorkspace(api, other, { at: utc('01T09:00:00') });
    await build(api, stopped, { transition: 'stop', at: utc('01T09:30:00') });
    await api.db.execute(sql`
      update workspaces set last_used_at = '2026-05-01T10:00:00Z' where id in (${running}, ${stopped})`);
    expect(await runTick(api, utc('08T10:00:00'))).toMatchObject({ actions: {} });
    expect(await runTick(api, utc('08T10:01:00'))).toMatchObject({
      builds: 1,
      actions: { stop: 1, 'mark-dormant': 1 },
    });
    expect(await stored(api.db, running)).toMatchObject({
      transition: 'stop',
      reason: 'dormancy',
      dormantAt: utc('08T10:01:00'),
      deletingAt: utc('11T10:01:00'),
      nextStartAt: null,
      lastUsedAt: utc('01T10:00:00'),
    });
    expect(await stored(api.db, stopped)).toMatchObject({
      buildNumber: 2,
      dormantAt: utc('08T10:01:00'),
      deletingAt: null,
    });
    const [message] = await messagesOf(api.db, running);
    expect(message).toMatchObject({ name: 'Workspace Marked as Dormant', labels: { timeTilDelete: 'in 3 days' } });
    expect((await messagesOf(api.db, stopped))[0]!.labels).not.toHaveProperty('timeTilDelete');
    await endLatest(api, running, { at: utc('08T10:02:00') });
    expect(await runTick(api, utc('08T10:03:00'))).toMatchObject({ builds: 0 });
  });

  test('stops again what could not be stopped', async () => {
    const template = await createTemplate(api, { dormant_ttl_ms: week });
    const id = await startedWorkspace(api, template, { at: utc('01T10:00:00') });
    await onlyDue(api, id);
    await runTick(api, utc('09T10:00:00'));
    await endLatest(api, id, { at: utc('09T10:01:00'), error: 'no' });
    expect(await runTick(api, utc('09T10:05:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('09T10:06:00'))).toMatchObject({ actions: { stop: 1 } });
    expect((await stored(api.db, id)).reason).toBe('dormancy');
  });

  test('ends with the deletion, which waits a day after it failed', async () => {
    const admin = await api.createUser({ roles: ['template-admin'] });
    const template = await createTemplate(api, { dormant_ttl_ms: week, delete_ttl_ms: 3 * 24 * 3_600_000 });
    const id = await startedWorkspace(api, template, { at: utc('01T10:00:00') });
    await onlyDue(api, id);
    await runTick(api, utc('09T10:00:00'));
    await endLatest(api, id, { at: utc('09T10:01:00') });
    expect(await runTick(api, utc('12T10:00:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('12T10:01:00'))).toMatchObject({ actions: { delete: 1 } });
    expect(await stored(api.db, id)).toMatchObject({ transition: 'delete', reason: 'autodelete' });
    const next = await createImportedVersion(api, { body: { template_id: template.id } });
    await promote(api, template.id, next);
    await endLatest(api, id, { at: utc('12T10:02:00'), error: 'no' });
    expect((await messagesOf(api.db, id)).some(({ user_id }) => user_id === admin.id)).toBe(true);
    expect(await runTick(api, utc('13T10:01:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('13T10:02:00'))).toMatchObject({ actions: { delete: 1 } });
    // The version that failed is not tried for ever.
    expect((await stored(api.db, id)).versionId).toBe(next);
    await endLatest(api, id, { at: utc('13T10:03:00') });
    expect((await stored(api.db, id)).deleted).toBe(true);
    expect((await messagesOf(api.db, id)).at(-1)).toMatchObject({
      name: 'Workspace Deleted',
      labels: { initiator: 'autobuild' },
    });
  });

  test('is over once somebody wakes the workspace', async () => {
    const template = await createTemplate(api, { dormant_ttl_ms: week, delete_ttl_ms: week });
    const id = await startedWorkspace(api, template, { at: utc('01T10:00:00') });
    await onlyDue(api, id);
    await runTick(api, utc('09T10:00:00'));
    await endLatest(api, id, { at: utc('09T10:01:00') });
    api.clock.now = utc('10T10:00:00');
    const woken = await api.request('PUT', `/api/v2/workspaces/${id}/dormant`, {
      token: api.ownerToken,
      body: { dormant: false },
    });
    expect(woken.status).toBe(200);
    expect(await stored(api.db, id)).toMatchObject({
      dormantAt: null,
      deletingAt: null,
      lastUsedAt: utc('10T10:00:00'),
    });
    expect(await runTick(api, utc('10T10:01:00'))).toMatchObject({ builds: 0, actions: {} });
  });
});

describe('the reminder', () => {
  const remindable = async (deadline: string, maxDeadline: string | null = null) => {
    const template = await createTemplate(api, { time_til_autostop_notify_ms: 30 * 60_000 });
    const id = await startedWorkspace(api, template, { at: utc('13T12:00:00') });
    await onlyDue(api, id);
    await api.db.execute(sql`
      update workspace_builds set deadline = ${deadline}, max_deadline = ${maxDeadline} where workspace_id = ${id}`);
    await api.db.execute(sql`update workspaces set last_used_at = '2026-05-13T12:00:00Z' where id = ${id}`);
    return id;
  };
  const usedAt = (id: string, at: string) =>
    api.db.execute(sql`update workspaces set last_used_at = ${at} where id = ${id}`);

  test('comes once for each deadline', async () => {
    const id = await remindable('2026-05-13T18:00:00Z');
    expect(await runTick(api, utc('13T17:29:00'))).toMatchObject({ actions: {} });
    expect(await runTick(api, utc('13T17:30:00'))).toMatchObject({ actions: { remind: 1 } });
    expect(await runTick(api, utc('13T17:31:00'))).toMatchObject({ due: {} });
    await api.db.execute(sql`update workspace_builds set deadline = '2026-05-13T19:00:00Z' where workspace_id = ${id}`);
    expect(await runTick(api, utc('13T18:29:00'))).toMatchObject({ actions: {} });
    expect(await runTick(api, utc('13T18:30:00'))).toMatchObject({ actions: { remind: 1 } });
    expect(await messagesOf(api.db, id)).toMatchObject([
      { name: 'Workspace Autostop Reminder', labels: { timeTilShutdown: 'in 30 minutes' } },
      { name: 'Workspace Autostop Reminder' },
    ]);
  });

  test('is not for those who are at work, unless the deadline cannot move', async () => {
    const working = await remindable('2026-05-13T18:00:00Z');
    await usedAt(working, '2026-05-13T17:25:00Z');
    expect(await runTick(api, utc('13T17:30:00'))).toMatchObject({ actions: {} });
    const limited = await remindable('2026-05-13T18:00:00Z', '2026-05-13T18:00:00Z');
    await usedAt(limited, '2026-05-13T17:25:00Z');
    expect(await runTick(api, utc('13T17:30:00'))).toMatchObject({ actions: { remind: 1 } });
  });
});

describe('what the end of a build leaves', () => {
  const at = utc('13T10:00:00');

  test('is a deadline by the time to live and a hard limit by the quiet hours', async () => {
    const everyDay = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
    const template = await createTemplate(api, { autostop_requirement: { days_of_week: everyDay, weeks: 1 } });
    const user = await api.createUser();
    await api.db.execute(sql`
      update users set quiet_hours_schedule = 'CRON_TZ=Europe/Berlin 0 2 * * *' where id = ${user.id}`);
    const limited = await startedWorkspace(api, template, { at, ttl_ms: 24 * 3_600_000, token: user.token });
    expect(await stored(api.db, limited)).toMatchObject({
      deadline: utc('14T00:00:00'),
      maxDeadline: utc('14T00:00:00'),
    });
    const short = await startedWorkspace(api, template, { at, ttl_ms: 3_600_000, token: user.token });
    expect(await stored(api.db, short)).toMatchObject({
      deadline: utc('13T11:00:00'),
      maxDeadline: utc('14T00:00:00'),
    });
    // Other quiet hours count from the next start.
    api.clock.now = utc('13T10:30:00');
    const quiet = await api.request('PUT', `/api/v2/users/${user.id}/quiet-hours`, {
      token: user.token,
      body: { schedule: 'CRON_TZ=UTC 0 20 * * *' },
    });
    expect(quiet.status).toBe(200);
    expect((await stored(api.db, limited)).maxDeadline).toEqual(utc('14T00:00:00'));
    await build(api, limited, { transition: 'start', at: utc('13T11:00:00'), token: user.token });
    expect((await stored(api.db, limited)).maxDeadline).toEqual(utc('13T20:00:00'));
    // Without a time to live the hard limit is all there is; a stop has neither.
    await build(api, short, { transition: 'stop', at: utc('13T12:00:00'), token: user.token });
    expect(await stored(api.db, short)).toMatchObject({ deadline: null, maxDeadline: null });
  });

  test('is a deadline after the next start, if that lies before it', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, {
      at: utc('12T21:45:00'),
      autostart_schedule: '0 9 * * *',
      ttl_ms: 12 * 3_600_000,
    });
    expect((await stored(api.db, id)).deadline).toEqual(utc('13T21:00:00'));
  });

  test('is the time to live of the template where users may not choose', async () => {
    const template = await createTemplate(api, { default_ttl_ms: 8 * 3_600_000 });
    const id = await startedWorkspace(api, template, { at, ttl_ms: 3_600_000 });
    await api.db.execute(sql`update templates set allow_user_autostop = false where id = ${template.id}`);
    await build(api, id, { transition: 'start', at: utc('13T11:00:00') });
    expect((await stored(api.db, id)).deadline).toEqual(utc('13T19:00:00'));
  });

  test('is nothing for a prebuild, whatever the template says', async () => {
    const template = await createTemplate(api, {
      default_ttl_ms: 8 * 3_600_000,
      dormant_ttl_ms: 3_600_000,
      failure_ttl_ms: 3_600_000,
      autostop_requirement: { days_of_week: ['monday'], weeks: 1 },
    });
    const pool = await insertPool(api.db, template.active_version_id, { desired: 2 });
    expect(pool).not.toBe('');
    await runCycle(prebuildDeps(api));
    const [good, bad] = await activePoolBuilds(api.db, template.id);
    await endBuild(api.db, good!.buildId, { now: at });
    await endBuild(api.db, bad!.buildId, { now: at, error: 'no' });
    for (const { workspaceId } of [good!, bad!])
      expect(await stored(api.db, workspaceId)).toMatchObject({
        nextStartAt: null,
        ttlMs: null,
        dormantAt: null,
        deletingAt: null,
        failedAt: null,
        retryAfter: null,
        deadline: null,
        maxDeadline: null,
      });
    await api.db.execute(sql`update template_version_presets set desired_instances = null where id = ${pool}`);
  });

  test('keeps to the rule that no deadline is beyond the hard limit', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at });
    const set = (deadline: string | null, maxDeadline: string | null) =>
      api.db.execute(sql`
        update workspace_builds set deadline = ${deadline}, max_deadline = ${maxDeadline} where workspace_id = ${id}`);
    const violated = { cause: { constraint_name: 'workspace_builds_deadline_below_max_deadline' } };
    await expect(set('2026-05-13T10:00:00.001Z', '2026-05-13T10:00:00Z')).rejects.toMatchObject(violated);
    await expect(set(null, '2026-05-13T10:00:00Z')).rejects.toMatchObject(violated);
    await set(null, null);
  });
});
