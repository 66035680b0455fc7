import { type Context, everythingReady } from '../context.ts';
import { buildOver } from '../builds.ts';
import { finishLife, judgeBuild, undisturbed } from '../judge.ts';
import { closeRound, drawMoment, openRound, phaseAt, wantedStart } from '../lifecycle-round.ts';
import { makeDue, minuteOf } from '../lifecycle-storm.ts';
import { adoptBuilds } from '../pool-lives.ts';
import { type Run, addFindings, createRun } from '../run.ts';
import { strikeDown } from '../victims.ts';
import { type StormOrder, stormScenario } from './storm-scenario.ts';

const usualSize = 250;
/** More than fit on one page. */
const largeSize = 520;
const largeShare = 0.15;
/** Workspaces of the template whose builds run Terraform, in every so many rounds. */
const lives = 2;
const livesEvery = 5;

/**
 * Hundreds of workspaces are due for their start in the same minute, and the control worker is killed in the middle of it. Each is
 * started once, and each build gets its workflow.
 */
export const killDuringLifecycle = stormScenario({ name: 'kill-during-lifecycle', playRound });

async function playRound(context: Context, { ticks, random, seed, sizeOf }: StormOrder): Promise<Run> {
  const workspaces = sizeOf(random.next() < largeShare ? largeSize : usualSize);
  const moment = drawMoment(random, workspaces);
  const living =
    seed % livesEvery === 0
      ? await Promise.all(Array.from({ length: lives }, (_, place) => beginLife(context, seed, place)))
      : [];
  const round = await openRound(context, { seed, workspaces, others: living.map(({ workspaceId }) => workspaceId) });
  const { run } = round;
  await makeDue(context, round.ids, minuteOf(Date.now()));
  await ticks.trigger();
  await moment.comes(context, round.storm);
  const struckAt = Date.now();
  await strikeDown(context, random, 'control');
  run.notes.push(`control worker killed ${moment.name}`);
  await everythingReady(context);
  run.phase = await phaseAt(context, round, struckAt);
  await closeRound(context, ticks, { round, expectation: { wanted: () => wantedStart.byClock, struckAt } });
  for (const life of living) {
    await judgeLife(context, life);
    addFindings(run, life.findings);
  }
  return run;
}

/** A workspace whose builds run Terraform, stopped. */
async function beginLife(context: Context, seed: number, place: number): Promise<Run> {
  const life = createRun({ scenario: context.scenario, seed, size: 1, name: `w-${seed}-${place}-lifecycle` });
  await undisturbed(context, life, 'start');
  await undisturbed(context, life, 'stop');
  return life;
}

/** Its start by the clock ran to its end, once; then it is deleted. */
async function judgeLife(context: Context, life: Run): Promise<void> {
  await adoptBuilds(context, life, life.workspaceId);
  const build = life.builds.at(-1)!;
  context.stack.watch.watch(build.jobId);
  const row = await buildOver(context, life, build);
  if (row !== undefined) await judgeBuild(context, life, { build, row, expected: ['succeeded'] });
  await finishLife(context, life, false);
}
