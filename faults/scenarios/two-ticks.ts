import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { lifecycleTwice } from '../lifecycle-fleet.ts';
import { requestStarts, someOf } from '../lifecycle-requests.ts';
import { closeRound, drawMoment, openRound, phaseAt, wantedStart } from '../lifecycle-round.ts';
import { makeDue, minuteOf } from '../lifecycle-storm.ts';
import type { Run } from '../run.ts';
import { type StormOrder, stormScenario } from './storm-scenario.ts';

const size = 240;
/** Share of them that somebody starts by hand in the same second. */
const byHandShare = 0.25;
/** A worker stands still for longer than its heartbeats may be late: another attempt begins, then the first one goes on. */
const stallMs = 12_000;
const stallShare = 0.3;

/**
 * Two ticks by hand and the schedule's, two control workers, and people who start some of the same workspaces: each has one build.
 * Sometimes one of the workers stands still in the middle and goes on when its page was given to the other.
 */
export const twoTicks = stormScenario({ name: 'two-ticks', fleet: lifecycleTwice, playRound });

async function playRound(context: Context, { ticks, random, seed, sizeOf }: StormOrder): Promise<Run> {
  const workspaces = sizeOf(size);
  const byHand = Math.floor(workspaces * byHandShare);
  const stalled = random.next() < stallShare ? random.pick(context.fleet.controls) : undefined;
  const moment = drawMoment(random, workspaces);
  const handMs = random.between(0, 400);
  const round = await openRound(context, { seed, workspaces });
  const { run, storm } = round;
  const chosen = someOf(random, storm.ids, byHand);
  await makeDue(context, storm.ids, minuteOf(Date.now()));
  const forced = ['a', 'b'].map((which) => ticks.force(`forced-${seed}-${which}`));
  const ticking = Promise.all([Promise.all(forced), ticks.trigger()]);
  const asked = delay(handMs).then(() => requestStarts(context, run, { ids: chosen, allowed: [201, 409] }));
  let struckAt: number | undefined;
  if (stalled !== undefined) {
    await moment.comes(context, storm);
    struckAt = Date.now();
    stalled.send('SIGSTOP');
    run.notes.push(`${stalled.name} stands still for ${stallMs} ms ${moment.name}`);
    await delay(stallMs);
    stalled.send('SIGCONT');
  }
  const [inserted] = await ticking;
  const accepted = await asked;
  run.notes.push(
    `the forced ticks inserted ${inserted.join(' and ')} builds, ${accepted.length} of ${byHand} requests were accepted`,
  );
  if (struckAt !== undefined) run.phase = await phaseAt(context, round, struckAt);
  const isByHand = new Set(accepted);
  const byUser = { transition: 'start', reasons: ['initiator'] } as const;
  const wanted = (id: string) => (isByHand.has(id) ? byUser : wantedStart.byClock);
  await closeRound(context, ticks, { round, expectation: { wanted, ...(struckAt !== undefined && { struckAt }) } });
  return run;
}
