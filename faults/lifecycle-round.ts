import { setTimeout as delay } from 'node:timers/promises';
import { type Context, everythingReady } from './context.ts';
import {
  type LifecycleWorkspaceRow,
  type WantedBuild,
  type WorkflowRuns,
  isSettled,
  judgeLifecycle,
} from './lifecycle-oracle.ts';
import { type Storm, insertStorm, readWorkspaces, retire } from './lifecycle-storm.ts';
import type { Ticks } from './lifecycle-ticks.ts';
import { eventually } from './patience.ts';
import { patiently } from './pools.ts';
import type { Random } from './random.ts';
import { type Run, addFindings, createRun } from './run.ts';

export interface StormRound {
  readonly run: Run;
  readonly storm: Storm;
  /** Of the storm, and of others that are due with it. */
  readonly ids: readonly string[];
  readonly before: readonly LifecycleWorkspaceRow[];
  readonly beganAt: number;
}

const startWithinMs = 60_000;
const tickBeginsWithinMs = 30_000;
const byClock = { transition: 'start', reasons: ['autostart'] } as const;
const byAnybody = { transition: 'start', reasons: ['autostart', 'initiator'] } as const;
export const wantedStart: { readonly byClock: WantedBuild; readonly byAnybody: WantedBuild } = { byClock, byAnybody };

/** A storm that is not due yet. `others` are workspaces that will be due with it. */
export async function openRound(
  context: Context,
  { seed, workspaces, others = [] }: { seed: number; workspaces: number; others?: readonly string[] },
): Promise<StormRound> {
  const name = `${context.scenario}-${seed}`.slice(-32).replace(/^-+/, '');
  const run = createRun({ scenario: context.scenario, seed, size: 1, name });
  const storm = await insertStorm(context, { name, workspaces });
  run.notes.push(`${workspaces} workspaces`);
  const ids = [...storm.ids, ...others];
  return { run, storm, ids, before: await readWorkspaces(context, ids), beganAt: Date.now() };
}

export interface Moment {
  readonly name: string;
  /** Resolves when it has come, or when so much will never come. */
  readonly comes: (context: Context, storm: Storm) => Promise<void>;
}

/**
 * In the middle of a page, measured by what is committed: half of the moments lie within milliseconds after a commit, between a
 * batch and its workflows, most others anywhere within the batches, some before the first.
 */
export function drawMoment(random: Random, workspaces: number): Moment {
  const aim = random.next();
  if (aim < 0.1) {
    const afterMs = random.between(0, 300);
    return { name: `${Math.round(afterMs)} ms after the trigger`, comes: () => delay(afterMs) };
  }
  const builds = Math.floor(random.between(0, workspaces));
  const afterMs = random.between(0, aim < 0.6 ? 10 : 250);
  return {
    name: `${Math.round(afterMs)} ms after more than ${builds} builds were seen`,
    async comes({ stack: { sql } }, { name }) {
      const count = async () =>
        (
          await sql<{ builds: number }[]>`
            select count(*)::int as builds from workspace_builds b join workspaces w on w.id = b.workspace_id
            join templates t on t.id = w.template_id where t.name = ${name} and b.build_number > 1`
        )[0]!.builds;
      await eventually(async () => (await count()) > builds, { boundMs: tickBeginsWithinMs, everyMs: 1 });
      await delay(afterMs);
    },
  };
}

/** Where the storm was at an instant, by its jobs. */
export async function phaseAt({ stack: { sql } }: Context, { storm }: StormRound, atMs: number): Promise<string> {
  const at = new Date(atMs);
  const [found] = await patiently(
    () => sql<{ made: number; unstarted: number }[]>`
      select count(*)::int as made,
        count(*) filter (where j.workflow_started_at is null or j.workflow_started_at > ${at})::int as unstarted
      from workspace_builds b join workspaces w on w.id = b.workspace_id join templates t on t.id = w.template_id
      join provisioner_jobs j on j.id = b.job_id
      where t.name = ${storm.name} and b.build_number > 1 and j.created_at <= ${at}`,
  );
  const { made, unstarted } = found!;
  if (made === 0) return 'before the first batch';
  const place = made < storm.ids.length ? 'between its batches' : 'after its last batch';
  return unstarted > 0 ? `${place}, builds without workflow` : place;
}

export interface Expectation {
  readonly wanted: (id: string) => WantedBuild | null;
  /** Absent = nothing was struck. */
  readonly struckAt?: number;
  /** The database's clock against ours. */
  readonly offsetMs?: number;
}

/**
 * Gives everything time, has one more tick look at it all, and judges. Answers the rows as they are then. What a tick
 * has left over waits for the next minute.
 */
export async function settleRound(
  context: Context,
  ticks: Ticks,
  { round, expectation }: { round: StormRound; expectation: Expectation },
): Promise<readonly LifecycleWorkspaceRow[]> {
  const { run, ids, before, storm, beganAt } = round;
  const { wanted, struckAt, offsetMs = 0 } = expectation;
  await everythingReady(context);
  const settled = await eventually(
    async () => isSettled({ before, after: await readWorkspaces(context, ids), wanted }),
    { boundMs: context.boundMs, everyMs: 200 },
  );
  if (settled === undefined)
    addFindings(run, [{ kind: 'stuck', what: `not at rest after ${context.boundMs / 1000} s` }]);
  else if (struckAt !== undefined) run.recoveryMs = Date.now() - struckAt;
  if (!(await ticks.goOn())) addFindings(run, [{ kind: 'stuck', what: 'no tick came to its end after that' }]);
  for (const failed of await ticks.failedSince(beganAt))
    addFindings(run, [{ kind: 'wrong', what: `a tick failed: ${failed}` }]);
  const after = await readWorkspaces(context, ids);
  const lives = after.filter(({ id }) => !storm.ids.includes(id)).map(({ name }) => `owner/${name}`);
  const open = (): Promise<ReadonlyMap<string, WorkflowRuns>> =>
    ticks.workflowsOf({ template: storm.name, workspaces: lives });
  let workflows = await open();
  const judge = () => judgeLifecycle({ before, after, wanted, atMs: Date.now() + offsetMs, workflows });
  // What was started just now is not in the list at once.
  await eventually(
    async () => {
      workflows = await open();
      return !judge().some(({ kind }) => kind === 'stuck');
    },
    { boundMs: startWithinMs / 6, everyMs: 200 },
  );
  addFindings(run, judge());
  return after;
}

/** The same, and the end of the storm. */
export async function closeRound(
  context: Context,
  ticks: Ticks,
  of: { round: StormRound; expectation: Expectation },
): Promise<void> {
  try {
    await settleRound(context, ticks, of);
    await sayLate(context, of.round);
  } finally {
    await retire(context, of.round.storm);
  }
}

const lateMs = 5_000;

/** Starts that the server did not answer in time are left to the sweep: how many tells how far a machine is behind. */
async function sayLate({ stack: { sql } }: Context, { ids, before }: StormRound): Promise<void> {
  const [{ late, made } = { late: 0, made: 0 }] = await patiently(
    () => sql<{ late: number; made: number }[]>`
      select count(*)::int as made, count(*) filter (
        where j.workflow_started_at > j.created_at + ${lateMs} * interval '1 millisecond')::int as late
      from workspace_builds b join provisioner_jobs j on j.id = b.job_id
      where b.workspace_id = any(${[...ids]}::uuid[]) and not b.id = any(${before.flatMap(({ builds }) => builds.map(({ id }) => id))}::uuid[])`,
  );
  console.error(`  ${late} of ${made} builds had their workflow later than ${lateMs / 1000} s after their row`);
}
