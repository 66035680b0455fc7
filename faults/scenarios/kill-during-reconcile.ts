import { setTimeout as delay } from 'node:timers/promises';
import { type Context, everythingReady } from '../context.ts';
import { type Cycles, watchCycles } from '../cycles.ts';
import { eventually } from '../patience.ts';
import { claimOne } from '../pool-claims.ts';
import { endLife, judgeLife, lifeOf, untrackedIn } from '../pool-lives.ts';
import { type PoolChange, type PoolRow, describeRows, isAtRest, judgeChange } from '../pool-oracle.ts';
import { poolsFleet, poolsRemark } from '../pools-fleet.ts';
import { type Pool, createPool, drainPools, patiently, resize, restOf, rowsOf } from '../pools.ts';
import { type Random, createRandom } from '../random.ts';
import { type Run, addFindings, createRun } from '../run.ts';
import type { Order, Scenario } from '../scenario.ts';
import { type Shares, drawVictim, strikeDown } from '../victims.ts';
import { addUsualHost } from './strike-scenario.ts';

/** Pools that one fault strikes; each is a run. */
const poolsAtOnce = 4;
const firstSize = 2;
const largestSize = 3;
const shares: Shares = { control: 0.6, provisioner: 0.12, api: 0.13, postgres: 0.15 };
/** The reconciler begins a cycle within a second of the change. */
const cycleMs = 1_500;
const commitSeenWithinMs = 10_000;
/** Between the commit of a cycle's batch and the end of its workflow starts. */
const afterCommitMs = 60;
const slowestPatchMs = 60_000;

interface Change extends PoolChange {
  readonly what: string;
  readonly apply: (run: Run) => Promise<unknown>;
}

/**
 * What pools are to have changes, by size, by promotion, by claims; while the reconciler acts on that, something is killed. The pools
 * come to rest with just what they are to have, made once.
 */
export const killDuringReconcile: Scenario = {
  name: 'kill-during-reconcile',
  fleet: poolsFleet,
  remark: poolsRemark,
  begin: addUsualHost,
  async play(context, order) {
    const pools = await Promise.all(
      Array.from({ length: Math.min(poolsAtOnce, order.runs) }, (_, index) =>
        createPool(context, { name: `reconciled-${index}`, versions: 2 }),
      ),
    );
    const cycles = await watchCycles(context);
    try {
      for (const pool of pools) await resize(context, pool, firstSize);
      const beganAt = Date.now();
      for (const pool of pools)
        if ((await restOf(context, pool, isAtRest)) === undefined)
          throw new Error(`without any fault: ${describeRows(await rowsOf(context, pool))}`);
      const restMs = Date.now() - beganAt;
      for (let done = 0, round = 0; done < order.runs; round += 1) {
        const struck = pools.slice(0, Math.min(pools.length, order.runs - done));
        await order.onRuns(await playRound(context, { pools: struck, cycles, seed: order.seed + round, restMs }));
        done += struck.length;
      }
      await drainPools(context, pools);
    } finally {
      await cycles.close();
    }
  },
};

interface RoundOrder extends Pick<Order, 'seed'> {
  readonly pools: readonly Pool[];
  readonly cycles: Cycles;
  /** How long the pools take to be filled here. */
  readonly restMs: number;
}

async function playRound(context: Context, { pools, cycles, seed, restMs }: RoundOrder): Promise<readonly Run[]> {
  const random = createRandom(seed);
  const rows = await Promise.all(pools.map((pool) => rowsOf(context, pool)));
  // Drawn one after the other, so that the seed decides and not who is answered first.
  const struck = pools.map((pool, index) => {
    const run = createRun({ scenario: context.scenario, seed, size: pools.length, name: pool.name });
    const before = rows[index]!;
    return { pool, run, before, change: drawChange(context, random, { pool, before, seed }) };
  });
  const victim = drawVictim(random, shares);
  const moment = drawMoment(context, random, { pools, restMs });
  const changes = struck.map(({ change, run }) => change.apply(run));
  await moment.comes();
  const strikeAt = Date.now();
  for (const { run, change } of struck) run.notes.push(`${change.what}; ${victim} killed ${moment.name}`);
  await strikeDown(context, random, victim);
  await Promise.all([...changes, everythingReady(context)]);
  const rests = await Promise.all(
    struck.map(async ({ pool, run }) => {
      const rest = await restOf(context, pool, isAtRest);
      if (rest === undefined) addFindings(run, [{ kind: 'stuck', what: describeRows(await rowsOf(context, pool)) }]);
      else if (rest.atMs > strikeAt) run.recoveryMs = rest.atMs - strikeAt;
      run.phase = await phaseOf(context, pool, strikeAt);
      return rest;
    }),
  );
  // A cycle that sees all of that finds nothing to do.
  const goesOn = await cycles.goOn();
  const untracked = await untrackedIn(context);
  await Promise.all(
    struck.map(async ({ pool, run, before, change }, index) => {
      if (!goesOn) addFindings(run, [{ kind: 'stuck', what: 'no cycle of the schedule ran after the fault' }]);
      for (const id of untracked) addFindings(run, [{ kind: 'orphan', what: `${id} had effects and is no workspace` }]);
      if (rests[index] === undefined) return;
      const after = await rowsOf(context, pool);
      addFindings(run, judgeChange(before, after, change));
      await judgeWorkspaces(context, run, { before, after });
    }),
  );
  return struck.map(({ run }) => run);
}

/** One change, and what exactly it asks for of a pool that is at rest. */
function drawChange(
  context: Context,
  random: Random,
  { pool, before, seed }: { pool: Pool; before: readonly PoolRow[]; seed: number },
): Change {
  const kind = random.pick(['resize', 'resize', 'promote', 'claim'] as const);
  const { size } = pool;
  if (kind === 'claim' && size > 0) {
    const count = 1 + Math.floor(random.next() * Math.min(2, size));
    return {
      what: `${count} of ${size} claimed`,
      created: count,
      removed: 0,
      claimed: count,
      async apply(run) {
        await makeReady(context, before);
        const names = Array.from({ length: count }, (_, index) => `c-${seed}-${index}-${pool.name}`);
        await Promise.all(names.map((name) => claimOne(run, { claimant: context, pool, name })));
      },
    };
  }
  if (kind === 'promote') {
    pool.active = (pool.active + 1) % pool.versions.length;
    return {
      what: `promoted with ${size}`,
      created: size,
      removed: size,
      claimed: 0,
      apply: () => promote(context, pool),
    };
  }
  const others = Array.from({ length: largestSize + 1 }, (_, each) => each).filter((each) => each !== size);
  const wanted = random.pick(others);
  return {
    what: `resized from ${size} to ${wanted}`,
    created: Math.max(0, wanted - size),
    removed: Math.max(0, size - wanted),
    claimed: 0,
    apply: () => resize(context, pool, wanted),
  };
}

const promote = ({ api }: Context, { templateId, versions, active }: Pool): Promise<unknown> =>
  eventually(
    async () => {
      const json = { id: versions[active]!.id };
      return (await api.request('PATCH', `/templates/${templateId}/versions`, { json })).status === 200;
    },
    { boundMs: slowestPatchMs, everyMs: 100 },
  );

/** Nobody runs agents here: this scenario is about pools. What is claimed has to be ready all the same. */
const makeReady = ({ stack: { sql } }: Context, rows: readonly PoolRow[]): Promise<unknown> =>
  patiently(
    async () => sql`
      update workspace_agents a set lifecycle_state = 'ready' from workspace_resources r, workspace_builds b
      where r.id = a.resource_id and b.job_id = r.job_id
        and b.workspace_id = any(${rows.filter(({ isPrebuild }) => isPrebuild).map(({ id }) => id)}::uuid[])`,
  );

/** Half of the faults strike between the rows of a cycle and their workflows, a quarter within the cycle, the others anywhere. */
function drawMoment(
  { stack: { sql } }: Context,
  random: Random,
  { pools, restMs }: { pools: readonly Pool[]; restMs: number },
): { readonly name: string; readonly comes: () => Promise<unknown> } {
  const aim = random.next();
  const templates = pools.map(({ templateId }) => templateId);
  if (aim < 0.5) {
    const afterMs = random.between(0, afterCommitMs);
    const count = async () =>
      (
        await sql<{ builds: number }[]>`
          select count(*)::int as builds from workspace_builds b join workspaces w on w.id = b.workspace_id
          where w.template_id = any(${templates}::uuid[])`
      )[0]!.builds;
    return {
      name: `${Math.round(afterMs)} ms after the first rows of the cycle were seen`,
      async comes() {
        const before = await count();
        await eventually(async () => (await count()) > before, { boundMs: commitSeenWithinMs, everyMs: 2 });
        await delay(afterMs);
      },
    };
  }
  const afterMs = random.between(0, aim < 0.75 ? cycleMs : restMs);
  return { name: `${Math.round(afterMs)} ms after the change`, comes: () => delay(afterMs) };
}

/** Where the pool was when the fault struck, by the builds that came of the change. */
async function phaseOf({ stack: { sql } }: Context, { templateId }: Pool, strikeAt: number): Promise<string> {
  const at = new Date(strikeAt);
  const [found] = await patiently(
    () => sql<{ waiting: number; unstarted: number; running: number }[]>`
      select count(*) filter (where j.created_at > ${at})::int as waiting,
        count(*) filter (where j.created_at <= ${at} and coalesce(j.workflow_started_at > ${at}, true))::int as unstarted,
        count(*) filter (where j.workflow_started_at <= ${at} and coalesce(j.completed_at > ${at}, true))::int as running
      from workspace_builds b join workspaces w on w.id = b.workspace_id join provisioner_jobs j on j.id = b.job_id
      where w.template_id = ${templateId} and coalesce(j.completed_at > ${at}, true)`,
  );
  const { waiting, unstarted, running } = found!;
  if (unstarted > 0) return 'builds without workflow';
  if (waiting > 0) return running > 0 ? 'some builds to come' : 'before its builds';
  return running > 0 ? 'building' : 'at rest';
}

/** Whatever was made, removed or claimed: ledger, state and builds agree. What was claimed is deleted. */
async function judgeWorkspaces(
  context: Context,
  run: Run,
  { before, after }: { before: readonly PoolRow[]; after: readonly PoolRow[] },
): Promise<void> {
  const settled = new Set(before.filter(({ deleted }) => deleted).map(({ id }) => id));
  for (const { id, isPrebuild } of after.filter((row) => !settled.has(row.id))) {
    const life = await lifeOf(context, run, id);
    await judgeLife(context, life);
    if (!isPrebuild) await endLife(context, life);
    addFindings(run, life.findings);
  }
}
