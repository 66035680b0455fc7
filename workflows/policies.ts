import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import { finalErrorCodes } from '../domain/errors.ts';
import type { Activities } from '../activities/index.ts';

/** Every timeout and retry rule of the house. No literal timeout elsewhere in workflow code. */
const nonRetryableErrorTypes = [...finalErrorCodes];

/**
 * A Terraform run: hours long, so its worker's death shows by missing heartbeats. Never retried blindly: what follows a
 * lost run is decided in run-job.ts (design §2). A cancel waits until Terraform has ended and its state is saved.
 */
export const terraformOn = (taskQueue: string, priority: number) =>
  proxyActivities<Pick<Activities, 'runTerraform'>>({
    taskQueue,
    startToCloseTimeout: '24 hours',
    heartbeatTimeout: '10 seconds',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    priority: { priorityKey: priority },
    retry: { maximumAttempts: 1 },
  });

/** How often a lost run is continued (design §2), and how long its workflow waits between two tries to take it. */
export const continuations = { max: 2, waitForLeaseMs: 15_000, waitForDatabaseMs: 2_000 } as const;

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

/** One page of the sweep. It runs again in 15 s anyway, so it is tried only once. */
export const sweep = proxyActivities<Pick<Activities, 'sweepPendingJobs'>>({
  startToCloseTimeout: '30 seconds',
  retry: { maximumAttempts: 1 },
});
