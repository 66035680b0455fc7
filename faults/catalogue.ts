import type { Scenario } from './scenario.ts';
import { cancelAnywhere } from './scenarios/cancel-anywhere.ts';
import { clockJump } from './scenarios/clock-jump.ts';
import { diskFull } from './scenarios/disk-full.ts';
import { duplicateRequests } from './scenarios/duplicate-requests.ts';
import { hang } from './scenarios/hang.ts';
import { killDuringClaim } from './scenarios/kill-during-claim.ts';
import { killDuringLifecycle } from './scenarios/kill-during-lifecycle.ts';
import { killDuringReconcile } from './scenarios/kill-during-reconcile.ts';
import { killHost } from './scenarios/kill-host.ts';
import { killTemporal } from './scenarios/kill-temporal.ts';
import { killTerraform } from './scenarios/kill-terraform.ts';
import { killWorker } from './scenarios/kill-worker.ts';
import { partition } from './scenarios/partition.ts';
import { restartPostgresDuringLifecycle } from './scenarios/restart-postgres-during-lifecycle.ts';
import { restartPostgres } from './scenarios/restart-postgres.ts';
import { temporalAwayOverStart } from './scenarios/temporal-away-over-start.ts';
import { twoReplicas } from './scenarios/two-replicas.ts';
import { twoTicks } from './scenarios/two-ticks.ts';

/** All scenarios, in the order in which `all` plays them. */
export const scenarios: readonly Scenario[] = [
  killWorker,
  killTerraform,
  killHost,
  restartPostgres,
  killTemporal,
  partition,
  cancelAnywhere,
  diskFull,
  hang,
  duplicateRequests,
  twoReplicas,
  killDuringReconcile,
  killDuringClaim,
  killDuringLifecycle,
  temporalAwayOverStart,
  clockJump,
  twoTicks,
  restartPostgresDuringLifecycle,
];
