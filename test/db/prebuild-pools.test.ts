import { sql } from 'drizzle-orm';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createReconcilePools } from '../../activities/reconcile-pools.ts';
import { createReconcilePreset } from '../../commands/reconcile-preset.ts';
import { readPrebuildSnapshot } from '../../db/queries/prebuild-snapshot.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { insertParameters, takeBuild } from '../support/build-rows.ts';
import { testOrigin } from '../support/builders.ts';
import {
  type TestPool,
  activePoolBuilds,
  createPool,
  fillPool,
  finishPoolBuilds,
  insertPool,
  listPrebuilds,
  prebuildDeps,
  promoteNewVersion,
  readyAgent,
  runCycle,
  testRules,
} from '../support/pool-rows.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
});
afterAll(() => api.close());

/** Nothing of other tests is left to reconcile. */
async function only(pool: TestPool): Promise<TestPool> {
  await api.db.execute(sql`
    update template_version_presets set desired_instances = null where id <> ${pool.presetId}`);
  return pool;
}
const origin = { ...testOrigin(PREBUILDS_SYSTEM_USER_ID), actor: 'prebuilds-orchestrator' };
const status = async (presetId: string) =>
  (
    await api.db.execute<{ prebuild_status: string; prebuild_status_detail: string }>(
      sql`select prebuild_status, prebuild_status_detail from template_version_presets where id = ${presetId}`,
    )
  )[0]!;
const notifications = async (presetId: string) =>
  api.db.execute<{ name: string; labels: Record<string, string> }>(sql`
    select payload ->> 'notification_name' as name, payload -> 'labels' as labels from notification_messages
    where ${presetId}::uuid = any(targets)`);
const ageBy = (workspaceId: string, seconds: number) =>
  api.db.execute(sql`
    update workspaces set created_at = created_at - ${seconds} * interval '1 second' where id = ${workspaceId}`);
const snapshotOptions = () => ({
  now: api.clock.now,
  rules: testRules,
  backoffLookbackMs: 3_600_000,
  quotaEnabled: true,
});
const advance = (ms: number) => {
  api.clock.now = new Date(api.clock.now.getTime() + ms);
};

describe('a new pool', () => {
  test('is filled with prebuilds of its preset that belong to nobody yet', async () => {
    const pool = await only(await createPool(api, { desired: 3, values: { region: 'eu' } }));
    await insertParameters(api.db, pool.versionId, [{ name: 'region', defaultValue: 'us' }]);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({
      created: 3,
      deleted: 0,
      errors: [],
      presetsReconciled: 1,
    });
    const prebuilds = await listPrebuilds(api.db, pool.templateId);
    expect(prebuilds).toHaveLength(3);
    for (const prebuild of prebuilds) {
      expect(prebuild.name).toMatch(/^prebuild-[a-z2-7]{15}$/);
      expect(prebuild).toMatchObject({
        transition: 'start',
        status: 'pending',
        reason: 'initiator',
        initiator_id: PREBUILDS_SYSTEM_USER_ID,
        stage: 'create',
        version_id: pool.versionId,
      });
    }
    const [row] = await api.db.execute(sql`
      select w.autostart_schedule, w.ttl_ms, w.next_start_at, w.dormant_at, w.automatic_updates, w.favorite, b.deadline,
        b.max_deadline, b.template_version_preset_id = ${pool.presetId} as of_preset, j.priority,
        (select p.value from workspace_build_parameters p where p.workspace_build_id = b.id and p.name = 'region') as region
      from workspaces w join workspace_builds b on b.id = w.latest_build_id join provisioner_jobs j on j.id = b.job_id
      where w.id = ${prebuilds[0]!.id}`);
    expect(row).toEqual({
      autostart_schedule: null,
      ttl_ms: null,
      next_start_at: null,
      dormant_at: null,
      automatic_updates: 'never',
      favorite: false,
      deadline: null,
      max_deadline: null,
      of_preset: true,
      priority: 4,
      region: 'eu',
    });
    // Each build's workflow was started with its own id.
    const builds = await activePoolBuilds(api.db, pool.templateId);
    const started = api.temporal.starts.map(({ workflowId }) => workflowId);
    for (const { buildId } of builds) expect(started.filter((id) => id === `build/${buildId}`)).toHaveLength(1);
    // What is being made counts: the next cycle finds nothing to do.
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 0, deleted: 0, presetsSkipped: 0 });
  });

  test('makes the prebuilds user a member of its organization once, and changes nothing later', async () => {
    const pool = await only(await createPool(api));
    const group = sql`select g.id, g.quota_allowance, g.display_name from groups g where g.name = 'coderprebuiltworkspaces'`;
    await api.db.execute(sql`delete from groups where name = 'coderprebuiltworkspaces'`);
    await runCycle(prebuildDeps(api));
    const [made] = await api.db.execute<{ id: string; quota_allowance: number; display_name: string }>(group);
    expect(made).toMatchObject({ quota_allowance: 0, display_name: 'Prebuilt Workspaces' });
    await api.db.execute(sql`update groups set quota_allowance = 50 where id = ${made!.id}`);
    await finishPoolBuilds(api, pool.templateId);
    api.statements.length = 0;
    for (let cycle = 0; cycle < 3; cycle += 1) await runCycle(prebuildDeps(api));
    expect(api.statements.filter((text) => /^\s*(insert|update|delete)/i.test(text))).toEqual([]);
    expect(await api.db.execute(group)).toMatchObject([{ id: made!.id, quota_allowance: 50 }]);
  });

  test.each([0, 1, 2, 3, 4, 5, 6, 7])('completes what is missing of membership and group (%i of 8)', async (have) => {
    await only(await createPool(api));
    const [member, group, inGroup] = [(have & 1) > 0, (have & 2) > 0, (have & 4) > 0];
    await runCycle(prebuildDeps(api));
    if (!inGroup)
      await api.db.execute(sql`delete from group_members where user_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid`);
    if (!group) await api.db.execute(sql`delete from groups where name = 'coderprebuiltworkspaces'`);
    if (!member) {
      await api.db.execute(sql`delete from organization_members where user_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid`);
      if (inGroup && group)
        await api.db.execute(sql`insert into group_members (user_id, group_id)
          select ${PREBUILDS_SYSTEM_USER_ID}::uuid, id from groups where name = 'coderprebuiltworkspaces' on conflict do nothing`);
    }
    await Promise.all([runCycle(prebuildDeps(api)), runCycle(prebuildDeps(api))]);
    const [state] = await api.db.execute(sql`
      select count(*)::int as groups, (select count(*)::int from organization_members where user_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid) as members,
        (select count(*)::int from group_members where user_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid) as group_members
      from groups where name = 'coderprebuiltworkspaces'`);
    expect(state).toEqual({ groups: 1, members: 1, group_members: 1 });
  });
});

describe('the snapshot', () => {
  test('takes the same number of statements for one preset and for two hundred', async () => {
    const count = async () => {
      api.statements.length = 0;
      await readPrebuildSnapshot(api.db, snapshotOptions());
      return api.statements.length;
    };
    const pool = await only(await createPool(api, { desired: 1 }));
    await fillPool(api, pool);
    const one = await count();
    for (let preset = 0; preset < 200; preset += 1)
      await insertPool(api.db, pool.versionId, {
        name: `pool-${preset}`,
        desired: 0,
        timezone: 'Europe/Berlin',
        schedules: [{ cron: '* 9-17 * * 1-5', desired: 1 }],
      });
    expect(await count()).toBe(one);
    expect(one).toBeLessThanOrEqual(9);
  });

  test('calls a prebuild ready when all its own agents are, whatever their sub-agents say', async () => {
    const pool = await only(await createPool(api, { desired: 3 }));
    await runCycle(prebuildDeps(api));
    await finishPoolBuilds(api, pool.templateId, { agent: null });
    const [both, half, none] = (await listPrebuilds(api.db, pool.templateId)).map(({ id }) => id);
    const first = await readyAgent(api, both!);
    await readyAgent(api, both!);
    await api.db.execute(sql`update workspace_agents set name = 'other' where id = ${first.id}`);
    const child = await readyAgent(api, both!, 'created');
    await api.db.execute(
      sql`update workspace_agents set parent_id = ${first.id}, name = 'child' where id = ${child.id}`,
    );
    await readyAgent(api, half!);
    await readyAgent(api, half!, 'starting');
    const { running } = await readPrebuildSnapshot(api.db, snapshotOptions());
    const ready = Object.fromEntries(running.map((prebuild) => [prebuild.id, prebuild.ready]));
    expect(ready).toMatchObject({ [both!]: true, [half!]: false, [none!]: false });
  });
});

describe('a pool at work', () => {
  test('replaces a prebuild that has expired in the same cycle', async () => {
    const pool = await only(await createPool(api, { desired: 2, ttlSeconds: 3600 }));
    const [old, fresh] = await fillPool(api, pool);
    await ageBy(old!, 3601);
    await ageBy(fresh!, 3500);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 1, deleted: 1 });
    const builds = await activePoolBuilds(api.db, pool.templateId);
    expect(builds.filter(({ transition }) => transition === 'delete').map(({ workspaceId }) => workspaceId)).toEqual([
      old,
    ]);
  });

  test('deletes the oldest when there are too many, with the version that made them and no values', async () => {
    const pool = await only(await createPool(api, { desired: 3 }));
    const ids = await fillPool(api, pool);
    await Promise.all(ids.map((id, place) => ageBy(id, 300 - place * 100)));
    await api.db.execute(sql`update template_version_presets set desired_instances = 1 where id = ${pool.presetId}`);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 0, deleted: 2 });
    const prebuilds = await listPrebuilds(api.db, pool.templateId);
    expect(prebuilds.filter(({ transition }) => transition === 'delete')).toMatchObject(
      ids.slice(0, 2).map((id) => ({ id, version_id: pool.versionId, reason: 'initiator', stage: 'create' })),
    );
  });

  test('leaves a stopped prebuild alone and makes another one', async () => {
    const pool = await only(await createPool(api, { desired: 1 }));
    const [parked] = await fillPool(api, pool);
    const stop = await api.request('POST', `/api/v2/workspaces/${parked}/builds`, {
      token: api.ownerToken,
      body: { transition: 'stop' },
    });
    expect(stop.status).toBe(201);
    await finishPoolBuilds(api, pool.templateId);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 1, deleted: 0 });
    expect(await listPrebuilds(api.db, pool.templateId)).toContainEqual(
      expect.objectContaining({ id: parked, transition: 'stop', status: 'succeeded', stage: 'create' }),
    );
  });

  test('keeps a failed prebuild as evidence and waits before it tries again', async () => {
    const pool = await only(await createPool(api, { desired: 2 }));
    await runCycle(prebuildDeps(api));
    await finishPoolBuilds(api, pool.templateId, { error: 'no disk' });
    const failed = await listPrebuilds(api.db, pool.templateId);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 0, deleted: 0 });
    advance(125_000);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 2, deleted: 0 });
    expect((await listPrebuilds(api.db, pool.templateId)).map(({ id }) => id)).toEqual(
      expect.arrayContaining(failed.map(({ id }) => id)),
    );
  });

  test('is given up after three failures in a row, told once, and taken up when an administrator asks', async () => {
    const admin = await api.createUser({ roles: ['template-admin'] });
    const pool = await only(await createPool(api, { desired: 3 }));
    await runCycle(prebuildDeps(api));
    await finishPoolBuilds(api, pool.templateId, { error: 'no disk' });
    advance(600_000);
    for (let cycle = 0; cycle < 5; cycle += 1) expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 0 });
    expect(await status(pool.presetId)).toMatchObject({ prebuild_status: 'hard_limited' });
    expect(await notifications(pool.presetId)).toMatchObject([{ name: 'Prebuild Failure Limit Reached' }]);
    const retry = await api.request('POST', `/api/v2/templates/${pool.templateId}/prebuilds/reconcile`, {
      token: admin.token,
    });
    expect(retry.status).toBe(202);
    advance(1);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 3 });
    expect(await status(pool.presetId)).toMatchObject({ prebuild_status: 'normal' });
    expect(await notifications(pool.presetId)).toHaveLength(1);
    await finishPoolBuilds(api, pool.templateId, { error: 'no disk' });
    advance(600_000);
    await runCycle(prebuildDeps(api));
    expect(await notifications(pool.presetId)).toHaveLength(2);
  });

  test('is no longer given up once its failed prebuilds are deleted', async () => {
    const pool = await only(await createPool(api, { desired: 3 }));
    await runCycle(prebuildDeps(api));
    await finishPoolBuilds(api, pool.templateId, { error: 'no disk' });
    await runCycle(prebuildDeps(api));
    expect(await status(pool.presetId)).toMatchObject({ prebuild_status: 'hard_limited' });
    await api.db.execute(sql`update workspaces set deleted = true where template_id = ${pool.templateId}`);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 3 });
    expect(await status(pool.presetId)).toMatchObject({ prebuild_status: 'normal' });
  });

  test('whose builds cannot even be requested says why, once, and is not tried again', async () => {
    const admin = await api.createUser({ roles: ['template-admin'] });
    expect(admin.id).toBeDefined();
    const pool = await only(await createPool(api, { desired: 2 }));
    await insertParameters(api.db, pool.versionId, [{ name: 'disk', required: true }]);
    const first = await runCycle(prebuildDeps(api));
    expect(first.created).toBe(0);
    expect(first.errors).toHaveLength(1);
    expect(await status(pool.presetId)).toMatchObject({
      prebuild_status: 'validation_failed',
      prebuild_status_detail: expect.stringContaining('disk'),
    });
    expect(await listPrebuilds(api.db, pool.templateId)).toEqual([]);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 0, errors: [] });
    const told = await notifications(pool.presetId);
    expect(told.length).toBeGreaterThan(0);
    for (const { name, labels } of told) {
      expect(name).toBe('Prebuild Validation Failed');
      expect(labels['error']).toContain('disk');
    }
  });

  test('keeps what failed until its time is over, where there is one, and the evidence of an active version for ever', async () => {
    const pool = await only(await createPool(api, { desired: 4 }));
    await runCycle(prebuildDeps(api));
    await finishPoolBuilds(api, pool.templateId, { error: 'no disk' });
    advance(7_200_000);
    const rules = { failedRetentionMs: 3_600_000 };
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ deleted: 0 });
    expect(await runCycle(prebuildDeps(api, rules))).toMatchObject({ created: 0, deleted: 1 });
    await finishPoolBuilds(api, pool.templateId);
    await promoteNewVersion(api, pool.templateId, { desired: null });
    expect(await runCycle(prebuildDeps(api, rules))).toMatchObject({ deleted: 3 });
  });

  test('one that throws stops none of the others, and the activity is tried again', async () => {
    const pool = await only(await createPool(api, { desired: 1 }));
    const reconcilePools = createReconcilePools(prebuildDeps(api));
    const pools = [
      { presetId: 'no uuid', maxCreates: 1 },
      { presetId: pool.presetId, maxCreates: 1 },
    ];
    await expect(new MockActivityEnvironment().run(reconcilePools, { pools })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(await listPrebuilds(api.db, pool.templateId)).toHaveLength(1);
  });
});

describe('a version that is over', () => {
  test('loses its running prebuilds and the builds that nobody has taken', async () => {
    const pool = await only(await createPool(api, { desired: 2 }));
    await fillPool(api, pool);
    await api.db.execute(sql`update template_version_presets set desired_instances = 8 where id = ${pool.presetId}`);
    await runCycle(prebuildDeps(api));
    const [taken, ...waiting] = await activePoolBuilds(api.db, pool.templateId);
    await takeBuild(api.db, taken!.buildId);
    expect(waiting).toHaveLength(5);
    const next = await promoteNewVersion(api, pool.templateId, { desired: 1 });
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 1, deleted: 2, canceled: 5 });
    for (const { workspaceId, buildId } of waiting) {
      const [row] = await api.db.execute(sql`
        select w.deleted, j.job_status as status, (select transition from workspace_builds l where l.id = w.latest_build_id) as latest
        from workspaces w join workspace_builds b on b.workspace_id = w.id and b.id = ${buildId}
        join provisioner_jobs j on j.id = b.job_id where w.id = ${workspaceId}`);
      expect(row).toEqual({ deleted: true, status: 'canceled', latest: 'delete' });
      expect(api.temporal.canceled).toContain(`build/${buildId}`);
    }
    const left = await listPrebuilds(api.db, pool.templateId);
    expect(left.find(({ id }) => id === taken!.workspaceId)).toMatchObject({ status: 'running' });
    expect(left.filter(({ version_id }) => version_id === next.versionId)).toHaveLength(1);
  });

  test('in the middle of a cycle makes it create nothing of it', async () => {
    const pool = await only(await createPool(api, { desired: 2 }));
    await promoteNewVersion(api, pool.templateId, { desired: null });
    const outcome = await createReconcilePreset(prebuildDeps(api))({ presetId: pool.presetId, maxCreates: 2, origin });
    expect(outcome).toMatchObject({ created: 0, errors: [] });
    expect(await listPrebuilds(api.db, pool.templateId)).toEqual([]);
  });

  test('of a deprecated template loses everything and gets nothing', async () => {
    const pool = await only(await createPool(api, { desired: 2 }));
    await fillPool(api, pool);
    const answer = await api.request('PATCH', `/api/v2/templates/${pool.templateId}`, {
      token: api.ownerToken,
      body: { deprecation_message: 'use the other one' },
    });
    expect(answer.status).toBe(200);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 0, deleted: 2 });
  });
});

describe('caps', () => {
  test('spread what may be made over the pools, and the rest follows', async () => {
    const pool = await only(await createPool(api, { desired: 4 }));
    const other = await insertPool(api.db, pool.versionId, { name: 'other', desired: 4 });
    expect(await runCycle(prebuildDeps(api, { maxCreatesPerCycle: 4 }))).toMatchObject({ created: 4 });
    const perPreset = await api.db.execute(sql`
      select template_version_preset_id as preset, count(*)::int as count from workspace_builds b
      join workspaces w on w.id = b.workspace_id where w.template_id = ${pool.templateId} group by 1`);
    expect(perPreset).toEqual(
      expect.arrayContaining([
        { preset: pool.presetId, count: 2 },
        { preset: other, count: 2 },
      ]),
    );
    // Builds of all pools count, those of other templates too.
    const { inFlight } = await readPrebuildSnapshot(api.db, snapshotOptions());
    const rules = { maxInFlight: inFlight + 1 };
    expect(await runCycle(prebuildDeps(api, rules))).toMatchObject({ created: 1 });
    expect(await runCycle(prebuildDeps(api, rules))).toMatchObject({ created: 0 });
  });
});

describe('while it is paused', () => {
  test('nothing is written, and after resuming the pool is filled', async () => {
    const pool = await only(await createPool(api, { desired: 1 }));
    const pause = (paused: boolean) =>
      api.request('PUT', '/api/v2/prebuilds/settings', {
        token: api.ownerToken,
        body: { reconciliation_paused: paused },
      });
    expect((await pause(true)).status).toBe(200);
    api.statements.length = 0;
    for (let cycle = 0; cycle < 3; cycle += 1) await runCycle(prebuildDeps(api));
    expect(api.statements.every((text) => /^\s*select/i.test(text))).toBe(true);
    expect(await listPrebuilds(api.db, pool.templateId)).toEqual([]);
    expect((await pause(false)).status).toBe(200);
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 1 });
  });
});

describe('at the same time', () => {
  test('many runs over one pool make exactly what it wants', async () => {
    const pool = await only(await createPool(api, { desired: 7 }));
    const reconcile = createReconcilePreset(prebuildDeps(api));
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => reconcile({ presetId: pool.presetId, maxCreates: 7, origin })),
    );
    expect(outcomes.reduce((sum, { created }) => sum + created, 0)).toBe(7);
    expect(await listPrebuilds(api.db, pool.templateId)).toHaveLength(7);
  });
});
