import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../domain/errors.ts';
import type { JobOutcome } from '../workflows/run-job.ts';
import { isDatabaseAway, transaction } from '../db/client.ts';
import { findJob, releaseLease, takeJob, upsertTimings } from '../db/queries/provisioner-jobs.ts';
import { createRedactor } from '../terraform/secrets.ts';
import { createDeliveries, withHeartbeats, workerStopped } from './deliveries.ts';
import type { ProvisionerDeps } from './deps.ts';
import { type StopReason, startJobLease } from './job-lease.ts';
import { createJobLog } from './job-log.ts';
import { type JobRun, RunFailed, RunStopped, assertRunning } from './job-run.ts';
import { messageOf } from './failures.ts';
import { awaitLeftovers, hasLeftover, salvageState } from './leftovers.ts';
import { endCanceled, endFailed, requestCancel } from './job-end.ts';
import { runBuild } from './run-build.ts';
import { runDryRun } from './run-dry-run.ts';
import { runImport } from './run-import.ts';

/**
 * The one remote activity of every job: takes it, runs Terraform, completes it. Every write is fenced by the attempt number,
 * so a run that lost its lease changes nothing any more. Source: design §1, spec/02 §1.9, §5.8.
 */
export function createTerraformActivities(deps: ProvisionerDeps) {
  const deliver = createDeliveries(async (jobId, stop) => {
    const release = await waitForSlot(deps, stop);
    try {
      return await takeAndRun(deps, jobId, stop);
    } finally {
      release();
    }
  });
  return { runTerraform: ({ jobId }: { jobId: string }): Promise<JobOutcome> => deliver(jobId) };
}

/** Until a slot is free the job stays `pending`; the heartbeats say that it is in good hands. */
async function waitForSlot(deps: ProvisionerDeps, stop: AbortSignal): Promise<() => void> {
  try {
    return await withHeartbeats(deps.slots.acquire(stop));
  } catch (err) {
    if (!stop.aborted) throw err;
    // The row of a job that was never taken is the workflow's to end.
    throw stop.reason === 'canceled' ? new CancelledFailure('CANCELLED') : workerStopped();
  }
}

async function takeAndRun(deps: ProvisionerDeps, jobId: string, told: AbortSignal): Promise<JobOutcome> {
  const job = await transaction(deps.db, (tx) => takeJob(tx, { jobId, hostId: deps.hostId, workerId: deps.workerId }));
  if (job === undefined) return outcomeWithoutRun(deps, jobId);
  const stop = new AbortController();
  const halt = (reason: StopReason) => stop.abort(reason);
  const redactor = createRedactor([]);
  const { id, attempt, logsLength: length, logsOverflowed: overflowed } = job;
  const onFenced = () => halt('fenced');
  const run: JobRun = {
    deps,
    job,
    directory: join(deps.workRoot, jobId),
    log: createJobLog({ db: deps.db, jobId: id, attempt, length, overflowed, redactor, onFenced }),
    redactor,
    stop: stop.signal,
    timings: [],
    shownOnce: new Set(),
  };
  if (job.canceledAt !== null) halt('canceled');
  const jobLease = startJobLease({ db: deps.db, jobId, attempt, onStop: halt });
  const obey = () => {
    halt(told.reason as StopReason);
    // An operator may have canceled in the Temporal UI, where no row was written.
    if (told.reason === 'canceled') void requestCancel(deps.db, jobId).catch(() => undefined);
  };
  told.addEventListener('abort', obey, { once: true });
  if (told.aborted) obey();
  try {
    const outcome = await perform(run);
    // Only a finished job's directory may go: a run that was cut off leaves its newest state there (salvageState).
    await rm(run.directory, { recursive: true, force: true }).catch(() => undefined);
    return outcome;
  } finally {
    told.removeEventListener('abort', obey);
    jobLease.stop();
    await upsertTimings(deps.db, jobId, run.timings).catch((err: unknown) =>
      deps.logger.warn({ err, job_id: jobId }, 'timings were not stored'),
    );
  }
}

/** The job was not to be had: say why, in the words the workflow understands. */
async function outcomeWithoutRun(deps: ProvisionerDeps, jobId: string): Promise<JobOutcome> {
  const job = await findJob(deps.db, jobId);
  if (job === undefined) throw ApplicationFailure.nonRetryable(`job ${jobId} does not exist`, 'NOT_FOUND');
  if (job.status === 'succeeded' || job.status === 'failed' || job.status === 'canceled') return job.status;
  throw ApplicationFailure.nonRetryable('another host holds the lease of this job', 'LEASE_HELD');
}

async function perform(run: JobRun): Promise<JobOutcome> {
  const { job, log } = run;
  try {
    // Left by an attempt whose worker died: its Terraform must not go on beside ours, its newest state must not be lost.
    await awaitLeftovers(run);
    await salvageState(run);
    await rm(run.directory, { recursive: true, force: true });
    assertRunning(run);
    await mkdir(join(run.directory, 'runs'), { recursive: true, mode: 0o700 });
    log.stage('Setting up');
    switch (job.type) {
      case 'workspace_build':
        await runBuild(run);
        break;
      case 'template_version_import':
        await runImport(run);
        break;
      case 'template_version_dry_run':
        await runDryRun(run);
        break;
    }
    return 'succeeded';
  } catch (err) {
    return endOfRun(run, err);
  }
}

/** Turns whatever ended the run early into the job's final row, or into a failure after which another run goes on. */
async function endOfRun(run: JobRun, err: unknown): Promise<JobOutcome> {
  const { deps, job, log } = run;
  if (err instanceof RunStopped) {
    if (err.reason === 'canceled') return endCanceled(run);
    if (err.reason === 'fenced') throw ApplicationFailure.nonRetryable(err.message, 'LEASE_HELD');
    // Nothing of the job is left here: another host need not wait for the lease to run out.
    if (!(await hasLeftover(run))) await releaseLease(deps.db, job.id, job.attempt).catch(() => undefined);
    throw workerStopped();
  }
  if (err instanceof RunFailed) return endFailed(run, err.message, err.code);
  if (err instanceof DomainError) return endFailed(run, [err.message, err.detail].filter(Boolean).join(': '), err.code);
  if (isDatabaseAway(err)) throw err;
  deps.logger.error({ err, job_id: job.id }, 'a run failed for a reason of ours');
  log.say('error', `Internal error: ${messageOf(err)}`);
  return endFailed(run, `internal error: ${messageOf(err)}`);
}
