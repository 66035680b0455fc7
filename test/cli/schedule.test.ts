import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { whenText } from '../../cli/times.ts';
import { templates } from '../../db/schema/templates.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';
import { type Cli, createCli } from './support/run.ts';

const hourMs = 3_600_000;

let api: TestApi;
let served: ServedApi;
let cli: Cli;
let template: JsonValue;
/** A running workspace of the caller that stops in eight hours. */
let name: string;
let id: string;
let names = 0;

beforeAll(async () => {
  api = await createTestApi();
  served = await serveApi(api);
  template = await createTemplate(api);
});
afterAll(async () => {
  await served.close();
  await api.close();
});
beforeEach(async () => {
  api.clock.now = new Date();
  const user = await api.createUser();
  cli = createCli({ url: served.url, token: user.token });
  id = await insertWorkspaceOf(api.db, template, { ownerId: user.id, deadline: new Date(Date.now() + 8 * hourMs) });
  name = `dev-${(names += 1)}`;
  await api.db.update(workspaces).set({ name }).where(eq(workspaces.id, id));
});

const rowOf = async () =>
  (
    await api.db
      .select({ schedule: workspaces.autostartSchedule, ttlMs: workspaces.ttlMs, dormantAt: workspaces.dormantAt })
      .from(workspaces)
      .where(eq(workspaces.id, id))
  )[0]!;
const change = (values: Partial<typeof workspaces.$inferInsert>) =>
  api.db.update(workspaces).set(values).where(eq(workspaces.id, id));

test('a start time is set with days and zone, shown with its next start, and taken away', async () => {
  const set = await cli('schedule', 'start', name, '9:30AM', 'Mon-Fri', 'Europe/Berlin');
  expect(set, set.stderr).toMatchObject({ code: 0 });
  expect(set.stdout).toMatch(
    new RegExp(
      `^${name} starts at 9:30AM Mon-Fri \\(Europe/Berlin\\), next \\w{3} \\d+ \\w{3} \\d\\d:\\d\\d \\(in .*\\)\\.\n$`,
    ),
  );
  expect((await rowOf()).schedule).toBe('CRON_TZ=Europe/Berlin 30 9 * * Mon-Fri');
  const shown = await cli('schedule', 'show', name, '--json');
  expect(shown.json()).toMatchObject({
    name,
    status: 'running',
    autostart_schedule: 'CRON_TZ=Europe/Berlin 30 9 * * Mon-Fri',
    ttl_ms: null,
    max_deadline: null,
    dormant_at: null,
  });
  expect(Date.parse(shown.json().next_start_at)).toBeGreaterThan(Date.now());
  const off = await cli('schedule', 'start', name, 'manual');
  expect(off.stdout).toBe(`${name} does not start by itself.\n`);
  expect((await rowOf()).schedule).toBeNull();
});

test('a start time that makes no sense is refused here, one that the template does not allow by the server', async () => {
  for (const args of [['whenever'], ['9:30', 'Mon', 'Tue'], ['manual', 'Mon']])
    expect(await cli('schedule', 'start', name, ...args)).toMatchObject({ code: 2, stdout: '' });
  const unknown = await cli('schedule', 'start', name, '9:30', 'Mon', 'Mars/Base');
  expect(unknown).toMatchObject({ code: 1 });
  expect(unknown.stderr).toMatch(
    /\n {2}schedule: "Mars\/Base" is not a known time zone\n {2}next: berth schedule show/,
  );
  await api.db.update(templates).set({ allowUserAutostart: false }).where(eq(templates.id, template.id));
  try {
    const refused = await cli('schedule', 'start', name, '9:30', '--json');
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.json().error.validations).toEqual([
      { field: 'schedule', detail: 'the template does not allow autostart' },
    ]);
  } finally {
    await api.db.update(templates).set({ allowUserAutostart: true }).where(eq(templates.id, template.id));
  }
  expect((await rowOf()).schedule).toBeNull();
  expect(await cli('schedule', 'start', 'nowhere', '9:30')).toMatchObject({ code: 4 });
});

test('a time to live counts from the next start, and says when the running one stops', async () => {
  const set = await cli('schedule', 'stop', name, '4h');
  expect(set, set.stderr).toMatchObject({ code: 0 });
  expect(set.stdout).toContain(`${name} stops 4 h 0 m after each start. Now it runs, and stops `);
  expect(set.stdout).toContain('(in 8 hours)');
  expect((await rowOf()).ttlMs).toBe(4 * hourMs);
  const off = await cli('schedule', 'stop', name, 'manual');
  expect(off.stdout).toBe(`${name} does not stop by itself.\n`);
  expect((await cli('schedule', 'show', name, '--json')).json()).toMatchObject({ ttl_ms: null, deadline: null });
  const short = await cli('schedule', 'stop', name, '30s');
  expect(short.stderr).toContain('ttl_ms: must be at least one minute');
  expect(await cli('schedule', 'stop', name, 'soon')).toMatchObject({ code: 2 });
});

test('a running workspace is given another time to stop, counted from now', async () => {
  const set = await cli('schedule', 'extend', name, '2h', '--json');
  expect(set, set.stderr).toMatchObject({ code: 0 });
  expect(Math.abs(Date.parse(set.json().deadline) - Date.now() - 2 * hourMs)).toBeLessThan(60_000);
  expect((await cli('schedule', 'extend', name, '3h')).stdout).toMatch(/stops .* \(in 3 hours\)\.\n$/);
  const soon = await cli('schedule', 'extend', name, '10m');
  expect(soon).toMatchObject({ code: 1 });
  expect(soon.stderr).toContain('deadline: must be at least 30 minutes from now');
  await api.db.update(workspaceBuilds).set({ deadline: null }).where(eq(workspaceBuilds.workspaceId, id));
  const none = await cli('schedule', 'extend', name, '2h');
  expect(none).toMatchObject({ code: 1 });
  expect(none.stderr).toMatch(/^error: The workspace has no deadline.*\n {2}next: berth schedule show/);
});

test('all schedules are shown, one’s own or everybody’s, and lists and details say when things happen', async () => {
  const nextStartAt = new Date(Date.now() + 26 * hourMs + 5_000);
  await change({ autostartSchedule: 'CRON_TZ=UTC 0 9 * * 1-5', nextStartAt, ttlMs: hourMs });
  const starts = whenText(nextStartAt.toISOString(), new Date());
  const own = await cli('schedule', 'show');
  expect(own.stdout).toMatch(/^WORKSPACE +STARTS AT +STARTS NEXT +STOPS AFTER +STOPS AT\n/);
  expect(own.stdout.split('\n')[1]!.split(/ {2,}/).slice(0, 4)).toEqual([
    name,
    '9:00AM Mon-Fri (UTC)',
    starts,
    '1 h 0 m',
  ]);
  expect(own.stdout.trim().split('\n')).toHaveLength(2);
  const admin = createCli({ url: served.url, token: api.ownerToken });
  expect((await admin('schedule', 'show', '--all')).stdout).toMatch(new RegExp(`^\\S+/${name} `, 'm'));
  expect((await admin('schedule', 'show', '--json')).json()).toEqual({ schedules: [], count: 0 });
  expect(await cli('schedule', 'show', name, '--all')).toMatchObject({ code: 2 });
  const listed = await cli('list');
  expect(listed.stdout).toMatch(/STARTS AT +STOPS AT\n/);
  expect(listed.stdout).toContain(starts);
  expect(listed.stdout).toContain('(in 8 hours)');
  expect((await cli('show', name)).stdout).toMatch(/starts at +9:00AM Mon-Fri \(UTC\)\nstarts next +\S/);
});

test('a dormant workspace is shown as such, and a start wakes it first', async () => {
  await change({ dormantAt: new Date(Date.now() - 3 * hourMs), deletingAt: new Date(Date.now() + 73 * hourMs) });
  expect((await cli('list')).stdout).toContain('running, dormant');
  const shown = await cli('show', name);
  expect(shown.stdout).toMatch(/dormant since +.* \(3 hours ago\)/);
  expect(shown.stdout).toMatch(/deleted at +.* \(in 3 days\)/);
  expect((await cli('schedule', 'show')).stdout).toContain('dormant');
  const started = await cli('start', name, '--no-wait', '--json');
  expect(started, started.stderr).toMatchObject({ code: 0 });
  expect(started.json()).toMatchObject({ transition: 'start', status: 'pending' });
  expect(started.stderr).toContain(`${name} was dormant and is awake again`);
  expect((await rowOf()).dormantAt).toBeNull();
});

test('a favorite is listed first, with a mark, until it is none any more', async () => {
  const marked = await cli('favorite', name, '--json');
  expect(marked.json()).toEqual({ id, name, favorite: true });
  expect((await cli('list')).stdout).toContain(`${name} ★`);
  expect(await cli('unfavorite', name)).toMatchObject({ code: 0 });
  expect((await cli('list')).stdout).not.toContain('★');
  const admin = createCli({ url: served.url, token: api.ownerToken });
  const owner = (await cli('schedule', 'show', name, '--json')).json().owner_name;
  const foreign = await admin('favorite', `${owner}/${name}`);
  expect(foreign).toMatchObject({ code: 1 });
  expect(foreign.stderr).toContain('Only the owner');
});
