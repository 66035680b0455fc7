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
import { hostTaskQueue } from '../domain/ids.ts';
import type { HeldBy } from '../domain/lease.ts';
import { db, durableDb, takingUp, terraformOn } from './policies.ts';

/** What every job workflow is started with: enough to schedule its one activity without loading anything. */
export interface JobWorkflowInput {
  readonly jobId: string;
  readonly taskQueue: string;
  readonly priority: number;
}

export type JobOutcome = 'succeeded' | 'failed' | 'canceled';

/**
 * Runs a job to its end: one activity, which takes, runs and completes the job itself. A run that was cut off is taken up
 * again, first by its own host; only a job that no run can end is ended from here.
 */
export async function runJob(input: JobWorkflowInput): Promise<JobOutcome> {
  const outcome = await runToTheEnd(input);
  upsertSearchAttributes([{ key: defineSearchAttributeKey('BerthJobStatus', 'KEYWORD'), value: outcome }]);
  return outcome;
}

async function runToTheEnd(input: JobWorkflowInput): Promise<JobOutcome> {
  const { jobId } = input;
  let on: HeldBy | undefined;
  let lost = 0;
  for (let attempt = 1; ; attempt += 1) {
    try {
      // Once a run was cut off, what it left has to be taken care of whatever happens. A cancel lies in the row and the next
      // run obeys it: the workflow itself must go on.
      const run = () => schedule(input, on);
      return await (attempt === 1 ? run() : CancellationScope.nonCancellable(run));
    } catch (err) {
      if (isCancellation(err)) return finish(jobId, 'canceled');
      const next = afterFailure(err);
      if (next.kind === 'end') return finish(jobId, 'failed', next.message);
      if (next.lost) {
        lost += 1;
        log.warn('the worker of the run was lost, the run is taken up again', { jobId, lost });
        if (lost > takingUp.maxLosses)
          return finish(
            jobId,
            'failed',
            `The run made no progress and was stopped: its worker was lost ${lost} times. The last saved state is kept.`,
          );
      }
      on = next.on;
      const { waitMs } = next;
      if (waitMs > 0) await CancellationScope.nonCancellable(() => sleep(waitMs));
    }
  }
}

function schedule({ jobId, taskQueue, priority }: JobWorkflowInput, on: HeldBy | undefined): Promise<JobOutcome> {
  if (on === undefined) {
    setCurrentDetails(`waits for a provisioner on queue ${taskQueue}, or runs there`);
    return terraformOn(taskQueue, priority).runTerraform({ jobId });
  }
  setCurrentDetails(`is offered to host ${on.hostId}, which has what the run left, or runs there`);
  const host = terraformOn(hostTaskQueue(on.hostId), priority, { startWithinMs: on.resumeWithinMs });
  return host.runTerraform({ jobId });
}

type Next =
  | { readonly kind: 'end'; readonly message: string }
  | {
      readonly kind: 'again';
      readonly waitMs: number;
      /** The host that has to be asked first; undefined = any that serves the tags. */
      readonly on?: HeldBy;
      readonly lost: boolean;
    };

const briefly = 100;

function afterFailure(err: unknown): Next {
  const cause = err instanceof ActivityFailure ? err.cause : err;
  const again = (waitMs: number): Next => ({ kind: 'again', waitMs, lost: false });
  if (cause instanceof TimeoutFailure) {
    // The host did not come back in time: it is lost as well.
    if (cause.timeoutType === 'SCHEDULE_TO_START') return again(briefly);
    return afterLoss(cause.lastHeartbeatDetails as HeldBy | undefined);
  }
  if (cause instanceof ApplicationFailure) {
    const details: unknown = cause.details?.[0];
    switch (cause.type as ErrorCode | 'WorkerShutdown' | null | undefined) {
      case 'WORKER_LOST':
        return afterLoss(details as HeldBy | undefined);
      case 'WORKER_STOPPED':
        return details === undefined
          ? again(briefly)
          : { kind: 'again', waitMs: 0, on: details as HeldBy, lost: false };
      // The SDK's own word for an activity that did not end while its worker was shut down.
      case 'WorkerShutdown':
      case 'NOT_HERE':
        return again(briefly);
      case 'LEASE_HELD':
        return again((details as { waitMs: number } | undefined)?.waitMs ?? takingUp.waitForLeaseMs);
      case 'UNAVAILABLE':
        return again(takingUp.waitForDatabaseMs);
      default:
        return { kind: 'end', message: cause.message };
    }
  }
  return { kind: 'end', message: cause instanceof Error ? cause.message : String(cause) };
}

/** Without a host the worker was lost before it had taken the job. */
const afterLoss = (on: HeldBy | undefined): Next =>
  on === undefined ? { kind: 'again', waitMs: briefly, lost: true } : { kind: 'again', waitMs: 0, on, lost: true };

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
