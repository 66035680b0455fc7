import { createPlanPrebuildCycle } from '../activities/plan-prebuild-cycle.ts';
import { readPrebuildSnapshot } from '../db/queries/prebuild-snapshot.ts';
import { planPrebuilds } from '../domain/prebuild-plan.ts';
import { type PoolsBed, type World, withPoolsBed } from './pools/bed.ts';
import type { Load } from './pools/counted-database.ts';
import { bareSnapshot, runBoundedCycle, runUnboundedCycle, withCycleWorker } from './pools/cycles.ts';
import type { PoolRows } from './pools/rows.ts';
import { quantile, report, timed } from './report.ts';

const sizes = [10, 100, 1_000, 5_000];
/** Of the mixed ones so many are active and empty. */
const activeShare = 0.05;
const warmUps = 5;
/** What a workflow of one activity takes that does nothing. */
const leastEvents = 11;

/** Presets of versions that are over; pools that are full; pools that are empty. */
const dead = (presets: number): PoolRows => ({ name: 'dead', presets, active: false, desired: 1, ready: 0 });
const full = (presets: number): PoolRows => ({ name: 'full', presets, active: true, desired: 1, ready: 1 });
const empty = (presets: number): PoolRows => ({ name: 'empty', presets, active: true, desired: 1, ready: 0 });

const figure = (metric: string, ours: number, baseline: number, of: { n: number; unit: string }): void =>
  report({ bench: 'reconcile', metric, ours, baseline, ...of });

/**
 * Cycles of the reconciler over 10 to 5,000 presets: nothing to do (dead versions; full pools), everything to do, and a mix.
 * Against the bare statements of the snapshot, and against a reconciler that skips and bounds nothing. Source: spec/03 §18.
 */
export async function benchReconcile({ runs = 20 }: { runs: number | undefined }): Promise<void> {
  await withPoolsBed(async (bed) => {
    for (const size of sizes) await measureIdle(bed, { name: 'noops', rows: dead(size), runs });
    for (const size of sizes) await measureIdle(bed, { name: 'full', rows: full(size), runs });
    await bed.withWorld([full(5_000)], measureRule);
    for (const size of [10, 100, 200, 1_000])
      await measureWork(bed, { name: `contention_${size}`, rows: [empty(size)] });
    // As many creations as 200 pools of one, many of them in one transaction.
    await measureWork(bed, { name: 'contention_8_pools_of_25', rows: [{ ...empty(8), desired: 25 }] });
    for (const size of sizes) {
      const active = Math.max(1, size * activeShare);
      await measureWork(bed, { name: `mix_${size}`, rows: [dead(size - active), empty(active)] });
    }
    await measureHistories(bed, [
      { name: 'noops_5000', rows: [dead(5_000)] },
      { name: 'contention_200', rows: [empty(200)] },
      { name: 'mix_5000', rows: [dead(4_750), empty(250)] },
    ]);
  });
}

/** Cycles with nothing to do: all of it is the plan. */
async function measureIdle(
  bed: PoolsBed,
  { name, rows, runs }: { name: string; rows: PoolRows; runs: number },
): Promise<void> {
  const { presets: n } = rows;
  console.error(`${name}: ${n} presets`);
  await bed.withWorld([rows], async (world) => {
    const plan = createPlanPrebuildCycle(world.deps);
    const bare = await bareSnapshot(world);
    const samples = { ours: [] as number[], bare: [] as number[] };
    for (let run = 0; run < runs + warmUps; run += 1) {
      const times = { ours: await timed(plan), bare: await timed(bare) };
      if (run < warmUps) continue;
      samples.ours.push(times.ours);
      samples.bare.push(times.bare);
    }
    const [ours, base] = [quantile(samples.ours, 0.5), quantile(samples.bare, 0.5)];
    figure(`${name}_${n}_cycle_p50`, ours, base, { n: runs, unit: 'ms' });
    if (rows.active)
      figure(`noop_us_per_preset_of_${n}`, (ours * 1_000) / n, (base * 1_000) / n, { n: runs, unit: 'us' });
    await reportLoads(`${name}_${n}`, await loadOf(world, 'bounded'), await loadOf(world, 'unbounded'));
  });
}

/** The rule alone, with the filter of the statements switched off: what a preset costs that is skipped, against one that is not. */
async function measureRule({ deps }: World): Promise<void> {
  const now = deps.now();
  const { rules } = deps.snapshot;
  const snapshot = await readPrebuildSnapshot(deps.db, { ...deps.snapshot, now });
  const skipped = { ...snapshot, presets: snapshot.presets.map((each) => ({ ...each, active: false })), running: [] };
  const n = snapshot.presets.length;
  const samples = { skipped: [] as number[], looked: [] as number[] };
  for (let run = 0; run < 20; run += 1) {
    samples.looked.push(await timed(async () => planPrebuilds(snapshot, now, rules)));
    samples.skipped.push(await timed(async () => planPrebuilds(skipped, now, rules)));
  }
  const us = (sample: readonly number[]) => (quantile(sample, 0.5) * 1_000) / n;
  figure('skip_us_per_preset', us(samples.skipped), us(samples.looked), { n: 20, unit: 'us' });
}

async function loadOf(world: World, kind: 'bounded' | 'unbounded'): Promise<Load> {
  let items = 0;
  const load = await world.database.measure(async () => {
    if (kind === 'unbounded') await runUnboundedCycle(world);
    else items = (await runBoundedCycle(world)).items.length;
  });
  if (kind === 'bounded' && items > 0) console.error(`${items} work items`);
  return load;
}

async function reportLoads(name: string, ours: Load, unbounded: Load): Promise<void> {
  const of = { n: 1 };
  figure(`${name}_cycle`, ours.ms, unbounded.ms, { ...of, unit: 'ms' });
  figure(`${name}_statements_per_cycle`, ours.statements, unbounded.statements, { ...of, unit: 'statements' });
  figure(`${name}_connections_in_use_max`, ours.connectionsMax, unbounded.connectionsMax, {
    ...of,
    unit: 'connections',
  });
  figure(`${name}_select1_p99`, ours.probeP99Ms, unbounded.probeP99Ms, { ...of, unit: 'ms' });
}

/** Cycles that make one prebuild in each of many empty pools, each on a database of its own. */
async function measureWork(bed: PoolsBed, { name, rows }: { name: string; rows: readonly PoolRows[] }): Promise<void> {
  console.error(name);
  const all = rows.reduce((sum, { presets }) => sum + presets, 0);
  const active = rows.reduce((sum, { presets, active: is }) => sum + (is ? presets : 0), 0);
  let items = 0;
  const ours = await bed.withWorld(rows, async (world) => {
    // The first cycle ever also makes memberships.
    await createPlanPrebuildCycle(world.deps)();
    return world.database.measure(async () => {
      items = (await runBoundedCycle(world)).items.length;
    });
  });
  const unbounded = await bed.withWorld(rows, async (world) => {
    await createPlanPrebuildCycle(world.deps)();
    return world.database.measure(() => runUnboundedCycle(world));
  });
  if (items !== active) throw new Error(`${items} work items for ${active} presets`);
  figure(`${name}_work_items`, items, all, { n: 1, unit: 'presets' });
  await reportLoads(name, ours, unbounded);
}

/** The same cycles as workflows on a real server. */
async function measureHistories(
  bed: PoolsBed,
  cases: readonly { name: string; rows: readonly PoolRows[] }[],
): Promise<void> {
  for (const { name, rows } of cases)
    await bed.withWorld(rows, (world) =>
      withCycleWorker(bed.temporalAddress, world, async (runCycle) => {
        console.error(`${name} as a workflow`);
        const cycle = await runCycle();
        figure(`${name}_history_events`, cycle.historyEvents, leastEvents, { n: 1, unit: 'events' });
        console.error(`${name}: ${cycle.ms.toFixed(0)} ms as a workflow`);
      }),
    );
}
