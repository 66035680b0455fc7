import { join } from 'node:path';
import type { JobTiming } from '../domain/provisioned.ts';
import type { TakenJob } from '../db/queries/job-attempts.ts';
import { listRuns } from '../terraform/run-directory.ts';
import type { Redactor } from '../terraform/secrets.ts';
import type { RunGuard } from '../terraform/shims.ts';
import type { ProvisionerDeps } from './deps.ts';
import type { JobLog } from './job-log.ts';
import { leaseFile } from './job-lease.ts';

/**
 * Why a run has to stop.
 * - `canceled`, `timed-out`: Terraform gets its one SIGINT, the job ends.
 * - `fenced`: the job is over or another attempt has it.
 * - `worker-stopped`: this worker leaves; Terraform goes on, the next worker takes over.
 */
export type StopReason = 'canceled' | 'timed-out' | 'fenced' | 'worker-stopped';

/** One attempt at one job: what every step of it needs. */
export interface JobRun {
  readonly deps: ProvisionerDeps;
  readonly job: NonNullable<TakenJob>;
  /** `<workroot>/<job id>`, mode 0700, removed at the end. */
  readonly directory: string;
  readonly log: JobLog;
  readonly redactor: Redactor;
  /** Aborts once, with `canceled`, `timed-out` or `fenced`. */
  readonly stop: AbortSignal;
  /** Aborts when this worker has to leave, also while Terraform is being stopped for another reason. */
  readonly leave: AbortSignal;
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

/** Undefined while the run may go on. */
export const stopReason = (run: Pick<JobRun, 'stop' | 'leave'>): StopReason | undefined =>
  run.stop.aborted ? (run.stop.reason as StopReason) : run.leave.aborted ? 'worker-stopped' : undefined;

/** Throws when the run has been told to stop: called between steps, so that nothing new is begun. */
export function assertRunning(run: Pick<JobRun, 'stop' | 'leave'>): void {
  const reason = stopReason(run);
  if (reason !== undefined) throw new RunStopped(reason);
}

/** Where the template lies and Terraform runs. */
export const sourceDirectory = (run: Pick<JobRun, 'directory'>): string => join(run.directory, 'work');
/** Temporary files of Terraform and of what it starts: gone with the job. */
export const temporaryDirectory = (run: Pick<JobRun, 'directory'>): string => join(run.directory, 'tmp');
/** Above the directories of the job's Terraform runs, of this attempt and of earlier ones on this host. */
export const runsDirectory = (run: Pick<JobRun, 'directory'>): string => join(run.directory, 'runs');

/** Directory of the next Terraform run: numbers go on over attempts, and none is used twice. */
export const nextRunDirectory = (run: Pick<JobRun, 'directory'>): string =>
  join(runsDirectory(run), String((listRuns(runsDirectory(run)).at(-1) ?? 0) + 1));

/** What the shim of a run of this job watches over. */
export function guardOf(run: JobRun, outputDir: string, cwd: string): RunGuard {
  const { lease, limits, workRoot } = run.deps;
  return {
    outputDir,
    cwd,
    leaseFile: leaseFile(run.directory),
    killGraceMs: lease.killGraceMs,
    reserveFile: join(workRoot, 'reserve'),
    minFreeBytes: limits.minFreeBytes,
    maxProcesses: limits.maxProcesses,
  };
}

/** Queue wait, observed once, when the job is taken for the first time. Both instants are the database's (spec/02 §1.8). */
export function observeQueueWait(run: JobRun, labels: { transition: string; buildReason: string }): void {
  const { job, deps } = run;
  if (job.attempt !== 1 || job.startedAt === null) return;
  const waitSeconds = (job.startedAt.getTime() - job.createdAt.getTime()) / 1000;
  deps.metrics.jobTaken({ provisionerType: 'terraform', jobType: job.type, ...labels }, waitSeconds);
}
