import type { JobOutcome } from '../workflows/run-job.ts';
import { transaction } from '../db/client.ts';
import { notifyJobEnd } from '../db/notifications.ts';
import { endJob, findJob } from '../db/queries/provisioner-jobs.ts';
import { reportUnsettled } from '../db/queries/workspace-builds.ts';
import { actAsJobJanitor } from './actors.ts';
import type { ControlDeps } from './deps.ts';
import { closeBuild } from './job-end.ts';

export interface FinishJob {
  readonly jobId: string;
  readonly outcome: 'failed' | 'canceled';
  readonly error?: string;
}

/**
 * Ends a job that no run could end: canceled before it was taken, or its continuations are used up. Idempotent: a job that is
 * over keeps its status, which is the answer.
 */
export const createFinishJob = (deps: Pick<ControlDeps, 'db'>) =>
  async function finishJob({ jobId, outcome, error }: FinishJob): Promise<JobOutcome> {
    actAsJobJanitor(jobId);
    return transaction(deps.db, async (tx) => {
      const job = await findJob(tx, jobId);
      if (job === undefined) return outcome;
      const ended = await endJob(tx, {
        jobId,
        canceled: outcome === 'canceled',
        ...(outcome === 'failed' && { error: error ?? 'The run could not be finished' }),
      });
      if (ended) {
        await reportUnsettled(tx, jobId);
        await closeBuild(tx, job.input.workspace_build_id, {
          started: job.startedAt !== null,
          canceled: outcome === 'canceled',
        });
        await notifyJobEnd(tx, jobId, job.input.workspace_build_id);
        return outcome;
      }
      const now = await findJob(tx, jobId);
      return now?.status === 'succeeded' || now?.status === 'failed' || now?.status === 'canceled'
        ? now.status
        : outcome;
    });
  };
