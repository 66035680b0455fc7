import type { JobOutcome } from '../workflows/run-job.ts';
import { type Db, isDatabaseAway, pipelined, transaction } from '../db/client.ts';
import { notifyJobEnd } from '../db/notifications.ts';
import { completeJob, lockAttempt } from '../db/queries/job-attempts.ts';
import { upsertTimings } from '../db/queries/job-timings.ts';
import { markCanceled } from '../db/queries/provisioner-jobs.ts';
import { settleBuild } from '../commands/settle-build.ts';
import { type JobRun, RunStopped } from './job-run.ts';

/**
 * Runs a write that must not be lost while PostgreSQL is away: again and again until it went through, the run is fenced or the
 * worker stops. The infrastructure exists already; giving up would leave it untracked.
 */
export async function persist<T>(run: JobRun, write: (db: Db) => Promise<T>): Promise<T> {
  for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 5_000)) {
    try {
      return await write(run.deps.db);
    } catch (err) {
      if (!isDatabaseAway(err) || run.stop.reason === 'fenced' || run.leave.aborted) throw err;
      await new Promise((done) => setTimeout(done, waitMs));
    }
  }
}

/**
 * The completion transaction, fenced: `write` adds the rows, the timings come with it. Wakes log followers and watchers on
 * commit. Throws
 * RunStopped('fenced') when another attempt owns the job, RunStopped('canceled') when a success met a cancel that was accepted
 * in the last moment: a canceled job has no rows of a success, its state is kept like that of any other.
 */
export async function completeRun(
  run: JobRun,
  end: { success: boolean; canceled?: boolean; error?: string; errorCode?: string },
  write: (tx: Db) => Promise<void>,
): Promise<void> {
  const { success, ...result } = end;
  await persist(run, async (db) => {
    await run.log.flush();
    await transaction(db, async (tx) => {
      // The job's row first, as everybody who ends jobs does: cancel and completion decide one after the other.
      const locked = await lockAttempt(tx, run.job.id, run.job.attempt);
      if (locked === undefined) throw new RunStopped('fenced');
      if (success && locked.canceled) throw new RunStopped('canceled');
      await write(tx);
      await pipelined([
        upsertTimings(tx, run.job.id, run.timings),
        completeJob(tx, { jobId: run.job.id, attempt: run.job.attempt, ...result }),
        notifyJobEnd(tx, run.job.id, run.job.input.workspace_build_id),
      ]);
    });
  });
  run.timings.length = 0;
}

/** Failure path (spec/02 §1.11): no resource rows; the state was kept by whoever ran Terraform. */
export async function endFailed(run: JobRun, message: string, code?: string): Promise<JobOutcome> {
  const error = run.redactor.redact(message).slice(0, 8_000);
  run.log.say('error', error.slice(0, 1_000));
  const codes = ['REQUIRED_TEMPLATE_VARIABLES', 'MISSING_TEMPLATE_PARAMETER', 'INSUFFICIENT_QUOTA'];
  const errorCode = codes.find((each) => each === code);
  await completeRun(run, { success: false, error, ...(errorCode !== undefined && { errorCode }) }, (tx) =>
    closeBuild(tx, run.job.input.workspace_build_id, { started: true, canceled: false }),
  );
  return 'failed';
}

/** A user's cancel ends as `canceled`: the error that Terraform gave because of it stays in the log only. */
export async function endCanceled(run: JobRun): Promise<JobOutcome> {
  run.log.say('info', 'The job was canceled.');
  await completeRun(run, { success: false, canceled: true }, (tx) =>
    closeBuild(tx, run.job.input.workspace_build_id, { started: true, canceled: true }),
  );
  return 'canceled';
}

/** Ends the build of a job that did not succeed; a job without one has nothing to end. */
export async function closeBuild(
  tx: Db,
  buildId: string | undefined,
  end: { started: boolean; canceled: boolean },
): Promise<void> {
  if (buildId === undefined) return;
  await settleBuild(tx, buildId, { outcome: end.canceled ? 'canceled' : 'failed', started: end.started });
}

/** Writes the cancel that arrived by Temporal alone into the row, so that lease renewals and the status agree. */
export async function requestCancel(db: Db, jobId: string): Promise<void> {
  await markCanceled(db, jobId, false);
}
