import fc from 'fast-check';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, takeBuild } from '../support/build-rows.ts';
import {
  type TestPool,
  activePoolBuilds,
  createPool,
  insertPool,
  prebuildDeps,
  promoteNewVersion,
  readyAgent,
  runCycle,
} from '../support/pool-rows.ts';

/**
 * Operators, users and the clock do a thousand things to a template with two pools, in random order, on the real database.
 * Whatever they did: pools are as they should be two cycles later, and never has there been more than the caps allow.
 */
const totalActions = 1_000;
/** After so many the pools are left alone and have to come to rest. */
const actionsBetweenRests = 25;
const caps = { maxCreatesPerCycle: 5, maxInFlight: 8 };

let api: TestApi;
let bob: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  bob = await api.createUser({ username: 'bob' });
});
afterAll(() => api.close());

interface World {
  readonly templateId: string;
  /** Of the active version. */
  pools: TestPool[];
  claims: number;
}
type Action = (world: World, random: number) => Promise<void>;

const one = <T>(rows: readonly T[], random: number): T | undefined => rows[Math.floor(random * rows.length)];
const prebuildsOf = async (templateId: string) =>
  api.db.execute<{ id: string; status: string; transition: string }>(sql`
    select w.id, j.job_status as status, b.transition from workspaces w
    join workspace_builds b on b.id = w.latest_build_id join provisioner_jobs j on j.id = b.job_id
    join users u on u.id = w.owner_id and u.is_system
    where w.template_id = ${templateId} and not w.deleted order by w.id`);
const asAdmin = (method: string, path: string, body?: unknown) =>
  api.request(method, `/api/v2${path}`, { token: api.ownerToken, ...(body !== undefined && { body }) });
const buildAs = (transition: 'start' | 'stop' | 'delete'): Action =>
  async function requestOne({ templateId }, random) {
    const prebuild = one(await prebuildsOf(templateId), random);
    // Refused while a build is active: nothing happens then.
    if (prebuild !== undefined) await asAdmin('POST', `/workspaces/${prebuild.id}/builds`, { transition });
  };
const end = (error: string | undefined): Action =>
  async function endOne({ templateId }, random) {
    const build = one(await activePoolBuilds(api.db, templateId), random);
    if (build === undefined) return;
    await endBuild(api.db, build.buildId, error === undefined ? {} : { error });
    if (error === undefined && build.transition === 'start') await readyAgent(api, build.workspaceId);
  };

const actions: Readonly<Record<string, Action>> = {
  async resize({ pools }, random) {
    const pool = one(pools, random)!;
    await api.db.execute(
      sql`update template_version_presets set desired_instances = ${Math.floor(random * 97) % 5} where id = ${pool.presetId}`,
    );
  },
  async promote(world) {
    const first = await promoteNewVersion(api, world.templateId, { name: 'a', desired: 2, ttlSeconds: 3600 });
    const second = await insertPool(api.db, first.versionId, { name: 'b', desired: 1 });
    world.pools = [first, { ...first, presetId: second }];
  },
  async deprecate({ templateId }, random) {
    await asAdmin('PATCH', `/templates/${templateId}`, { deprecation_message: random < 0.5 ? 'gone' : '' });
  },
  async invalidate({ templateId }) {
    await asAdmin('POST', `/templates/${templateId}/prebuilds/invalidate`);
  },
  async claim(world, random) {
    world.claims += 1;
    await api.request('POST', '/api/v2/users/me/workspaces', {
      token: bob.token,
      body: {
        name: `claimed-${world.claims}`,
        template_id: world.templateId,
        template_version_preset_id: one(world.pools, random)!.presetId,
      },
    });
  },
  async take({ templateId }, random) {
    const build = one(await activePoolBuilds(api.db, templateId), random);
    if (build !== undefined) await takeBuild(api.db, build.buildId).catch(() => undefined);
  },
  async cancel({ templateId }, random) {
    const build = one(await activePoolBuilds(api.db, templateId), random);
    if (build !== undefined) await asAdmin('PATCH', `/workspacebuilds/${build.buildId}/cancel`);
  },
  succeed: end(undefined),
  fail: end('no disk'),
  start: buildAs('start'),
  stop: buildAs('stop'),
  delete: buildAs('delete'),
  async wait(_world, random) {
    api.clock.now = new Date(api.clock.now.getTime() + Math.floor(random * 5_400_000));
  },
};

const inFlight = async (): Promise<number> =>
  (
    await api.db.execute<{ count: number }>(sql`
      select count(*)::int as count from workspaces w join workspace_builds b on b.id = w.latest_build_id and b.active
      join users u on u.id = w.owner_id and u.is_system where not w.deleted`)
  )[0]!.count;

/** A cycle that never makes more than the caps allow. */
async function cycle(world: World) {
  const before = await inFlight();
  const outcome = await runFilling(world, caps);
  expect(outcome.errors).toEqual([]);
  expect(outcome.created).toBeLessThanOrEqual(caps.maxCreatesPerCycle);
  expect(outcome.created).toBeLessThanOrEqual(Math.max(0, caps.maxInFlight - before));
  return outcome;
}

/** Runs a cycle, after which no pool has more than it wants because of it. */
async function runFilling(world: World, rules: Parameters<typeof prebuildDeps>[1] = {}) {
  const before = new Map((await sizes(world)).map((row) => [row.id, row.have]));
  const outcome = await runCycle(prebuildDeps(api, rules));
  const grown = (await sizes(world)).filter(({ id, have }) => have > (before.get(id) ?? 0));
  expect(grown.filter(({ wanted, have }) => have > wanted)).toEqual([]);
  return outcome;
}

/** What runs or is made of each pool, without what has expired. */
const sizes = (world: World) =>
  api.db.execute<{ id: string; wanted: number; have: number }>(sql`
    select p.id, p.desired_instances as wanted, count(*)::int as have from template_version_presets p
    join workspace_builds b on b.template_version_preset_id = p.id and b.is_latest and b.transition = 'start'
    join provisioner_jobs j on j.id = b.job_id and j.job_status in ('pending', 'running', 'canceling', 'succeeded')
    join workspaces w on w.id = b.workspace_id and not w.deleted
    join users u on u.id = w.owner_id and u.is_system
    where w.template_id = ${world.templateId}
      and (j.job_status <> 'succeeded' or w.created_at >= greatest(p.last_invalidated_at,
        ${api.clock.now.toISOString()}::timestamptz - p.invalidate_after_secs * interval '1 second', '-infinity'))
    group by p.id, p.desired_instances`);

/** Everything that waits or runs succeeds. */
async function finishAll({ templateId }: World): Promise<void> {
  for (;;) {
    const builds = await activePoolBuilds(api.db, templateId);
    if (builds.length === 0) return;
    for (const build of builds) {
      await endBuild(api.db, build.buildId);
      if (build.transition === 'start') await readyAgent(api, build.workspaceId);
    }
  }
}

/** With nothing failing and no cap in the way, two cycles are enough; a third finds nothing to do. */
async function comesToRest(world: World): Promise<void> {
  // What failed would hold creation back; what hangs would never end.
  await finishAll(world);
  const failed = (await prebuildsOf(world.templateId)).filter(({ status }) => status === 'failed');
  for (const { id } of failed) await api.db.execute(sql`update workspaces set deleted = true where id = ${id}`);
  for (let times = 0; times < 2; times += 1) {
    await runFilling(world);
    await finishAll(world);
  }
  expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 0, deleted: 0, canceled: 0, errors: [] });
  const rows = await api.db.execute<{ preset: string; wanted: number; running: number }>(sql`
    select p.id as preset, case when t.deprecated = '' and v.id = t.active_version_id then p.desired_instances else 0 end as wanted, (
      select count(*)::int from workspaces w
      join workspace_builds b on b.id = w.latest_build_id and b.transition = 'start' and b.template_version_preset_id = p.id
      join provisioner_jobs j on j.id = b.job_id and j.job_status = 'succeeded'
      join users u on u.id = w.owner_id and u.is_system
      where not w.deleted) as running
    from template_version_presets p join template_versions v on v.id = p.template_version_id
    join templates t on t.id = v.template_id
    where v.template_id = ${world.templateId} and p.desired_instances is not null`);
  expect(rows.length).toBeGreaterThanOrEqual(world.pools.length);
  expect(rows.filter(({ wanted, running }) => wanted !== running)).toEqual([]);
}

test('a thousand random actions of operators, users and the clock leave pools that come to rest', async () => {
  const first = await createPool(api, { name: 'a', desired: 2, ttlSeconds: 3600 });
  const second = await insertPool(api.db, first.versionId, { name: 'b', desired: 1 });
  const world: World = { templateId: first.templateId, pools: [first, { ...first, presetId: second }], claims: 0 };
  const names = Object.keys(actions);
  // Another sequence each time; a failure names it.
  const seed = Date.now() % 1_000_000;
  const steps = fc.sample(fc.tuple(fc.nat(names.length - 1), fc.double({ min: 0, max: 0.999_999, noNaN: true })), {
    seed,
    numRuns: totalActions,
  });
  const recent: string[] = [];
  try {
    for (const [place, [action, random]] of steps.entries()) {
      const name = names[action]!;
      recent.push(`${name} ${random}`);
      await actions[name]!(world, random);
      // As after a kick.
      if (Math.floor(random * 1_000) % 2 === 0) await cycle(world);
      if ((place + 1) % actionsBetweenRests === 0) await comesToRest(world);
    }
  } catch (err) {
    throw new Error(`seed ${seed}, after ${recent.length} actions: ${recent.slice(-actionsBetweenRests).join(', ')}`, {
      cause: err,
    });
  }
}, 300_000);
