import { ActivityNotFoundError, type Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { type LostDelivery, listLostDeliveries } from '../activities/delivery-record.ts';
import type { HeldBy } from '../domain/lease.ts';
import type { Logger } from '../telemetry/logger.ts';

/**
 * Tells Temporal which deliveries a dead worker of this host had, so that their workflows ask this worker at once instead of
 * after the heartbeat timeout. Never rejects: the timeout stays for what cannot be told.
 */
export async function reportLostDeliveries(options: {
  client: Client;
  workRoot: string;
  held: HeldBy;
  logger: Logger;
}): Promise<void> {
  const { client, workRoot, held, logger } = options;
  const report = async ({ jobId, activity }: LostDelivery): Promise<void> => {
    try {
      const details = [held];
      const failure = { message: 'the worker was lost', type: 'WORKER_LOST', nonRetryable: true, details };
      await client.activity.fail(activity, ApplicationFailure.create(failure));
      logger.info({ job_id: jobId, workflow_id: activity.workflowId }, 'a delivery of a dead worker was given back');
    } catch (err) {
      // The server has noticed by itself.
      if (!(err instanceof ActivityNotFoundError))
        logger.warn({ err, job_id: jobId }, 'a lost delivery was not reported');
    }
  };
  await Promise.all(listLostDeliveries(workRoot).map(report));
}
