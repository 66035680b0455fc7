import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestApi, type TestApi } from '../support/api.ts';
import { insertParameters } from '../support/build-rows.ts';
import {
  addWorker,
  build,
  endLatest,
  lifecycleDeps,
  messagesOf,
  onlyDue,
  runTick,
  startedWorkspace,
  stored,
} from '../support/lifecycle-rows.ts';
import { createImportedVersion, createTemplate, promote } from '../support/template-rows.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
  await addWorker(api.db);
});
afterAll(() => api.close());

const utc = (text: string) => new Date(`2026-05-${text}Z`);
const berlin = 'CRON_TZ=Europe/Berlin 0 9 * * 1-5';
const names = async (workspaceId: string) => (await messagesOf(api.db, workspaceId)).map(({ name }) => name);

describe('autostart', () => {
  test('waits for the next allowed day, starts at its minute and on no other day', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('15T08:00:00'), autostart_schedule: berlin });
    await onlyDue(api, id);
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
    await onlyDue(api, id);
    await build(api, id, { transition: 'stop', at: utc('15T16:00:00') });
    expect((await stored(api.db, id)).nextStartAt).toEqual(utc('19T07:00:00'));
    const never = await createTemplate(api, { autostart_requirement: { days_of_week: [] } });
    const other = await startedWorkspace(api, never, { at: utc('15T08:00:00'), autostart_schedule: berlin });
    await onlyDue(api, other);
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
    await onlyDue(api, id);
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
    await onlyDue(api, id);
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
      await onlyDue(api, id);
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
    await onlyDue(api, follows);
    const stays = await startedWorkspace(api, template, schedule);
    for (const id of [follows, stays]) await build(api, id, { transition: 'stop', at: utc('13T08:30:00') });
    const next = await createImportedVersion(api, { body: { template_id: template.id, message: 'newer tools' } });
    await promote(api, template.id, next);
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
    await onlyDue(api, id);
    await build(api, id, { transition: 'stop', at: utc('13T08:30:00') });
    const next = await createImportedVersion(api, { body: { template_id: template.id } });
    await insertParameters(api.db, next, [{ name: 'project', required: true, defaultValue: '' }]);
    await promote(api, template.id, next);
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
    await onlyDue(api, id);
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
    await onlyDue(api, id);
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
    await onlyDue(api, id);
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
    await onlyDue(api, other);
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
