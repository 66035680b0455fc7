import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { type HeldBy, heartbeat as beats } from '../domain/lease.ts';
import type { JobOutcome } from '../workflows/run-job.ts';

/**
 * This worker leaves before the job is over. `held`: its host keeps what is running, for so long; without it the job may be
 * taken by anybody at once.
 */
export const workerStopped = (held?: HeldBy): ApplicationFailure =>
  ApplicationFailure.create({
    message: 'the worker is stopping',
    type: 'WORKER_STOPPED',
    nonRetryable: true,
    ...(held !== undefined && { details: [held] }),
  });

/** Heartbeats while `work` goes on. `held` when the job is this host's already. */
export async function withHeartbeats<T>(work: Promise<T>, held?: HeldBy): Promise<T> {
  const { heartbeat } = Context.current();
  const beat = setInterval(() => heartbeat(held), beats.everyMs);
  try {
    return await work;
  } finally {
    clearInterval(beat);
  }
}

/** What a run is told from outside. Both may come, in any order. */
export interface Told {
  readonly canceled: AbortSignal;
  /** This worker is stopping. */
  readonly leaving: AbortSignal;
}

interface Teller {
  readonly cancel: () => void;
  readonly leave: () => void;
}

/**
 * Passes on what Temporal says about this delivery: a cancel, or that the worker stops. That Temporal lost sight of the
 * delivery (server away, heartbeats late, activity reset) says nothing about the work: the lease in PostgreSQL decides who
 * may go on.
 */
function listen({ cancel, leave }: Teller): void {
  Context.current().cancelled.catch((err: unknown) => {
    if (!(err instanceof CancelledFailure)) return;
    if (err.message === 'WORKER_SHUTDOWN') leave();
    if (err.message === 'CANCELLED') cancel();
  });
}

interface Running extends Teller {
  readonly outcome: Promise<JobOutcome>;
}

/**
 * One run per job in this process. A delivery of a job that runs here already, because Temporal took its worker for dead,
 * waits for that run's outcome: taking the job again would fence it and let go of its Terraform for nothing.
 */
export function createDeliveries(run: (jobId: string, told: Told) => Promise<JobOutcome>, held?: HeldBy) {
  const running = new Map<string, Running>();
  return async function deliver(jobId: string): Promise<JobOutcome> {
    const earlier = running.get(jobId);
    if (earlier !== undefined) {
      listen(earlier);
      return withHeartbeats(earlier.outcome, held).catch((err: unknown) => {
        // Canceled was the earlier delivery, not this one: the workflow asks again.
        throw err instanceof CancelledFailure ? workerStopped() : err;
      });
    }
    const canceled = new AbortController();
    const leaving = new AbortController();
    const teller = { cancel: () => canceled.abort(), leave: () => leaving.abort() };
    listen(teller);
    const told = { canceled: canceled.signal, leaving: leaving.signal };
    const outcome = run(jobId, told).finally(() => running.delete(jobId));
    running.set(jobId, { outcome, ...teller });
    return outcome;
  };
}
