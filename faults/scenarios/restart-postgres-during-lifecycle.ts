import { setTimeout as delay } from 'node:timers/promises';
import { type Context, everythingReady } from '../context.ts';
import { closeRound, drawMoment, openRound, phaseAt, wantedStart } from '../lifecycle-round.ts';
import { makeDue, minuteOf } from '../lifecycle-storm.ts';
import type { Run } from '../run.ts';
import { type StormOrder, stormScenario } from './storm-scenario.ts';

const size = 250;
const longestAbsenceMs = 3_000;

/** PostgreSQL is shut down in the middle of a page, fast or immediately, and comes back. */
export const restartPostgresDuringLifecycle = stormScenario({ name: 'restart-postgres-during-lifecycle', playRound });

async function playRound(context: Context, { ticks, random, seed, sizeOf }: StormOrder): Promise<Run> {
  const workspaces = sizeOf(size);
  const { postgres } = context.stack.services;
  const moment = drawMoment(random, workspaces);
  const fast = random.next() < 0.5;
  const absenceMs = random.between(0, longestAbsenceMs);
  const round = await openRound(context, { seed, workspaces });
  const { run } = round;
  await makeDue(context, round.ids, minuteOf(Date.now()));
  await ticks.trigger();
  await moment.comes(context, round.storm);
  const struckAt = Date.now();
  await (fast ? postgres.stop() : postgres.quit());
  await delay(absenceMs);
  await postgres.start();
  run.notes.push(
    `PostgreSQL shut down ${fast ? 'fast' : 'immediately'} ${moment.name}, away for ${Math.round(absenceMs)} ms`,
  );
  await everythingReady(context);
  run.phase = await phaseAt(context, round, struckAt);
  await closeRound(context, ticks, { round, expectation: { wanted: () => wantedStart.byClock, struckAt } });
  return run;
}
