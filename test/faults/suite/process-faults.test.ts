import { afterAll, beforeAll, test } from 'vitest';
import { cancelAnywhere } from '../../../faults/scenarios/cancel-anywhere.ts';
import { duplicateRequests } from '../../../faults/scenarios/duplicate-requests.ts';
import { killTemporal } from '../../../faults/scenarios/kill-temporal.ts';
import { killTerraform } from '../../../faults/scenarios/kill-terraform.ts';
import { killWorker } from '../../../faults/scenarios/kill-worker.ts';
import { restartPostgres } from '../../../faults/scenarios/restart-postgres.ts';
import { twoReplicas } from '../../../faults/scenarios/two-replicas.ts';
import { type ShortPlays, startShortPlays } from './short-play.ts';

/**
 * Short versions of the scenarios of `npm run faults` in which processes die and the host stays. The seeds are chosen so that each
 * transition is met in the middle of its apply.
 */
let plays: ShortPlays;
beforeAll(async () => {
  plays = await startShortPlays(killWorker);
});
afterAll(() => plays.stop());

test('builds go on, and Terraform runs once, when the provisioner worker is killed at any moment', () =>
  plays.holds(killWorker, { runs: 3, seed: 26 }));

test('builds are continued when Terraform is killed at any moment', () =>
  plays.holds(killTerraform, { runs: 3, seed: 314 }));

test('builds end well when PostgreSQL is killed at any moment and comes back', () =>
  plays.holds(restartPostgres, { runs: 3, seed: 26 }));

test('builds end well when Temporal is killed at any moment and comes back', () =>
  plays.holds(killTemporal, { runs: 3, seed: 314 }));

test('a cancel at any moment ends the build as canceled with its state, or comes too late', () =>
  plays.holds(cancelAnywhere, { runs: 3, seed: 26 }));

test('a call that arrives five times at once has one effect, with an Idempotency-Key and without', () =>
  plays.holds(duplicateRequests, { runs: 5, seed: 1 }));

test('builds and the readers of their logs outlive any single process of two replicas', () =>
  plays.holds(twoReplicas, { runs: 12, seed: 1 }));
