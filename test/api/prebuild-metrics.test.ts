import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPrebuildGauges } from '../../db/queries/prebuild-gauges.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { type PrebuildState, createPrebuildMetrics } from '../../telemetry/prebuild-metrics.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { insertPool } from '../support/pool-rows.ts';
import { claimFor, insertPrebuildOf } from '../support/prebuild-rows.ts';
import { createImportedVersion, createTemplate, insertBuildOf, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
});
afterAll(() => api.close());

const ask = (method: string, path: string, body?: unknown) =>
  api.request(method, `/api/v2${path}`, { token: api.ownerToken, ...(body !== undefined && { body }) });

/** A server's metrics page over the database, as after its start. */
async function page(read: (at: Date) => Promise<PrebuildState> = (at) => readPrebuildGauges(api.db, at)) {
  const metrics = createMetrics({ version: 'test', defaultMetrics: false });
  const { logger, now } = api.deps;
  const collector = createPrebuildMetrics({ metrics, logger, read, now });
  collector.close();
  const text = () => metrics.registry.metrics();
  return {
    metrics,
    refresh: collector.refresh,
    text,
    /** Of one family, label text → value; only series of this template, if one is given. */
    async values(name: string, template?: string): Promise<Record<string, number>> {
      const lines = (await text())
        .split('\n')
        .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
      return Object.fromEntries(
        lines
          .filter((line) => template === undefined || line.includes(`template_name="${template}"`))
          .map((line) => [
            line.slice(name.length, line.lastIndexOf(' ')),
            Number(line.slice(line.lastIndexOf(' ') + 1)),
          ]),
      );
    },
  };
}
const labels = (template: string, preset = 'pool') =>
  `{template_name="${template}",preset_name="${preset}",organization_name="default"}`;
const family = (name: string) => `coderd_prebuilt_workspaces_${name}`;

describe('metrics of pools', () => {
  test('count what was made, failed and claimed, and survive a restart', async () => {
    const template = await createTemplate(api);
    const presetId = await insertPool(api.db, template.active_version_id, { desired: 2 });
    const add = (build?: 'failed') =>
      insertPrebuildOf(api, template, { presetId, ...(build !== undefined && { build }) });
    const [claimed] = [await add(), await add(), await add('failed')];
    await claimFor(api, claimed!, { ownerId: api.owner.id });
    const first = await page();
    await first.refresh();
    const totals = async (of: typeof first) =>
      Object.values(
        Object.assign(
          {},
          ...(await Promise.all(
            ['created_total', 'failed_total', 'claimed_total', 'resource_replacements_total'].map(async (name) => ({
              [name]: (await of.values(family(name), template.name))[labels(template.name)],
            })),
          )),
        ) as Record<string, number>,
      );
    expect(await totals(first)).toEqual([3, 1, 1, 0]);
    // Deleted since, but made all the same.
    await api.db.execute(sql`update workspaces set deleted = true where template_id = ${template.id}`);
    const restarted = await page();
    await restarted.refresh();
    expect(await totals(restarted)).toEqual([3, 1, 1, 0]);
    await ask('DELETE', `/templates/${template.id}`);
    await restarted.refresh();
    expect(await restarted.text()).not.toContain(`${family('created_total')}${labels(template.name)}`);
  });

  test('count a claim once, however much it replaced, and only when it succeeded', async () => {
    const template = await createTemplate(api);
    const presetId = await insertPool(api.db, template.active_version_id);
    const claim = async (replacements?: Record<string, string[]>) => {
      const id = await insertPrebuildOf(api, template, { presetId });
      await claimFor(api, id, { ownerId: api.owner.id, ...(replacements !== undefined && { replacements }) });
      return id;
    };
    await claim({ 'docker_container.a': ['env'], 'docker_container.b': ['env'], 'docker_volume.c': ['name'] });
    await claim();
    const failed = await claim({ 'docker_container.a': ['env'] });
    await api.db.execute(sql`update provisioner_jobs set error = 'no' where id = (
      select job_id from workspace_builds where workspace_id = ${failed} and is_latest)`);
    const shown = await page();
    await shown.refresh();
    expect(await shown.values(family('resource_replacements_total'), template.name)).toEqual({
      [labels(template.name)]: 1,
    });
  });

  test('sum the counters of presets of one name, and take the gauges from the active version', async () => {
    const template = await createTemplate(api);
    const old = await insertPool(api.db, template.active_version_id, { desired: 9 });
    await insertPrebuildOf(api, template, { presetId: old });
    const versionId = await createImportedVersion(api, { body: { template_id: template.id } });
    const now = await insertPool(api.db, versionId, { desired: 3, ttlSeconds: 3600 });
    await ask('PATCH', `/templates/${template.id}/versions`, { id: versionId });
    const add = (row: object) => insertPrebuildOf(api, template, { presetId: now, versionId, ...row });
    await add({});
    await add({ agent: 'starting' });
    await add({ ageSeconds: 3601 });
    await add({ build: 'running' });
    const shown = await page();
    await shown.refresh();
    const key = labels(template.name);
    expect(await shown.values(family('created_total'), template.name)).toEqual({ [key]: 5 });
    expect(await shown.values(family('desired'), template.name)).toEqual({ [key]: 3 });
    expect(await shown.values(family('running'), template.name)).toEqual({ [key]: 3 });
    expect(await shown.values(family('eligible'), template.name)).toEqual({ [key]: 1 });
    await ask('PATCH', `/templates/${template.id}`, { deprecation_message: 'old' });
    await shown.refresh();
    // Nothing is wanted any more; what was done stays.
    expect(await shown.values(family('desired'), template.name)).toEqual({});
    expect(await shown.values(family('created_total'), template.name)).toEqual({ [key]: 5 });
  });

  test('show a pool that is given up as long as it is, and not in the next version', async () => {
    const template = await createTemplate(api);
    await insertPool(api.db, template.active_version_id, { name: 'a' });
    await insertPool(api.db, template.active_version_id, { name: 'b' });
    await insertPool(api.db, template.active_version_id, { name: 'c' });
    await api.db.execute(sql`update template_version_presets
      set prebuild_status = case name when 'a' then 'hard_limited' when 'b' then 'validation_failed' else 'normal' end::prebuild_status
      where template_version_id = ${template.active_version_id}`);
    const shown = await page();
    await shown.refresh();
    const limited = () => shown.values(family('preset_hard_limited'), template.name);
    const invalid = () => shown.values(family('preset_validation_failed'), template.name);
    expect(await limited()).toEqual({ [labels(template.name, 'a')]: 1 });
    expect(await invalid()).toEqual({ [labels(template.name, 'b')]: 1 });
    const versionId = await createImportedVersion(api, { body: { template_id: template.id } });
    await insertPool(api.db, versionId, { name: 'a' });
    await ask('PATCH', `/templates/${template.id}/versions`, { id: versionId });
    await shown.refresh();
    expect([await limited(), await invalid()]).toEqual([{}, {}]);
  });

  test('want what the schedule says at that time', async () => {
    const template = await createTemplate(api);
    const schedules = [{ cron: '* 9-18 * * 1-5', desired: 3 }];
    await insertPool(api.db, template.active_version_id, { desired: 0, timezone: 'UTC', schedules });
    const desiredAt = async (at: string) =>
      (await readPrebuildGauges(api.db, new Date(at))).pools.find(({ templateId }) => templateId === template.id)
        ?.desired;
    expect(await desiredAt('2025-06-02T08:59:59.999Z')).toBe(0);
    expect(await desiredAt('2025-06-02T09:00:00Z')).toBe(3);
    expect(await desiredAt('2025-06-07T12:00:00Z')).toBe(0);
  });

  test('count workspaces that come from no pool, by their preset, if they have one', async () => {
    const template = await createTemplate(api);
    const presetId = await insertPool(api.db, template.active_version_id, { desired: null });
    const add = (ownerId: string) => insertWorkspaceOf(api.db, template, { ownerId });
    const [withPreset, , again, failed] = [
      await add(api.owner.id),
      await add(api.owner.id),
      await add(api.owner.id),
      await add(api.owner.id),
    ];
    await api.db.execute(
      sql`update workspace_builds set template_version_preset_id = ${presetId} where workspace_id = ${withPreset!}`,
    );
    await insertBuildOf(api.db, {
      workspaceId: again!,
      versionId: template.active_version_id,
      transition: 'stop',
      runMs: 1,
    });
    await api.db.execute(sql`update provisioner_jobs set error = 'no' where id = (
      select job_id from workspace_builds where workspace_id = ${failed!})`);
    const prebuild = await insertPrebuildOf(api, template, { presetId });
    await claimFor(api, prebuild, { ownerId: api.owner.id });
    await api.db.execute(sql`update workspaces set deleted = true where id = ${again!}`);
    const shown = await page();
    await shown.refresh();
    expect(await shown.values('coderd_workspace_creation_total', template.name)).toEqual({
      [labels(template.name, '')]: 2,
      [labels(template.name)]: 1,
    });
  });

  test('are read with the same number of statements whatever there is', async () => {
    const count = async () => {
      api.statements.length = 0;
      await readPrebuildGauges(api.db, api.clock.now);
      return api.statements.length;
    };
    const few = await count();
    const template = await createTemplate(api);
    for (let pool = 0; pool < 30; pool += 1) await insertPool(api.db, template.active_version_id, { name: `p${pool}` });
    expect(await count()).toBe(few);
  });
});

describe('the page', () => {
  test('has the pause and the time of the last look before the first one', async () => {
    const shown = await page(() => new Promise(() => undefined));
    expect(await shown.values(family('metrics_last_updated'))).toEqual({ '': 0 });
    expect(await shown.values(family('reconciliation_paused'))).toEqual({ '': 0 });
    expect(await shown.values(family('desired'))).toEqual({});
  });

  test('is filled at the start, without anybody asking, and not by those who ask', async () => {
    await ask('PUT', '/prebuilds/settings', { reconciliation_paused: true });
    api.statements.length = 0;
    const shown = await page();
    await waitFor('the first look', async () =>
      (await shown.values(family('metrics_last_updated')))[''] === 0 ? undefined : true,
    );
    expect(await shown.values(family('metrics_last_updated'))).toEqual({
      '': Math.floor(api.clock.now.getTime() / 1_000),
    });
    expect(await shown.values(family('reconciliation_paused'))).toEqual({ '': 1 });
    api.statements.length = 0;
    await shown.text();
    expect(api.statements).toEqual([]);
    await ask('PUT', '/prebuilds/settings', { reconciliation_paused: false });
    await shown.refresh();
    expect(await shown.values(family('reconciliation_paused'))).toEqual({ '': 0 });
  });

  test('keeps what it has while the database does not answer, and says so', async () => {
    let answer: () => Promise<PrebuildState> = () => readPrebuildGauges(api.db, api.clock.now);
    const shown = await page(() => answer());
    const template: JsonValue = await createTemplate(api);
    await insertPool(api.db, template.active_version_id, { desired: 5 });
    await shown.refresh();
    await shown.refresh();
    const before = await shown.values(family('metrics_last_updated'));
    answer = () => Promise.reject(new Error('no database'));
    await shown.refresh();
    await shown.refresh();
    expect(await shown.values(family('desired'), template.name)).toEqual({ [labels(template.name)]: 5 });
    expect(await shown.values(family('metrics_last_updated'))).toEqual(before);
    expect(await shown.text()).toContain('coderd_metrics_snapshot_errors_total{snapshot="prebuilds"} 2');
  });

  test('asks the database once at a time', async () => {
    let asked = 0;
    let answer: (state: PrebuildState) => void = () => undefined;
    const shown = await page(() => {
      asked += 1;
      return new Promise((resolve) => (answer = resolve));
    });
    const looks = [shown.refresh(), shown.refresh(), shown.refresh()];
    answer({ paused: false, pools: [], totals: [], creations: [] });
    await Promise.all(looks);
    expect(asked).toBe(1);
  });
});

describe('events of pools', () => {
  test('are counted under the names that dashboards know', async () => {
    const { metrics, text } = await page(() => new Promise(() => undefined));
    const origin = { organizationName: 'default', templateName: 'dev', presetName: 'small' };
    metrics.claimed(7, origin);
    metrics.workspaceCreated(0.5, { ...origin, presetName: '', type: 'regular' });
    metrics.workspaceCreated(20, { ...origin, type: 'prebuild' });
    metrics.poolsReconciled({ seconds: 0.2, total: 9, reconciled: 2 });
    metrics.poolsReconciled({ seconds: 0.1, total: 8, reconciled: 1 });
    metrics.poolAction('create', 3);
    metrics.poolAction('delete');
    metrics.claimMissed('none_ready');
    metrics.claimedInstantly();
    metrics.claimDrifted();
    const page1 = (await text()).split('\n');
    const place = 'organization_name="default",template_name="dev"';
    for (const line of [
      `coderd_prebuilt_workspace_claim_duration_seconds_bucket{le="5",${place},preset_name="small"} 0`,
      `coderd_prebuilt_workspace_claim_duration_seconds_bucket{le="10",${place},preset_name="small"} 1`,
      `coderd_workspace_creation_duration_seconds_bucket{le="1",${place},preset_name="",type="regular"} 1`,
      `coderd_workspace_creation_duration_seconds_bucket{le="30",${place},preset_name="small",type="prebuild"} 1`,
      'coderd_prebuilds_reconciliation_duration_seconds_count 2',
      'coderd_prebuilds_reconcile_presets{kind="total"} 8',
      'coderd_prebuilds_reconcile_presets{kind="reconciled"} 1',
      'coderd_prebuilds_actions_total{action="create"} 3',
      'coderd_prebuilds_actions_total{action="delete"} 1',
      'coderd_prebuilds_claim_misses_total{reason="none_ready"} 1',
      'coderd_prebuilds_instant_claims_total 1',
      'coderd_prebuilds_instant_claim_drift_total 1',
    ])
      expect(page1).toContain(line);
  });
});
