import { afterAll, beforeAll, test } from 'vitest';
import { killDuringClaim } from '../../../faults/scenarios/kill-during-claim.ts';
import { killDuringReconcile } from '../../../faults/scenarios/kill-during-reconcile.ts';
import { type ShortPlays, startShortPlays } from './short-play.ts';

/** Short versions of the scenarios of `npm run faults` in which pools of prebuilds are being filled and claimed. */
let plays: ShortPlays;
beforeAll(async () => {
  // Only the order of magnitude counts: by it the moments of the faults are spread.
  plays = await startShortPlays(killDuringClaim, { start: 3_000, stop: 2_000, delete: 2_000 });
});
afterAll(() => plays.stop());

test('a claim that is cut off anywhere gives one prebuild to one owner, and its agent begins anew once', () =>
  plays.holds(killDuringClaim, { runs: 2, seed: 26 }));

test('pools come to just what they are to have when the reconciler is cut off anywhere', () =>
  plays.holds(killDuringReconcile, { runs: 2, seed: 121 }));
