import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  TimeoutFailure,
  isCancellation,
  log,
  setCurrentDetails,
  sleep,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { ErrorCode } from '../domain/errors.ts';
import { continuations, db, durableDb, terraformOn } from './policies.ts';

/** What every job workflow is started with: enough to schedule its one activity without loading anything. */
export interface JobWorkflowInput {
  readonly jobId: string;
  readonly taskQueue: string;
  readonly priority: number;
}

export type JobOutcome = 'succeeded' | 'failed' | 'canceled';

/**
 * Runs a job to its end: one activity, which takes, runs and completes the job itself. A lost run (its worker is gone) is
 * continued at most twice; only a job that no run can end is ended from here.
 */
export async function runJob(input: JobWorkflowInput): Promise<JobOutcome> {
  const outcome = await runToTheEnd(input);
  upsertSearchAttributes([{ key: defineSearchAttributeKey('BerthJobStatus', 'KEYWORD'), value: outcome }]);
  return outcome;
}

async function runToTheEnd(input: JobWorkflowInput): Promise<JobOutcome> {
  const { jobId } = input;
  setCurrentDetails(`waits for a provisioner on queue ${input.taskQueue}, or runs there`);
  const { runTerraform } = terraformOn(input.taskQueue, input.priority);
  let lost = 0;
  for (let attempt = 1; ; attempt += 1) {
    try {
      // Once a run was cut off, what it left has to be taken care of whatever happens. A cancel lies in the row and the next
      // run obeys it: the workflow itself must go on.
      return await (attempt === 1
        ? runTerraform({ jobId })
        : CancellationScope.nonCancellable(() => runTerraform({ jobId })));
    } catch (err) {
      if (isCancellation(err)) return finish(jobId, 'canceled');
      const next = afterFailure(err);
      if (next.kind === 'end') return finish(jobId, 'failed', next.message);
      if (next.kind === 'lost') {
        lost += 1;
        log.warn('the run was lost, it is continued', { jobId, lost });
        if (lost > continuations.max)
          return finish(
            jobId,
            'failed',
            'The run made no progress and was stopped: its worker was lost three times. The last saved state is kept.',
          );
      }
      await CancellationScope.nonCancellable(() => sleep(next.waitMs));
    }
  }
}

type Next = { kind: 'end'; message: string } | { kind: 'lost' | 'again'; waitMs: number };

function afterFailure(err: unknown): Next {
  const cause = err instanceof ActivityFailure ? err.cause : err;
  if (cause instanceof TimeoutFailure) return { kind: 'lost', waitMs: 100 };
  if (cause instanceof ApplicationFailure) {
    const code = cause.type as ErrorCode | null | undefined;
    // The second is the SDK's own word for an activity that did not end while its worker was shut down.
    if (code === 'WORKER_STOPPED' || cause.type === 'WorkerShutdown') return { kind: 'again', waitMs: 100 };
    if (code === 'LEASE_HELD') return { kind: 'again', waitMs: continuations.waitForLeaseMs };
    if (code === 'UNAVAILABLE') return { kind: 'again', waitMs: continuations.waitForDatabaseMs };
    return { kind: 'end', message: cause.message };
  }
  return { kind: 'end', message: cause instanceof Error ? cause.message : String(cause) };
}

/** Whatever happened, and even when canceled just now, the row must leave its active state. */
async function finish(jobId: string, outcome: 'failed' | 'canceled', error?: string): Promise<JobOutcome> {
  const request = { jobId, outcome, ...(error !== undefined && { error }) };
  return CancellationScope.nonCancellable(async () => {
    try {
      return await db.finishJob(request);
    } catch {
      return durableDb.finishJob(request);
    }
  });
}
