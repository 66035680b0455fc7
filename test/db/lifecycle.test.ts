import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TestApi, createTestApi } from '../support/api.ts';
import { endBuild, insertParameters } from '../support/build-rows.ts';
import {
  addWorker,
  build,
  endLatest,
  lifecycleDeps,
  messagesOf,
  runTick,
  startedWorkspace,
  stored,
} from '../support/lifecycle-rows.ts';
import { activePoolBuilds, insertPool, prebuildDeps, runCycle } from '../support/pool-rows.ts';
import { createImportedVersion, createTemplate } from '../support/template-rows.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
  await addWorker(api.db);
});
afterAll(() => api.close());

const utc = (text: string) => new Date(`2026-05-${text}Z`);
const berlin = 'CRON_TZ=Europe/Berlin 0 9 * * 1-5';
const names = async (workspaceId: string) => (await messagesOf(api.db, workspaceId)).map(({ name }) => name);
const promote = async (templateId: string, versionId: string) => {
  const answer = await api.request('PATCH', `/api/v2/templates/${templateId}/versions`, {
    token: api.ownerToken,
    body: { id: versionId },
  });
  expect(answer.status).toBe(200);
};
/** Nothing of earlier tests is due any more. */
const onlyThis = async (...ids: string[]): Promise<void> => {
  await api.db.execute(sql`
    update workspaces set next_start_at = null, autostart_schedule = null, dormant_at = null, deleting_at = null,
      failed_at = null, lifecycle_retry_after = null, last_used_at = '2100-01-01' where id not in ${ids}`);
  await api.db.execute(sql`
    update workspace_builds set deadline = null, max_deadline = null where workspace_id not in ${ids}`);
};

describe('autostart', () => {
  test('waits for the next allowed day, starts at its minute and on no other day', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('15T08:00:00'), autostart_schedule: berlin });
    await onlyThis(id);
    await build(api, id, { transition: 'stop', at: utc('15T16:00:00') });
    expect((await stored(api.db, id)).nextStartAt).toEqual(utc('18T07:00:00'));
    for (const day of ['16T07:00', '17T07:00', '18T06:59'])
      expect(await runTick(api, utc(`${day}:00`))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('18T07:00:12'))).toMatchObject({ builds: 1, actions: { start: 1 } });
    expect(await stored(api.db, id)).toMatchObject({
      transition: 'start',
      reason: 'autostart',
      status: 'pending',
      buildNumber: 3,
      initiatorId: api.owner.id,
      nextStartAt: utc('19T07:00:00'),
    });
    // Its build is active: a tick leaves it alone.
    expect(await runTick(api, utc('18T07:01:00'))).toMatchObject({ builds: 0 });
    const [audit] = await api.db.execute<Record<string, unknown>>(sql`
      select actor, user_id, host(ip) as ip, additional_fields ->> 'build_reason' as reason from audit_logs
      where resource_id = ${(await stored(api.db, id)).buildId}`);
    expect(audit).toEqual({ actor: 'autobuild', user_id: api.owner.id, ip: '127.0.0.1', reason: 'autostart' });
  });

  test('skips days that the template blocks, and never comes where all are blocked', async () => {
    const days = ['tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
    const template = await createTemplate(api, { autostart_requirement: { days_of_week: days } });
    const id = await startedWorkspace(api, template, { at: utc('15T08:00:00'), autostart_schedule: berlin });
    await onlyThis(id);
    await build(api, id, { transition: 'stop', at: utc('15T16:00:00') });
    expect((await stored(api.db, id)).nextStartAt).toEqual(utc('19T07:00:00'));
    const never = await createTemplate(api, { autostart_requirement: { days_of_week: [] } });
    const other = await startedWorkspace(api, never, { at: utc('15T08:00:00'), autostart_schedule: berlin });
    await onlyThis(other);
    await build(api, other, { transition: 'stop', at: utc('15T16:00:00') });
    expect((await stored(api.db, other)).nextStartAt).toBe(null);
    for (const minute of ['07', '22']) {
      expect(await runTick(api, utc(`18T07:${minute}:00`))).toMatchObject({ builds: 0 });
      expect((await stored(api.db, other)).nextStartAt).toBe(null);
    }
  });

  test('is not lost when the stop runs across its time, nor when it meets a stop by deadline', async () => {
    const template = await createTemplate(api);
    const schedule = 'CRON_TZ=UTC 0 9 * * *';
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), autostart_schedule: schedule });
    await onlyThis(id);
    await build(api, id, { transition: 'stop', at: utc('14T08:59:30'), endAt: utc('14T09:00:40') });
    expect((await stored(api.db, id)).nextStartAt).toEqual(utc('14T09:00:00'));
    expect(await runTick(api, utc('14T09:01:00'))).toMatchObject({ actions: { start: 1 } });
    await endLatest(api, id, { at: utc('14T09:02:00') });
    // A deadline that is the hard limit too, at the time of the start.
    await api.db.execute(sql`
      update workspace_builds set deadline = '2026-05-15T09:00:00Z', max_deadline = '2026-05-15T09:00:00Z'
      where workspace_id = ${id} and is_latest`);
    expect(await runTick(api, utc('15T09:00:00'))).toMatchObject({ actions: { stop: 1 } });
    expect(await stored(api.db, id)).toMatchObject({ transition: 'stop', reason: 'autostop' });
    await endLatest(api, id, { at: utc('15T09:00:50') });
    expect(await runTick(api, utc('15T09:01:00'))).toMatchObject({ actions: { start: 1 } });
    await endLatest(api, id, { at: utc('15T09:02:00') });
    expect(await runTick(api, utc('15T09:03:00'))).toMatchObject({ builds: 0 });
  });

  test('does not come on the day on which it is set for an earlier hour', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00') });
    await onlyThis(id);
    await build(api, id, { transition: 'stop', at: utc('13T08:30:00') });
    api.clock.now = utc('13T10:00:00');
    const put = await api.request('PUT', `/api/v2/workspaces/${id}/autostart`, {
      token: api.ownerToken,
      body: { schedule: '0 9 * * *' },
    });
    expect(put.status).toBe(204);
    expect(await runTick(api, utc('13T10:01:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('14T09:00:00'))).toMatchObject({ builds: 1 });
  });

  test('is not for owners who are not active, dormant workspaces and those whose last start failed', async () => {
    const template = await createTemplate(api);
    const user = await api.createUser();
    const start = async () => {
      const id = await startedWorkspace(api, template, {
        at: utc('13T08:00:00'),
        token: user.token,
        autostart_schedule: '0 9 * * *',
      });
      await onlyThis(id);
      await build(api, id, { transition: 'stop', at: utc('13T08:30:00'), token: user.token });
      return id;
    };
    for (const status of ['suspended', 'dormant']) {
      const id = await start();
      await api.db.execute(sql`update users set status = ${status} where id = ${user.id}`);
      expect(await runTick(api, utc('13T09:00:00'))).toMatchObject({ builds: 0, skipped: { not_eligible: 1 } });
      // What is not owed is not looked at every minute.
      expect((await stored(api.db, id)).nextStartAt).toEqual(utc('14T09:00:00'));
      expect(await runTick(api, utc('13T09:01:00'))).toMatchObject({ due: {} });
      await api.db.execute(sql`update users set status = 'active' where id = ${user.id}`);
    }
    const failed = await start();
    await build(api, failed, { transition: 'start', at: utc('13T08:40:00'), token: user.token, error: 'no' });
    expect(await runTick(api, utc('13T09:00:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('14T09:00:00'))).toMatchObject({ builds: 0 });
    await build(api, failed, { transition: 'stop', at: utc('14T09:10:00'), token: user.token });
    expect(await runTick(api, utc('15T09:00:00'))).toMatchObject({ builds: 1 });
  });

  test('uses the active version where it has to, says so once, and the version of before elsewhere', async () => {
    const template = await createTemplate(api);
    const schedule = { at: utc('13T08:00:00'), autostart_schedule: '0 9 * * *' };
    const follows = await startedWorkspace(api, template, { ...schedule, automatic_updates: 'always' });
    await onlyThis(follows);
    const stays = await startedWorkspace(api, template, schedule);
    for (const id of [follows, stays]) await build(api, id, { transition: 'stop', at: utc('13T08:30:00') });
    const next = await createImportedVersion(api, { body: { template_id: template.id, message: 'newer tools' } });
    await promote(template.id, next);
    expect(await runTick(api, utc('13T09:00:00'))).toMatchObject({ builds: 2 });
    expect((await stored(api.db, follows)).versionId).toBe(next);
    expect((await stored(api.db, stays)).versionId).toBe(template.active_version_id);
    expect(await messagesOf(api.db, follows)).toMatchObject([
      {
        name: 'Workspace Updated Automatically',
        user_id: api.owner.id,
        labels: { initiator: 'autobuild', reason: 'autostart', template_version_message: 'newer tools' },
      },
    ]);
    expect(await names(stays)).toEqual([]);
  });

  test('that lacks a value of the active version is told once and tried again the next day', async () => {
    const template = await createTemplate(api, { require_active_version: true });
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), autostart_schedule: '0 9 * * *' });
    await onlyThis(id);
    await build(api, id, { transition: 'stop', at: utc('13T08:30:00') });
    const next = await createImportedVersion(api, { body: { template_id: template.id } });
    await insertParameters(api.db, next, [{ name: 'project', required: true, defaultValue: '' }]);
    await promote(template.id, next);
    for (const day of ['13', '14']) {
      expect(await runTick(api, utc(`${day}T09:00:00`))).toMatchObject({ builds: 0 });
      expect(await runTick(api, utc(`${day}T09:01:00`))).toMatchObject({ due: {} });
    }
    expect((await stored(api.db, id)).nextStartAt).toEqual(utc('15T09:00:00'));
    expect(await names(id)).toEqual(['Workspace Autobuild Failed']);
    const resolve = await api.request('GET', `/api/v2/workspaces/${id}/resolve-autostart`, { token: api.ownerToken });
    expect(resolve.body).toEqual({ parameter_mismatch: true });
  });

  test('of a workspace that runs already moves its deadline as if it had been started then', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, {
      at: utc('13T08:00:00'),
      autostart_schedule: '0 9 * * *',
      ttl_ms: 8 * 3_600_000,
    });
    await onlyThis(id);
    await api.db.execute(sql`
      update workspace_builds set deadline = '2026-05-13T10:00:00Z' where workspace_id = ${id} and is_latest`);
    expect(await runTick(api, utc('13T09:00:00'))).toMatchObject({ builds: 0 });
    expect(await stored(api.db, id)).toMatchObject({
      deadline: utc('13T17:00:00'),
      nextStartAt: utc('14T09:00:00'),
    });
    expect(await runTick(api, utc('13T09:01:00'))).toMatchObject({ due: {} });
  });

  test('after an outage comes once, unless it is too late for it', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('10T08:00:00'), autostart_schedule: '0 9 * * *' });
    await onlyThis(id);
    await build(api, id, { transition: 'stop', at: utc('10T08:30:00') });
    const strict = lifecycleDeps(api, { rules: { autostartMaxLatenessMs: 3_600_000 } });
    expect(await runTick(api, utc('11T12:17:00'), strict)).toMatchObject({ builds: 0 });
    expect((await stored(api.db, id)).nextStartAt).toEqual(utc('12T09:00:00'));
    expect(await runTick(api, utc('13T12:17:00'))).toMatchObject({ builds: 1 });
    expect(await runTick(api, utc('13T12:18:00'))).toMatchObject({ builds: 0 });
    expect((await stored(api.db, id)).buildNumber).toBe(3);
  });

  test('that failed is tried again after 5, 10 and 20 minutes, then given up and told', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('12T08:00:00'), autostart_schedule: '0 9 * * *' });
    await onlyThis(id);
    await build(api, id, { transition: 'stop', at: utc('12T08:30:00') });
    for (const [tick, early] of [
      ['12T09:00'],
      ['12T09:06', '12T09:05'],
      ['12T09:17', '12T09:16'],
      ['12T09:38', '12T09:37'],
    ]) {
      if (early !== undefined) expect(await runTick(api, utc(`${early}:00`))).toMatchObject({ builds: 0 });
      expect(await runTick(api, utc(`${tick}:00`))).toMatchObject({ actions: { start: 1 } });
      await endLatest(api, id, { at: utc(`${tick}:30`), error: 'no capacity' });
    }
    expect(await stored(api.db, id)).toMatchObject({ retryAfter: null, attempts: 3, buildNumber: 6 });
    expect(await runTick(api, utc('12T12:00:00'))).toMatchObject({ builds: 0 });
    const told = (await messagesOf(api.db, id)).filter(({ name }) => name === 'Workspace Autobuild Failed');
    expect(told.map(({ labels }) => labels['retry'])).toEqual([
      'It is tried again at 2026-05-12 09:05 UTC.',
      'It has failed 4 times and is not tried again.',
    ]);
  });

  test('is computed where it is missing, and a schedule that cannot be read stops nobody else', async () => {
    const template = await createTemplate(api);
    const other = await startedWorkspace(api, template, { at: utc('12T08:00:00'), autostart_schedule: '0 9 * * *' });
    await onlyThis(other);
    const broken = await startedWorkspace(api, template, { at: utc('12T08:00:00'), autostart_schedule: '0 9 * * *' });
    for (const id of [broken, other]) await build(api, id, { transition: 'stop', at: utc('12T08:30:00') });
    await api.db.execute(sql`update workspaces set autostart_schedule = 'never mind' where id = ${broken}`);
    expect(await runTick(api, utc('12T09:00:00'))).toMatchObject({ builds: 1 });
    expect((await stored(api.db, broken)).nextStartAt).toBe(null);
    await api.db.execute(sql`
      update workspaces set autostart_schedule = 'CRON_TZ=UTC 0 9 * * *' where id = ${broken}`);
    await runTick(api, utc('12T09:06:00'));
    expect((await stored(api.db, broken)).nextStartAt).toBe(null);
    await runTick(api, utc('12T09:07:00'));
    expect((await stored(api.db, broken)).nextStartAt).toEqual(utc('13T09:00:00'));
  });
});

describe('autostop', () => {
  test('comes with the minute of the deadline', async () => {
    const template = await createTemplate(api);
    const at = async (deadline: string) => {
      const id = await startedWorkspace(api, template, { at: utc('13T08:00:00') });
      await api.db.execute(sql`update workspace_builds set deadline = ${deadline} where workspace_id = ${id}`);
      return id;
    };
    const [whole, later] = [await at('2026-05-13T12:00:00Z'), await at('2026-05-13T12:00:01Z')];
    await onlyThis(whole, later);
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
    await onlyThis(id);
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
    await onlyThis(id);
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
    await onlyThis(id);
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
    await onlyThis(id);
    await runTick(api, utc('09T10:00:00'));
    await endLatest(api, id, { at: utc('09T10:01:00') });
    expect(await runTick(api, utc('12T10:00:00'))).toMatchObject({ builds: 0 });
    expect(await runTick(api, utc('12T10:01:00'))).toMatchObject({ actions: { delete: 1 } });
    expect(await stored(api.db, id)).toMatchObject({ transition: 'delete', reason: 'autodelete' });
    const next = await createImportedVersion(api, { body: { template_id: template.id } });
    await promote(template.id, next);
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
    await onlyThis(id);
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
    await onlyThis(id);
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

describe('a tick', () => {
  test('builds nothing that no worker could run, and all of it once there is one', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), autostart_schedule: '0 9 * * *' });
    await onlyThis(id);
    await build(api, id, { transition: 'stop', at: utc('13T08:30:00') });
    await api.db.execute(sql`update provisioner_daemons set last_seen_at = now() - interval '91 seconds'`);
    for (const minute of ['00', '01', '02'])
      expect(await runTick(api, utc(`13T09:${minute}:00`))).toMatchObject({ builds: 0, skipped: { no_worker: 1 } });
    expect((await stored(api.db, id)).nextStartAt).toEqual(utc('13T09:00:00'));
    await api.db.execute(sql`update provisioner_daemons set last_seen_at = now()`);
    expect(await runTick(api, utc('13T09:03:00'))).toMatchObject({ builds: 1 });
  });

  test('does no more than its limit and leaves the rest to the next', async () => {
    const template = await createTemplate(api);
    const ids = await Promise.all(
      Array.from({ length: 30 }, () => startedWorkspace(api, template, { at: utc('13T08:00:00'), ttl_ms: 3_600_000 })),
    );
    await onlyThis(...ids);
    const deps = lifecycleDeps(api, { maxBuildsPerTick: 20 });
    expect(await runTick(api, utc('13T09:00:00'), deps)).toMatchObject({ builds: 20 });
    expect(await runTick(api, utc('13T09:01:00'), deps)).toMatchObject({ builds: 10 });
    for (const id of ids) expect(await stored(api.db, id)).toMatchObject({ buildNumber: 2, reason: 'autostop' });
  });

  test('leaves prebuilds alone whatever their rows say', async () => {
    const template = await createTemplate(api, {
      failure_ttl_ms: 3_600_000,
      dormant_ttl_ms: 3_600_000,
      default_ttl_ms: 3_600_000,
    });
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00') });
    await onlyThis(id);
    await api.db.execute(sql`
      alter table workspaces disable trigger all`);
    await api.db.execute(sql`
      update workspaces set owner_id = 'c42fdf75-3097-471c-8c33-fb52454d81c0', ttl_ms = null, autostart_schedule = null,
        next_start_at = null, failed_at = '2026-05-13T08:00:00Z', lifecycle_retry_after = '2026-05-13T08:00:00Z' where id = ${id}`);
    await api.db.execute(sql`
      update workspace_builds set deadline = '2026-05-13T09:00:00Z', max_deadline = '2026-05-13T09:00:00Z' where workspace_id = ${id}`);
    for (const day of ['13', '14', '20', '30'])
      expect(await runTick(api, utc(`${day}T10:07:00`))).toMatchObject({ due: {} });
  });

  test('passes over a workspace that somebody else is at', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), ttl_ms: 3_600_000 });
    await api.db.transaction(async (tx) => {
      await tx.execute(sql`select id from workspaces where id = ${id} for update`);
      expect(await runTick(api, utc('13T09:00:00'))).toMatchObject({ builds: 0, skipped: { locked: 1 } });
    });
    expect(await runTick(api, utc('13T09:01:00'))).toMatchObject({ builds: 1 });
  });
});

test('two ticks and 200 requests at once give each of 500 workspaces one build', async () => {
  const template = await createTemplate(api);
  const first = await startedWorkspace(api, template, { at: utc('13T08:00:00'), autostart_schedule: '0 9 * * *' });
  await onlyThis(first);
  await build(api, first, { transition: 'stop', at: utc('13T08:30:00') });
  const copies = Array.from({ length: 499 }, () => randomUUID());
  await copyWorkspace(first, copies);
  const ids = [first, ...copies];
  api.clock.now = utc('13T09:00:00');
  const request = (id: string) =>
    api.request('POST', `/api/v2/workspaces/${id}/builds`, { token: api.ownerToken, body: { transition: 'start' } });
  const [a, b, ...answers] = await Promise.all([
    runTick(api, utc('13T09:00:00')),
    runTick(api, utc('13T09:00:00')),
    ...ids.slice(0, 200).map(request),
  ]);
  const requested = answers.filter(({ status }) => status === 201).length;
  expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true);
  // One that was locked at the wrong moment is still due.
  const late = await runTick(api, utc('13T09:01:00'));
  expect(a.builds + b.builds + late.builds + requested).toBe(ids.length);
  const rows = await api.db.execute<{ builds: number; last: number }>(sql`
    select count(*) filter (where build_number > 2)::int as builds, max(build_number) as last from workspace_builds
    where workspace_id in ${ids} group by workspace_id`);
  expect(rows).toHaveLength(ids.length);
  expect(rows.filter(({ builds, last }) => builds !== 1 || last !== 3)).toEqual([]);
  expect(a.skipped['error'] ?? 0).toBe(0);
  expect(b.skipped['error'] ?? 0).toBe(0);
});

/** Stopped copies of a workspace, each with its last build. */
async function copyWorkspace(from: string, ids: readonly string[]): Promise<void> {
  await api.db.execute(sql`
    with n as (select value::uuid as id, gen_random_uuid() as job_id, gen_random_uuid() as build_id
      from json_array_elements_text(${JSON.stringify(ids)}::text::json)),
    j as (insert into provisioner_jobs (id, created_at, started_at, completed_at, organization_id, initiator_id, type, input, file_id, tags, workflow_id, priority, provisioner)
      select n.job_id, j.created_at, j.started_at, j.completed_at, j.organization_id, j.initiator_id, j.type, '{}', j.file_id, j.tags, 'build/' || n.build_id, j.priority, 'terraform'
      from n, workspace_builds b join provisioner_jobs j on j.id = b.job_id where b.workspace_id = ${from} and b.is_latest returning id),
    w as (insert into workspaces (id, created_at, updated_at, owner_id, organization_id, template_id, name, autostart_schedule, next_start_at, last_used_at, latest_build_id)
      select n.id, w.created_at, w.updated_at, w.owner_id, w.organization_id, w.template_id, 'c-' || n.id, w.autostart_schedule, w.next_start_at, w.last_used_at, n.build_id
      from n, workspaces w where w.id = ${from} returning id)
    insert into workspace_builds (id, created_at, updated_at, workspace_id, build_number, template_version_id, transition, reason, initiator_id, job_id, is_latest, active)
    select n.build_id, b.created_at, b.updated_at, n.id, b.build_number, b.template_version_id, b.transition, b.reason, b.initiator_id, n.job_id, true, false
    from n, workspace_builds b where b.workspace_id = ${from} and b.is_latest`);
}
