import { setTimeout as delay } from 'node:timers/promises';
import { buildOver, requestBuild } from './builds.ts';
import type { BuildTimes } from './calibration.ts';
import { type Context, everythingReady } from './context.ts';
import { finishLife, judgeBuild, undisturbed } from './judge.ts';
import { notePhase } from './phases.ts';
import { createRandom } from './random.ts';
import { measureRecovery } from './recovery.ts';
import { type Run, type Transition, addFindings, createRun } from './run.ts';
import type { Accepted, Round, Strike, Struck } from './scenario.ts';

/** A build and the moment of its life at which the fault will strike, drawn by the round's seed. */
interface Planned {
  readonly run: Run;
  readonly transition: Transition;
  /** Milliseconds between its request and the fault. */
  readonly momentMs: number;
  readonly detour: boolean;
}

/** A moment shortly after the usual end belongs to the build as well: that is where its completion is. */
const afterEndMs = 200;

const at = (instantMs: number): Promise<void> => delay(Math.max(0, instantMs - Date.now()));

function plan(context: Context, strike: Strike, order: { seed: number; size: number; times: BuildTimes }) {
  const random = createRandom(order.seed);
  const planned = Array.from({ length: order.size }, (_, index): Planned => {
    const transition = random.pick(['start', 'stop', 'delete'] as const);
    const usualMs = order.times[transition];
    const momentMs = random.between((strike.momentFrom ?? 0) * usualMs, usualMs + afterEndMs);
    const name = `w-${order.seed}-${index}-${context.scenario}`.slice(0, 32);
    const run = createRun({ scenario: context.scenario, seed: order.seed, size: order.size, name });
    run.notes.push(
      `${transition}, fault ${Math.round(momentMs)} ms after its request (usually over after ${Math.round(usualMs)} ms)`,
    );
    return { run, transition, momentMs, detour: random.next() < 0.5 };
  });
  return { random, planned };
}

/** Requests builds at staggered moments, strikes once, waits for all ends, and judges every workspace to its end. */
export async function playRound(
  context: Context,
  strike: Strike,
  order: { seed: number; size: number; times: BuildTimes },
): Promise<readonly Run[]> {
  const { random, planned } = plan(context, strike, order);
  // A workspace has to be there before it can be stopped or deleted.
  const toPrepare = planned.filter(({ transition }) => transition !== 'start');
  await Promise.all(toPrepare.map(({ run }) => undisturbed(context, run, 'start')));
  const accepted: Accepted[] = [];
  const strikeAt = Date.now() + Math.max(...planned.map(({ momentMs }) => momentMs));
  const requests = planned.map(async ({ run, transition, momentMs }): Promise<Struck> => {
    await at(strikeAt - momentMs);
    const allowed = strike.allowedAnswers ?? [];
    const build = await requestBuild(context, run, { transition, allowed });
    if (build !== undefined) accepted.push({ run, build });
    return { run, build };
  });
  const round: Round = {
    context,
    random,
    acceptedYet: () => [...accepted],
    accepted: async () => (await Promise.all(requests), [...accepted]),
  };
  await at(strikeAt);
  const measurements = accepted.map(({ run, build }) => ({
    run,
    measured: measureRecovery(context.stack.watch, build.jobId, strike.recovery ?? 'held'),
  }));
  const fault = strike.strike(round).then(() => {
    for (const { measured } of measurements) measured.faultEnded();
  });
  const ends = requests.map(async (request) => {
    const { run, build } = await request;
    const row = build === undefined ? undefined : await buildOver(context, run, build);
    return { run, build, row };
  });
  await fault;
  const over = await Promise.all(ends);
  for (const { run, measured } of measurements) run.recoveryMs = measured.result();
  await strike.heal?.(round);
  await everythingReady(context);
  await Promise.all(
    over.map(async ({ run, build, row }, index) => {
      if (build !== undefined) await notePhase(context, run, { jobId: build.jobId, atMs: strikeAt });
      if (build !== undefined && row !== undefined) {
        await judgeBuild(context, run, { build, row, expected: strike.expected });
        addFindings(run, (await strike.inspect?.(round, { run, build, row })) ?? []);
      }
      await finishLife(context, run, planned[index]?.detour === true);
    }),
  );
  return planned.map(({ run }) => run);
}
