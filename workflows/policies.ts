import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import { finalErrorCodes } from '../domain/errors.ts';
import { heartbeat } from '../domain/lease.ts';
import type { Activities } from '../activities/index.ts';

/** Every timeout and retry rule of the house. No literal timeout elsewhere in workflow code. */
const nonRetryableErrorTypes = [...finalErrorCodes];

/**
 * A Terraform run: hours long, so its worker's death shows by missing heartbeats. Its own time limit is kept by the run itself
 * (`CODER_BUILD_TIMEOUT`, at most 7 days); the one here only ends what nobody can end any more. Never retried blindly: what
 * follows a lost run is decided in run-job.ts (design §2). A cancel waits until Terraform has ended and its state is saved.
 */
export const terraformOn = (taskQueue: string, priority: number, options: { startWithinMs?: number } = {}) =>
  proxyActivities<Pick<Activities, 'runTerraform'>>({
    taskQueue,
    startToCloseTimeout: '8 days',
    heartbeatTimeout: heartbeat.timeoutMs,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    priority: { priorityKey: priority },
    retry: { maximumAttempts: 1 },
    ...(options.startWithinMs !== undefined && { scheduleToStartTimeout: options.startWithinMs }),
  });

/** How a workflow goes on after a run that did not end its job. */
export const takingUp = {
  /** Without a word from the server how long the lease is held. */
  waitForLeaseMs: 15_000,
  waitForDatabaseMs: 2_000,
  /** A job whose every worker dies at once would kill workers for ever. */
  maxLosses: 100,
} as const;

/** Our own short database work beside the workflow: no task queue in between. */
export const db = proxyLocalActivities<Pick<Activities, 'finishJob'>>({
  startToCloseTimeout: '10 seconds',
  retry: { initialInterval: '200 milliseconds', maximumAttempts: 3, nonRetryableErrorTypes },
});

/** The same through the server, for ever: used when the database is away for longer. */
export const durableDb = proxyActivities<Pick<Activities, 'finishJob'>>({
  startToCloseTimeout: '10 seconds',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '30 seconds', nonRetryableErrorTypes },
});

/**
 * Purges in slices: each is one statement of at most 60 s (db/client.ts), with a heartbeat after it. Ends by itself before the
 * run's 10 min are over; what is left comes an hour later.
 */
export const upkeep = proxyActivities<Pick<Activities, 'runUpkeep'>>({
  startToCloseTimeout: '9 minutes',
  heartbeatTimeout: '90 seconds',
  retry: { initialInterval: '5 seconds', maximumAttempts: 3, nonRetryableErrorTypes },
});

/** One page of the sweep. It runs again in 15 s anyway, so it is tried only once. */
export const sweep = proxyActivities<Pick<Activities, 'sweepPendingJobs'>>({
  startToCloseTimeout: '30 seconds',
  retry: { maximumAttempts: 1 },
});

/**
 * Looks at all pools, then acts on some: every write decides again under its lock, so that any attempt may be the second. All pools
 * wait for a cycle whose worker died, hence the heartbeats.
 */
export const prebuilds = proxyActivities<Pick<Activities, 'planPrebuildCycle' | 'reconcilePools'>>({
  startToCloseTimeout: '60 seconds',
  heartbeatTimeout: '10 seconds',
  retry: {
    initialInterval: '1 second',
    backoffCoefficient: 2,
    maximumInterval: '30 seconds',
    maximumAttempts: 5,
    nonRetryableErrorTypes,
  },
});

/**
 * Pages of what is due by the clock. Any attempt may be the second: what was done is due no longer. The run's ten minutes end what
 * cannot be done; it stays due.
 */
export const lifecycle = proxyActivities<Pick<Activities, 'runLifecyclePage'>>({
  startToCloseTimeout: '5 minutes',
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '30 seconds', nonRetryableErrorTypes },
});
