import { setTimeout as delay } from 'node:timers/promises';
import { type Context, everythingReady } from '../context.ts';
import { requestStarts, someOf } from '../lifecycle-requests.ts';
import { closeRound, drawMoment, openRound, phaseAt, wantedStart } from '../lifecycle-round.ts';
import { makeDue, minuteOf } from '../lifecycle-storm.ts';
import type { Run } from '../run.ts';
import { type StormOrder, stormScenario } from './storm-scenario.ts';

const size = 200;
/** Share of them that people start while Temporal is away. */
const byHandShare = 0.1;
const absenceMs = { from: 2_000, to: 10_000 };

/**
 * Temporal is away when the minute of the start comes, or goes away in the middle of it; API and database go on, and people start
 * some of the workspaces. When it is back each has one build with its workflow. Half of the storms wait for the schedule itself.
 */
export const temporalAwayOverStart = stormScenario({ name: 'temporal-away-over-start', playRound });

async function playRound(context: Context, { ticks, random, seed, sizeOf }: StormOrder): Promise<Run> {
  const workspaces = sizeOf(size);
  const byHand = Math.floor(workspaces * byHandShare);
  const { temporal } = context.stack.services;
  const inTheMiddle = random.next() < 0.4;
  const triggered = random.next() < 0.5;
  const moment = drawMoment(random, workspaces);
  const awayMs = random.between(absenceMs.from, absenceMs.to);
  const round = await openRound(context, { seed, workspaces });
  const { run, storm } = round;
  const chosen = someOf(random, storm.ids, byHand);
  const due = () => makeDue(context, storm.ids, minuteOf(Date.now()));
  let struckAt: number;
  if (inTheMiddle) {
    await due();
    await ticks.trigger();
    await moment.comes(context, storm);
    struckAt = Date.now();
    await temporal.kill();
  } else {
    struckAt = Date.now();
    await temporal.kill();
    await due();
  }
  const backAt = Date.now() + awayMs;
  const allowed = inTheMiddle ? [201, 409] : [201];
  const accepted = new Set(await requestStarts(context, run, { ids: chosen, allowed }));
  await delay(Math.max(0, backAt - Date.now()));
  await temporal.start();
  const awayFor = Math.round(Date.now() - struckAt);
  run.notes.push(
    `Temporal killed ${inTheMiddle ? moment.name : 'before the minute'}, away for ${awayFor} ms, ${accepted.size} started by hand`,
  );
  await everythingReady(context);
  if (triggered) await ticks.trigger();
  run.notes.push(triggered ? 'a tick was triggered then' : 'the schedule came by itself');
  run.phase = inTheMiddle ? await phaseAt(context, round, struckAt) : 'before the minute';
  const byUser = { transition: 'start', reasons: ['initiator'] } as const;
  const wanted = (id: string) => (accepted.has(id) ? byUser : wantedStart.byClock);
  await closeRound(context, ticks, { round, expectation: { wanted, struckAt } });
  return run;
}
