import type { BuildTimes } from './calibration.ts';
import type { Context, Stage } from './context.ts';
import { describeFailure } from './evidence.ts';
import { describePhases } from './phases.ts';
import type { Run } from './run.ts';
import type { Scenario } from './scenario.ts';
import { openStage } from './stage.ts';
import type { Stack } from './stack/stack.ts';
import { type Tally, recoveryGoalMs, tallyOf } from './tally.ts';

export interface PlayOptions {
  readonly runs: number;
  readonly seed: number;
  /** After so long a job that is not over is stuck. */
  readonly boundMs?: number;
  /** Build times that scenarios share; by default each measures them anew. */
  readonly times?: BuildTimes;
}

const usualBoundMs = 180_000;
/** Failed runs that are shown with ledger and logs; of the others only what was found. */
const detailed = 5;
/** A recovery that took longer is told with its circumstances. */
const slowMs = 3 * recoveryGoalMs;

/** Plays one scenario with processes of its own. */
export async function playScenario(stack: Stack, scenario: Scenario, options: PlayOptions): Promise<Tally> {
  const stage = await openStage(stack, scenario);
  try {
    return await playOn(stage, scenario, options);
  } finally {
    await stage.close();
  }
}

/** Plays one scenario on a stage that fits it; says on standard error what happens. */
export async function playOn(stage: Stage, scenario: Scenario, options: PlayOptions): Promise<Tally> {
  const { runs: wanted, seed, boundMs = usualBoundMs, times } = options;
  const { name, remark } = scenario;
  console.error(`${name}: ${wanted} runs, seed ${seed}${remark === undefined ? '' : `; ${remark}`}`);
  const context: Context = { ...stage, scenario: name, boundMs };
  const beganAt = Date.now();
  const all: Run[] = [];
  let shown = 0;
  const onRuns = async (runs: readonly Run[]): Promise<void> => {
    all.push(...runs);
    const failed = runs.filter(({ findings }) => findings.length > 0);
    const seconds = Math.round((Date.now() - beganAt) / 1000);
    const failures = failed.length === 0 ? '' : `, ${failed.length} failed`;
    console.error(`  ${all.length}/${wanted} after ${seconds} s${failures}`);
    for (const { name: who, phase, notes, recoveryMs } of runs)
      if ((recoveryMs ?? 0) > slowMs)
        console.error(
          `  slow: ${who}, ${Math.round(recoveryMs! / 1000)} s in the phase "${phase}": ${notes.join('; ')}`,
        );
    for (const run of failed) {
      shown += 1;
      console.error(await describeFailure(context, run, shown <= detailed));
    }
  };
  await scenario.play(context, { runs: wanted, seed, onRuns, ...(times !== undefined && { times }) });
  const phases = describePhases(all);
  if (phases !== '') console.error(`  at the fault: ${phases}`);
  const listed = all.reduce((sum, run) => sum + run.listed, 0);
  if (listed > 0) console.error(`  ${listed} objects outside of the state are listed as possible orphans`);
  return tallyOf(name, all);
}
