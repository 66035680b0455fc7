import type { JobTiming } from '../domain/provisioned.ts';
import type { TakenJob } from '../db/queries/provisioner-jobs.ts';
import type { Redactor } from '../terraform/secrets.ts';
import type { ProvisionerDeps } from './deps.ts';
import type { JobLog } from './job-log.ts';
import type { StopReason } from './job-lease.ts';

/** One attempt at one job: what every step of it needs. */
export interface JobRun {
  readonly deps: ProvisionerDeps;
  readonly job: NonNullable<TakenJob>;
  /** `<workroot>/<job id>`, mode 0700, removed at the end. */
  readonly directory: string;
  readonly log: JobLog;
  readonly redactor: Redactor;
  /** Aborts once with a StopReason: Terraform gets its one SIGINT. */
  readonly stop: AbortSignal;
  readonly timings: JobTiming[];
  /** Warnings that every plan of the job repeats; shown once. */
  readonly shownOnce: Set<string>;
}

/** Ends a run early. The harness decides by `reason` what is written. */
export class RunStopped extends Error {
  readonly reason: StopReason;
  constructor(reason: StopReason) {
    super(`run stopped: ${reason}`);
    this.name = 'RunStopped';
    this.reason = reason;
  }
}

/** Terraform (or one of our steps) failed: the message becomes the job's error. */
export class RunFailed extends Error {
  readonly code: string | undefined;
  constructor(message: string, code?: string) {
    super(message);
    this.name = 'RunFailed';
    this.code = code;
  }
}

export const stopReason = (run: Pick<JobRun, 'stop'>): StopReason => run.stop.reason as StopReason;

/** Throws when the run has been told to stop: called between steps, so that nothing new is begun. */
export function assertRunning(run: Pick<JobRun, 'stop'>): void {
  if (run.stop.aborted) throw new RunStopped(stopReason(run));
}

/** Queue wait, observed once, when the job is taken for the first time. Both instants are the database's (spec/02 §1.8). */
export function observeQueueWait(run: JobRun, labels: { transition: string; buildReason: string }): void {
  const { job, deps } = run;
  if (job.attempt !== 1 || job.startedAt === null) return;
  const waitSeconds = (job.startedAt.getTime() - job.createdAt.getTime()) / 1000;
  deps.metrics.jobTaken({ provisionerType: 'terraform', jobType: job.type, ...labels }, waitSeconds);
}
