import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { lease } from '../domain/jobs.ts';
import type { JobOutcome } from '../workflows/run-job.ts';
import type { StopReason } from './job-lease.ts';

export const workerStopped = () => ApplicationFailure.nonRetryable('the worker is stopping', 'WORKER_STOPPED');

/** Heartbeats while `work` goes on. */
export async function withHeartbeats<T>(work: Promise<T>): Promise<T> {
  const { heartbeat } = Context.current();
  const beat = setInterval(() => heartbeat(), lease.heartbeatEveryMs);
  try {
    return await work;
  } finally {
    clearInterval(beat);
  }
}

/**
 * Passes on what Temporal says about this delivery: a cancel, or that the worker stops. That Temporal lost sight of the
 * delivery (server away, heartbeats late, activity reset) says nothing about the work: the lease in PostgreSQL decides who
 * may go on.
 */
function listen(halt: (reason: StopReason) => void): void {
  Context.current().cancelled.catch((err: unknown) => {
    if (!(err instanceof CancelledFailure)) return;
    if (err.message === 'WORKER_SHUTDOWN') halt('worker-stopped');
    if (err.message === 'CANCELLED') halt('canceled');
  });
}

interface Running {
  readonly outcome: Promise<JobOutcome>;
  readonly halt: (reason: StopReason) => void;
}

/**
 * One run per job in this process. A delivery of a job that runs here already, because Temporal took its worker for dead,
 * waits for that run's outcome: taking the job again would fence it and interrupt its Terraform for nothing.
 */
export function createDeliveries(run: (jobId: string, stop: AbortSignal) => Promise<JobOutcome>) {
  const running = new Map<string, Running>();
  return async function deliver(jobId: string): Promise<JobOutcome> {
    const earlier = running.get(jobId);
    if (earlier !== undefined) {
      listen(earlier.halt);
      return withHeartbeats(earlier.outcome).catch((err: unknown) => {
        // Canceled was the earlier delivery, not this one: the workflow asks again.
        throw err instanceof CancelledFailure ? workerStopped() : err;
      });
    }
    const stop = new AbortController();
    const halt = (reason: StopReason) => stop.abort(reason);
    listen(halt);
    const outcome = run(jobId, stop.signal).finally(() => running.delete(jobId));
    running.set(jobId, { outcome, halt });
    return outcome;
  };
}
