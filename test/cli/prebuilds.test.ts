import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isReconciliationPaused } from '../../db/queries/prebuild-settings.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { insertParameters } from '../support/build-rows.ts';
import { insertPool } from '../support/pool-rows.ts';
import { insertPrebuildOf } from '../support/prebuild-rows.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { createTemplate } from '../support/template-rows.ts';
import { type Cli, createCli } from './support/run.ts';

// The API for real, pools as rows: what the reconciler makes of them is another test's.
let api: TestApi;
let served: ServedApi;
let cli: Cli;
let theirs: Cli;
let template: JsonValue;
let presetId: string;
beforeAll(async () => {
  api = await createTestApi();
  served = await serveApi(api);
  cli = createCli({ url: served.url, token: api.ownerToken });
  theirs = createCli({ url: served.url, token: (await api.createUser()).token });
});
afterAll(async () => {
  await served.close();
  await api.close();
});

test('without pools the list says what would make one', async () => {
  expect((await cli('prebuilds', 'list')).stdout).toBe('There are no pools: no preset has a prebuilds block.\n');
});

test('the list shows each pool, and what is the matter with it', async () => {
  template = await createTemplate(api, { name: 'dev' });
  presetId = await insertPool(api.db, template.active_version_id, { name: 'small', desired: 3, values: { size: 's' } });
  await insertParameters(api.db, template.active_version_id, [{ name: 'size', defaultValue: 'm' }]);
  await insertPool(api.db, template.active_version_id, { name: 'large', desired: 1 });
  await api.db.execute(sql`update template_version_presets set prebuild_status = 'validation_failed',
    prebuild_status_detail = ${'disk: must have a value\nsecond line'} where name = 'large'`);
  await insertPrebuildOf(api, template, { presetId });
  await insertPrebuildOf(api, template, { presetId, agent: 'starting' });
  await insertPrebuildOf(api, template, { presetId, build: 'running' });
  await insertPrebuildOf(api, template, { presetId, build: 'failed' });
  const shown = await cli('prebuilds', 'list');
  expect(shown, shown.stderr).toMatchObject({ code: 0 });
  expect(shown.stdout).toMatch(/^TEMPLATE +PRESET +DESIRED +RUNNING +READY +STARTING +STATUS$/m);
  expect(shown.stdout).toMatch(/^dev +small +3 +2 +1 +1 +normal, 1 failed$/m);
  expect(shown.stdout).toMatch(/^dev +large +1 +0 +0 +0 +validation_failed, disk: must have a value$/m);
  expect((await theirs('prebuild', 'ls', '--json')).json()).toMatchObject({
    reconciliation_paused: false,
    pools: [{ preset_name: 'large' }, { preset_name: 'small', desired: 3, running: 2, eligible: 1, starting: 1 }],
  });
});

test('the reconciliation is paused and resumed by those who may, and the list says so', async () => {
  const refused = await theirs('prebuilds', 'pause');
  expect(refused).toMatchObject({ code: 1 });
  expect(await isReconciliationPaused(api.db)).toBe(false);
  expect((await cli('prebuilds', 'pause')).stdout).toBe('The reconciliation of pools is paused\n');
  expect((await cli('prebuilds', 'pause')).stdout).toBe('The reconciliation of pools is already paused\n');
  expect(await isReconciliationPaused(api.db)).toBe(true);
  expect((await cli('prebuilds', 'list')).stdout).toContain('berth prebuilds resume');
  expect((await cli('prebuilds', 'resume', '--json')).json()).toEqual({ reconciliation_paused: false });
  expect((await cli('prebuilds', 'resume')).stdout).toBe('The reconciliation of pools is already running\n');
  expect((await cli('prebuilds', 'list')).stdout).not.toContain('resume');
});

test('prebuilds are declared outdated, and pools that were given up begin anew', async () => {
  const invalidated = await cli('prebuilds', 'invalidate', 'dev');
  expect(invalidated.stdout).toBe('The prebuilds of dev are being replaced: large, small\n');
  expect((await cli('prebuilds', 'invalidate', 'dev', '--json')).json().invalidated).toHaveLength(2);
  const retried = await cli('prebuilds', 'reconcile', 'dev');
  expect(retried.stdout).toContain('The pools of dev are being reconciled');
  expect((await cli('prebuilds', 'list')).stdout).toMatch(/^dev +large .*normal$/m);
  for (const verb of ['invalidate', 'reconcile']) {
    expect(await theirs('prebuilds', verb, 'dev')).toMatchObject({ code: 1 });
    expect(await cli('prebuilds', verb, 'nothing')).toMatchObject({ code: 4 });
  }
  await createTemplate(api, { name: 'plain' });
  expect((await cli('prebuilds', 'invalidate', 'plain')).stdout).toBe('plain has no pools\n');
});

test('a preset that does not exist is refused with those that do', async () => {
  const { code, stderr } = await cli('create', 'ws', '-t', 'dev', '--preset', 'huge');
  expect(code).toBe(2);
  expect(stderr).toBe('error: There is no preset "huge"\n  next: choose one of: large, small\n');
});

test('a workspace that was taken from a pool says so and how long that took', async () => {
  await api.db.execute(sql`update template_version_presets set last_invalidated_at = null`);
  const claimed = await cli('create', 'mine', '-t', 'dev', '--preset', 'small', '--no-wait');
  expect(claimed, claimed.stderr).toMatchObject({ code: 0 });
  expect(claimed.stdout).toMatch(
    /^claimed a prebuilt workspace in \d+(\.\d)? m?s\nThe start of mine is pending \(build 2\)/,
  );
  // None is ready any more: it is built as ever.
  const built = await cli('create', 'other', '-t', 'dev', '--preset', 'small', '--no-wait', '--json');
  expect(built, built.stderr).toMatchObject({ code: 0 });
  expect(built.json()).toMatchObject({ name: 'other', claimed_at: null, latest_build: { build_number: 1 } });
  expect(built.stderr).toBe('');
});
