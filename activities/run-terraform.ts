import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { existsSync } from 'node:fs';
import { mkdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../domain/errors.ts';
import { hostTaskQueue } from '../domain/ids.ts';
import { drainLeaseMs } from '../domain/lease.ts';
import type { JobOutcome } from '../workflows/run-job.ts';
import { isDatabaseAway } from '../db/client.ts';
import { leaseHeldForMs, releaseLease, takeJob } from '../db/queries/job-attempts.ts';
import { upsertTimings } from '../db/queries/job-timings.ts';
import { findJob } from '../db/queries/provisioner-jobs.ts';
import { createRedactor } from '../terraform/secrets.ts';
import { type Told, createDeliveries, withHeartbeats, workerStopped } from './deliveries.ts';
import { recordDelivery } from './delivery-record.ts';
import type { ProvisionerDeps } from './deps.ts';
import { diskFullText, isDiskFull, waitForDisk } from './disk-space.ts';
import { isLeftRunning } from './earlier-run.ts';
import { messageOf } from './failures.ts';
import { endCanceled, endFailed, requestCancel } from './job-end.ts';
import { bootClockMs, extendLease, heldBy, startJobLease, writeLease } from './job-lease.ts';
import { createJobLog } from './job-log.ts';
import { type JobRun, RunFailed, RunStopped, type StopReason, assertRunning, runsDirectory } from './job-run.ts';
import { runBuild } from './run-build.ts';
import { runDryRun } from './run-dry-run.ts';
import { runImport } from './run-import.ts';
import { timeLimitText } from './terraform-command.ts';

/**
 * The one remote activity of every job: takes it, runs Terraform, completes it. Every write is fenced by the attempt number,
 * so a run that lost its lease changes nothing any more. Source: design §1, spec/02 §1.9, §5.8.
 */
export function createTerraformActivities(deps: ProvisionerDeps) {
  const run = async (jobId: string, told: Told): Promise<JobOutcome> => {
    const directory = join(deps.workRoot, jobId);
    const ofThisHost = Context.current().info.taskQueue === hostTaskQueue(deps.hostId);
    if (ofThisHost && !existsSync(runsDirectory({ directory })))
      throw ApplicationFailure.nonRetryable('this host has nothing of the job', 'NOT_HERE');
    // What runs already takes nothing more.
    const release = isLeftRunning({ directory }) ? () => undefined : await waitForTurn(deps, told);
    try {
      return await takeAndRun(deps, { jobId, directory }, told);
    } finally {
      release();
    }
  };
  const deliver = createDeliveries(run, heldBy(deps));
  return { runTerraform: ({ jobId }: { jobId: string }): Promise<JobOutcome> => deliver(jobId) };
}

/** Until a slot is free the job stays `pending`; the heartbeats say that it is in good hands. */
async function waitForTurn(deps: ProvisionerDeps, told: Told): Promise<() => void> {
  const waiting = AbortSignal.any([told.canceled, told.leaving]);
  try {
    return await withHeartbeats(
      waitForDisk(deps, waiting).then((enough) => {
        if (!enough) throw workerStopped();
        return deps.slots.acquire(waiting);
      }),
    );
  } catch (err) {
    if (!waiting.aborted) throw err;
    // The row of a job that was never taken is the workflow's to end.
    throw told.leaving.aborted ? workerStopped() : new CancelledFailure('CANCELLED');
  }
}

async function takeAndRun(
  deps: ProvisionerDeps,
  { jobId, directory }: { jobId: string; directory: string },
  told: Told,
): Promise<JobOutcome> {
  const { hostId, workerId, lease } = deps;
  await mkdir(runsDirectory({ directory }), { recursive: true, mode: 0o700 });
  const sentAt = bootClockMs();
  const { durationMs: leaseMs, takeOverAfterMs } = lease;
  const job = await takeJob(deps.db, { jobId, hostId, workerId, leaseMs, takeOverAfterMs });
  if (job === undefined) {
    await rmdir(runsDirectory({ directory }))
      .then(() => rmdir(directory))
      .catch(() => undefined);
    return outcomeWithoutRun(deps, jobId);
  }
  writeLease(directory, sentAt + leaseMs);
  recordDelivery(directory);
  const stop = new AbortController();
  const halt = (reason: StopReason) => stop.abort(reason);
  const redactor = createRedactor([]);
  const { id, attempt, logsLength: length, logsOverflowed: overflowed } = job;
  const position = { run: job.logRun, stdout: job.logOffset, stderr: job.logErrorOffset };
  const onFenced = () => halt('fenced');
  const run: JobRun = {
    deps,
    job,
    directory,
    log: createJobLog({ db: deps.db, jobId: id, attempt, length, overflowed, position, redactor, onFenced }),
    redactor,
    stop: stop.signal,
    leave: told.leaving,
    timings: [],
    shownOnce: new Set(),
  };
  if (job.canceledAt !== null) halt('canceled');
  const onCanceled = () => halt('canceled');
  const jobLease = startJobLease(deps, { id, attempt, directory }, { canceled: onCanceled, fenced: onFenced });
  const deadline = setTimeout(() => halt('timed-out'), Math.max(0, deps.buildTimeoutMs - job.runsForMs));
  const obey = () => {
    halt('canceled');
    // An operator may have canceled in the Temporal UI, where no row was written.
    void requestCancel(deps.db, jobId).catch(() => undefined);
  };
  told.canceled.addEventListener('abort', obey, { once: true });
  if (told.canceled.aborted) obey();
  try {
    const outcome = await perform(run);
    // Only a finished job's directory may go: a run that was cut off leaves its newest state there (salvageState).
    await rm(directory, { recursive: true, force: true }).catch(() => undefined);
    return outcome;
  } finally {
    told.canceled.removeEventListener('abort', obey);
    clearTimeout(deadline);
    jobLease.stop();
    // Of a run that does not end its job here.
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
  throw await leaseHeld(deps, jobId);
}

const leaseHeld = async ({ db, lease }: ProvisionerDeps, jobId: string): Promise<ApplicationFailure> =>
  ApplicationFailure.create({
    message: 'another host holds the lease of this job',
    type: 'LEASE_HELD',
    nonRetryable: true,
    details: [{ waitMs: await leaseHeldForMs(db, jobId, lease.takeOverAfterMs) }],
  });

async function perform(run: JobRun): Promise<JobOutcome> {
  const { job, log } = run;
  try {
    if (job.attempt === 1) {
      assertRunning(run);
      log.stage('Setting up');
    }
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
    switch (err.reason) {
      case 'canceled':
        return endCanceled(run);
      case 'timed-out':
        return endFailed(run, timeLimitText(deps.buildTimeoutMs, null));
      case 'fenced':
        throw await leaseHeld(deps, job.id);
      case 'worker-stopped':
        throw await leaveJob(run);
    }
  }
  if (err instanceof RunFailed) return endFailed(run, err.message, err.code);
  if (err instanceof DomainError) return endFailed(run, [err.message, err.detail].filter(Boolean).join(': '), err.code);
  if (isDatabaseAway(err)) throw err;
  if (isDiskFull(err)) return endFailed(run, diskFullText(messageOf(err)));
  deps.logger.error({ err, job_id: job.id }, 'a run failed for a reason of ours');
  log.say('error', `Internal error: ${messageOf(err)}`);
  return endFailed(run, `internal error: ${messageOf(err)}`);
}

/**
 * This worker stops. A Terraform that still runs goes on under its shim, and the lease with it, until the next worker of this
 * host takes over; without one the job is anybody's. Answers what the workflow is told.
 */
async function leaveJob(run: JobRun): Promise<ApplicationFailure> {
  const { deps, job, directory, log } = run;
  const { id, attempt } = job;
  await log.flush().catch(() => undefined);
  if (!isLeftRunning(run)) {
    await releaseLease(deps.db, { jobId: id, attempt, takeOverAfterMs: deps.lease.takeOverAfterMs }).catch(
      () => undefined,
    );
    return workerStopped();
  }
  const extended = await extendLease(deps, { id, attempt, directory, leaseMs: drainLeaseMs }).catch(() => undefined);
  const held = heldBy(deps);
  return workerStopped(extended === undefined ? held : { ...held, resumeWithinMs: drainLeaseMs });
}
