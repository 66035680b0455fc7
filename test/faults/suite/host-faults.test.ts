import { afterAll, beforeAll, test } from 'vitest';
import { diskFull } from '../../../faults/scenarios/disk-full.ts';
import { hang } from '../../../faults/scenarios/hang.ts';
import { killHost } from '../../../faults/scenarios/kill-host.ts';
import { partition } from '../../../faults/scenarios/partition.ts';
import { type ShortPlays, startShortPlays } from './short-play.ts';

/** Short versions of the scenarios of `npm run faults` in which a host is lost, cut off or stuck. */
let plays: ShortPlays;
beforeAll(async () => {
  plays = await startShortPlays(killHost);
});
afterAll(() => plays.stop());

test('builds are continued when worker, supervisor and Terraform of a host are killed together', () =>
  plays.holds(killHost, { runs: 3, seed: 314 }));

test('another host goes on only after the one that was cut off has stopped, whose late writes change nothing', () =>
  plays.holds(partition, { runs: 3, seed: 26 }));

test('a full disk fails a build with its reason, and the state that is stored is that of the world', () =>
  plays.holds(diskFull, { runs: 3, seed: 26 }));

test('a provider that hangs is ended by the time limit, and its state is kept', () =>
  plays.holds(hang, { runs: 3, seed: 314 }));
