import { type Context, everythingReady } from '../context.ts';
import { type DatabaseClock, installClock } from '../database-clock.ts';
import { endWaitingBuilds } from '../lifecycle-ends.ts';
import type { WantedBuild } from '../lifecycle-oracle.ts';
import { type StormRound, openRound, settleRound, wantedStart } from '../lifecycle-round.ts';
import { makeDue, makeRunning, minuteOf, readWorkspaces, retire } from '../lifecycle-storm.ts';
import type { Random } from '../random.ts';
import type { Run } from '../run.ts';
import { type StormOrder, stormScenario } from './storm-scenario.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const size = 125;
const kinds = 5;
const wantedStop: WantedBuild = { transition: 'stop', reasons: ['autostop'] };

/**
 * The database's clock jumps an hour ahead, an hour back, and ahead again. What is due within the hour is started once, what runs
 * until then is stopped once, and nothing is done again when the same hour comes a second and a third time.
 */
export const clockJump = stormScenario({ name: 'clock-jump', playRound });

/** What is due within the hour; what runs until then; what runs longer. The rest is due later. */
interface Kinds {
  readonly soon: readonly string[];
  readonly ending: readonly string[];
  readonly lasting: readonly string[];
}

async function playRound(context: Context, order: StormOrder): Promise<Run> {
  const { sql } = context.stack;
  const round = await openRound(context, { seed: order.seed, workspaces: order.sizeOf(size) });
  const clock = await installClock(sql);
  try {
    await everythingReady(context);
    await jump(context, { ...order, round, clock });
  } finally {
    await clock.remove();
    await retire(context, round.storm);
    await everythingReady(context);
  }
  return round.run;
}

async function jump(
  context: Context,
  { ticks, random, round, clock }: StormOrder & { round: StormRound; clock: DatabaseClock },
): Promise<void> {
  const { run } = round;
  const { soon, ending, lasting: longer } = await arrange(context, random, round);
  /** Each look begins with what was there before it, so that nothing of an earlier one may come again. */
  let before = round.before;
  const look = async (offsetMs: number, wanted: (id: string) => WantedBuild | null) => {
    const found = run.findings.length;
    const expectation = { wanted, offsetMs };
    await settleRound(context, ticks, { round: { ...round, before }, expectation });
    if (run.findings.length > found) run.notes.push(`found at ${offsetMs / minuteMs} min against the real clock`);
    await endWaitingBuilds(context, round.ids);
    before = await readWorkspaces(context, round.ids);
  };
  await look(0, () => null);
  // Before a tick, or in the middle of one.
  const during = random.next() < 0.5;
  if (during) await ticks.trigger();
  await clock.shift(hourMs);
  run.notes.push(during ? 'jumped while a tick ran' : 'jumped between two ticks');
  await ticks.trigger();
  const started = new Set(soon);
  const stopped = new Set(ending);
  await look(hourMs, (id) => (started.has(id) ? wantedStart.byClock : stopped.has(id) ? wantedStop : null));
  await clock.shift(0);
  await look(0, () => null);
  await makeRunning(context, longer, minuteOf(Date.now()));
  await ticks.trigger();
  const lasting = new Set(longer);
  await look(0, (id) => (lasting.has(id) ? wantedStop : null));
  await clock.shift(hourMs);
  await look(hourMs, () => null);
}

async function arrange(context: Context, random: Random, { storm }: StormRound): Promise<Kinds> {
  const kindSize = Math.floor(storm.ids.length / kinds);
  const kind = (place: number) => storm.ids.slice(place * kindSize, (place + 1) * kindSize);
  const inMinutes = (from: number, to: number) => minuteOf(Date.now() + random.between(from, to) * minuteMs);
  const [first, second, later, ending, lasting] = [kind(0), kind(1), kind(2), kind(3), kind(4)];
  await makeDue(context, first, inMinutes(5, 30));
  await makeDue(context, second, inMinutes(30, 58));
  await makeDue(context, later, inMinutes(90, 180));
  await makeRunning(context, ending, inMinutes(5, 58));
  await makeRunning(context, lasting, inMinutes(90, 180));
  return { soon: [...first, ...second], ending, lasting };
}
