import { and, eq, isNull, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { wakeWatchers } from './provisioner-jobs.ts';

const seconds = (ms: number) => sql.raw(`interval '${ms / 1000} seconds'`);
const inFuture = (ms: number) => sql`now() + ${seconds(ms)}`;

const takenColumns = {
  id: provisionerJobs.id,
  type: provisionerJobs.type,
  input: provisionerJobs.input,
  fileId: provisionerJobs.fileId,
  organizationId: provisionerJobs.organizationId,
  initiatorId: provisionerJobs.initiatorId,
  tags: provisionerJobs.tags,
  attempt: provisionerJobs.attempt,
  createdAt: provisionerJobs.createdAt,
  startedAt: provisionerJobs.startedAt,
  logsLength: provisionerJobs.logsLength,
  logsOverflowed: provisionerJobs.logsOverflowed,
  logRun: provisionerJobs.logRun,
  logOffset: provisionerJobs.logOffset,
  logErrorOffset: provisionerJobs.logErrorOffset,
  continuations: provisionerJobs.continuations,
  unsettled: provisionerJobs.unsettled,
};
export type TakenJob = Awaited<ReturnType<typeof takeJob>>;

export interface Take {
  readonly jobId: string;
  readonly hostId: string;
  readonly workerId: string;
  readonly leaseMs: number;
  /** How long after the end of its lease a job may be taken from another host. */
  readonly takeOverAfterMs: number;
}

/**
 * The take (spec/02 §5.8): pending → running, or a lost run is taken up. Attempt + 1 fences whoever ran it before.
 * undefined = not to be had now: completed, canceled before it began, or leased to another host. `runsForMs`: since it was
 * taken for the first time. What was read of Terraform's output is known on the host that has the output only.
 */
export async function takeJob(db: Db, take: Take) {
  const [row] = await db
    .update(provisionerJobs)
    .set({
      attempt: sql`attempt + 1`,
      hostId: take.hostId,
      workerId: take.workerId,
      leaseUntil: inFuture(take.leaseMs),
      startedAt: sql`coalesce(started_at, now())`,
      workflowStartedAt: sql`coalesce(workflow_started_at, now())`,
      updatedAt: sql`now()`,
      logRun: sql`case when host_id = ${take.hostId} then log_run else 0 end`,
    })
    .where(
      and(
        eq(provisionerJobs.id, take.jobId),
        isNull(provisionerJobs.completedAt),
        sql`(started_at is null and canceled_at is null
          or started_at is not null and (host_id = ${take.hostId} or lease_until + ${seconds(take.takeOverAfterMs)} < now()))`,
      ),
    )
    .returning({
      ...takenColumns,
      canceledAt: provisionerJobs.canceledAt,
      runsForMs: sql<number>`(extract(epoch from now() - started_at) * 1000)::float8`,
      watchers: wakeWatchers,
    });
  return row;
}

/** How long another host may not take the job yet; at least a second, so that whoever asks too early does not ask at once. */
export async function leaseHeldForMs(db: Db, jobId: string, takeOverAfterMs: number): Promise<number> {
  const [row] = await db
    .select({
      heldMs: sql<number>`(extract(epoch from lease_until + ${seconds(takeOverAfterMs)} - now()) * 1000)::float8`,
    })
    .from(provisionerJobs)
    .where(eq(provisionerJobs.id, jobId));
  return Math.ceil(Math.max(1_000, row?.heldMs ?? 0));
}

/** Renews the lease and reads a cancel back. undefined = the attempt is fenced or the job is over. */
export async function renewLease(
  db: Db,
  lease: { readonly jobId: string; readonly attempt: number; readonly leaseMs: number },
): Promise<{ canceled: boolean } | undefined> {
  const [row] = await db
    .update(provisionerJobs)
    .set({ leaseUntil: inFuture(lease.leaseMs) })
    .where(mine(lease.jobId, lease.attempt))
    .returning({ canceledAt: provisionerJobs.canceledAt });
  return row === undefined ? undefined : { canceled: row.canceledAt !== null };
}

/** Gives the lease back: whoever asks next may take the job, on whatever host. Nothing of the job is left here. */
export async function releaseLease(
  db: Db,
  lease: { readonly jobId: string; readonly attempt: number; readonly takeOverAfterMs: number },
): Promise<void> {
  await db
    .update(provisionerJobs)
    .set({ leaseUntil: sql`now() - ${seconds(lease.takeOverAfterMs + 1)}` })
    .where(mine(lease.jobId, lease.attempt));
}

/**
 * Says that from now on the world may change. `continued`: a lost Terraform is gone on from, which is counted. false = the
 * attempt is fenced, and Terraform must not begin.
 */
export async function markApplyBegun(
  db: Db,
  apply: { readonly jobId: string; readonly attempt: number; readonly continued: boolean },
): Promise<boolean> {
  const rows = await db
    .update(provisionerJobs)
    .set({ unsettled: [], ...(apply.continued && { continuations: sql`continuations + 1` }) })
    .where(mine(apply.jobId, apply.attempt))
    .returning({ id: provisionerJobs.id });
  return rows.length > 0;
}

/** Locks the attempt's job at the beginning of its completion and tells whether a cancel was accepted meanwhile. */
export async function lockAttempt(tx: Db, jobId: string, attempt: number): Promise<{ canceled: boolean } | undefined> {
  const [row] = await tx
    .select({ canceledAt: provisionerJobs.canceledAt })
    .from(provisionerJobs)
    .where(mine(jobId, attempt))
    .for('update');
  return row === undefined ? undefined : { canceled: row.canceledAt !== null };
}

/** The fence: every write of a run carries it. */
const mine = (jobId: string, attempt: number) =>
  and(eq(provisionerJobs.id, jobId), eq(provisionerJobs.attempt, attempt), isNull(provisionerJobs.completedAt));

/** Completes the attempt's job. false = fenced, nothing was written. */
export async function completeJob(
  tx: Db,
  input: { jobId: string; attempt: number; canceled?: boolean; error?: string; errorCode?: string },
): Promise<boolean> {
  const rows = await tx
    .update(provisionerJobs)
    .set({
      completedAt: sql`now()`,
      updatedAt: sql`now()`,
      error: input.error === undefined || input.error === '' ? null : input.error,
      errorCode: input.errorCode ?? null,
      leaseUntil: null,
      ...(input.canceled === true && { canceledAt: sql`coalesce(canceled_at, now())` }),
    })
    .where(mine(input.jobId, input.attempt))
    .returning({ id: provisionerJobs.id });
  return rows.length > 0;
}
