import { afterAll, beforeAll, test } from 'vitest';
import { clockJump } from '../../../faults/scenarios/clock-jump.ts';
import { killDuringLifecycle } from '../../../faults/scenarios/kill-during-lifecycle.ts';
import { restartPostgresDuringLifecycle } from '../../../faults/scenarios/restart-postgres-during-lifecycle.ts';
import { temporalAwayOverStart } from '../../../faults/scenarios/temporal-away-over-start.ts';
import { twoTicks } from '../../../faults/scenarios/two-ticks.ts';
import { type ShortPlays, startShortPlays } from './short-play.ts';

/** Short versions of the scenarios of `npm run faults` in which many workspaces are due in the same minute. */
let plays: ShortPlays;
beforeAll(async () => {
  // Nothing is timed by how long builds take: moments are those of what is committed.
  plays = await startShortPlays(killDuringLifecycle, { start: 3_000, stop: 2_000, delete: 2_000 });
});
afterAll(() => plays.stop());

test('each workspace is started once when the control worker is killed between a batch and its workflows', () =>
  plays.holds(killDuringLifecycle, { runs: 1, seed: 14 }));

test('each workspace is started once when PostgreSQL is shut down in the middle of a page', () =>
  plays.holds(restartPostgresDuringLifecycle, { runs: 1, seed: 14 }));

test('each workspace is started once when Temporal is away in the minute of the start', () =>
  plays.holds(temporalAwayOverStart, { runs: 1, seed: 16 }));

test('nothing is started or stopped again when the clock jumps ahead and back', () =>
  plays.holds(clockJump, { runs: 1, seed: 1 }));

test('two ticks at once and starts by hand give each workspace one build', () =>
  plays.holds(twoTicks, { runs: 1, seed: 1 }));
