import { eq, sql } from 'drizzle-orm';
import type { JobOutcome } from '../workflows/run-job.ts';
import { type Db, isDatabaseAway, transaction } from '../db/client.ts';
import { jobLogsChannel, jobsChannel, notify, workspacesChannel } from '../db/notifications.ts';
import { completeJob, markCanceled } from '../db/queries/provisioner-jobs.ts';
import { findBuild, finishBuildRow } from '../db/queries/workspace-builds.ts';
import { workspaces } from '../db/schema/workspaces.ts';
import { type JobRun, RunStopped } from './job-run.ts';

/**
 * Runs a write that must not be lost while PostgreSQL is away: again and again until it went through or the run is fenced.
 * The infrastructure exists already; giving up would leave it untracked.
 */
export async function persist<T>(run: JobRun, write: (db: Db) => Promise<T>): Promise<T> {
  for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 5_000)) {
    try {
      return await write(run.deps.db);
    } catch (err) {
      if (!isDatabaseAway(err) || (run.stop.aborted && run.stop.reason !== 'canceled')) throw err;
      await new Promise((done) => setTimeout(done, waitMs));
    }
  }
}

/**
 * The completion transaction, fenced: `write` adds the rows of a success. Wakes log followers and watchers on commit.
 * Throws RunStopped('fenced') when another attempt owns the job.
 */
export async function completeRun(
  run: JobRun,
  end: { error?: string; errorCode?: string },
  write: (tx: Db) => Promise<void>,
): Promise<void> {
  await persist(run, async (db) => {
    await run.log.flush();
    await transaction(db, async (tx) => {
      await write(tx);
      if (!(await completeJob(tx, { jobId: run.job.id, attempt: run.job.attempt, ...end })))
        throw new RunStopped('fenced');
      await announceEnd(tx, run.job.id, run.job.input.workspace_build_id);
    });
  });
}

/** Tells followers that the job is over and watchers of its workspace that it changed. */
export async function announceEnd(tx: Db, jobId: string, buildId: string | undefined): Promise<void> {
  await notify(tx, jobLogsChannel, jobId);
  await notify(tx, jobsChannel, jobId);
  const build = buildId === undefined ? undefined : await findBuild(tx, buildId);
  if (build !== undefined) await notify(tx, workspacesChannel, build.workspaceId);
}

/** Failure path (spec/02 §1.11): no resource rows; the state was kept by whoever ran Terraform. */
export async function endFailed(run: JobRun, message: string, code?: string): Promise<JobOutcome> {
  const error = run.redactor.redact(message).slice(0, 8_000);
  run.log.say('error', error.slice(0, 1_000));
  const codes = ['REQUIRED_TEMPLATE_VARIABLES', 'MISSING_TEMPLATE_PARAMETER', 'INSUFFICIENT_QUOTA'];
  await completeRun(run, { error, ...(code !== undefined && codes.includes(code) && { errorCode: code }) }, (tx) =>
    closeBuild(tx, run.job.input.workspace_build_id, true),
  );
  return 'failed';
}

/** A user's cancel ends as `canceled`: the error that Terraform gave because of it stays in the log only. */
export async function endCanceled(run: JobRun): Promise<JobOutcome> {
  run.log.say('info', 'The job was canceled.');
  await completeRun(run, {}, (tx) => closeBuild(tx, run.job.input.workspace_build_id, true));
  return 'canceled';
}

/** A build that did not succeed: no longer active; a failed or canceled run marks the workspace for clean-up (spec/01 §4.1). */
export async function closeBuild(tx: Db, buildId: string | undefined, started: boolean): Promise<void> {
  if (buildId === undefined) return;
  await finishBuildRow(tx, buildId);
  const build = await findBuild(tx, buildId);
  if (build !== undefined && build.isLatest && started && build.transition !== 'delete')
    await tx
      .update(workspaces)
      .set({ failedAt: sql`now()` })
      .where(eq(workspaces.id, build.workspaceId));
}

/** Writes the cancel that arrived by Temporal alone into the row, so that lease renewals and the status agree. */
export async function requestCancel(db: Db, jobId: string): Promise<void> {
  await markCanceled(db, jobId, false);
}
