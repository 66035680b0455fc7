import { and, eq, inArray, isNotNull, isNull, lt, sql } from 'drizzle-orm';
import type { JobTiming } from '../../domain/provisioned.ts';
import type { Db } from '../client.ts';
import { toJson } from '../json.ts';
import { jobsChannel, workspacesChannel } from '../notifications.ts';
import { type JobInput, provisionerJobTimings, provisionerJobs } from '../schema/provisioner-jobs.ts';

const seconds = (ms: number) => sql.raw(`interval '${ms / 1000} seconds'`);
const inFuture = (ms: number) => sql`now() + ${seconds(ms)}`;

export interface NewJob {
  id: string;
  organizationId: string;
  initiatorId: string;
  type: 'template_version_import' | 'workspace_build' | 'template_version_dry_run';
  input: JobInput;
  fileId: string;
  tags: Record<string, string>;
  workflowId: string;
  priority: number;
}

/**
 * Inserts `pending` jobs: the outbox entries of their workflows. Instants are the database's (spec/01 §0). One parameter however
 * many: making a text for each number of rows would take longer than sending it.
 */
export async function insertJobs(tx: Db, jobs: readonly NewJob[]): Promise<void> {
  const rows = jobs.map((job) => ({
    id: job.id,
    organization_id: job.organizationId,
    initiator_id: job.initiatorId,
    type: job.type,
    input: job.input,
    file_id: job.fileId,
    tags: job.tags,
    workflow_id: job.workflowId,
    priority: job.priority,
  }));
  await tx.execute(sql`
    insert into provisioner_jobs (id, organization_id, initiator_id, type, input, file_id, tags, workflow_id, priority, provisioner)
    select id, organization_id, initiator_id, type, input, file_id, tags, workflow_id, priority, 'terraform'
    from json_populate_recordset(null::provisioner_jobs, ${toJson(rows)}::text::json)`);
}

export const insertJob = (tx: Db, job: NewJob): Promise<void> => insertJobs(tx, [job]);

/** Remembers that the workflow exists, so that the sweep leaves the job alone. */
export async function markWorkflowStarted(db: Db, jobId: string): Promise<void> {
  await db
    .update(provisionerJobs)
    .set({ workflowStartedAt: sql`coalesce(workflow_started_at, now())` })
    .where(eq(provisionerJobs.id, jobId));
}

/** The same for many. */
export async function markWorkflowsStarted(db: Db, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length === 0) return;
  await db
    .update(provisionerJobs)
    .set({ workflowStartedAt: sql`coalesce(workflow_started_at, now())` })
    .where(inArray(provisionerJobs.id, [...jobIds]));
}

/**
 * For RETURNING: whoever follows the jobs of builds, or watches the workspace whose build this is, sees the status change,
 * whoever made it. Inserts and ends have notifications of their own.
 */
const wakeWatchers = sql<string | null>`(
  select pg_notify(${jobsChannel}, b.job_id::text)::text || pg_notify(${workspacesChannel}, b.workspace_id::text)::text
  from workspace_builds b where b.job_id = provisioner_jobs.id)`;

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

/**
 * Ends a job that no run can end any more, whatever its attempt; with `attempt` only when nobody took it since. Idempotent;
 * false = it was over or taken already.
 */
export async function endJob(
  tx: Db,
  input: { jobId: string; canceled: boolean; error?: string; attempt?: number },
): Promise<boolean> {
  const rows = await tx
    .update(provisionerJobs)
    .set({
      completedAt: sql`now()`,
      updatedAt: sql`now()`,
      attempt: sql`attempt + 1`,
      error: input.error ?? null,
      leaseUntil: null,
      ...(input.canceled && { canceledAt: sql`coalesce(canceled_at, now())` }),
    })
    .where(
      and(
        eq(provisionerJobs.id, input.jobId),
        isNull(provisionerJobs.completedAt),
        input.attempt === undefined ? undefined : eq(provisionerJobs.attempt, input.attempt),
      ),
    )
    .returning({ id: provisionerJobs.id });
  return rows.length > 0;
}

export async function findJob(db: Db, jobId: string) {
  const [row] = await db
    .select({
      id: provisionerJobs.id,
      status: provisionerJobs.jobStatus,
      workflowId: provisionerJobs.workflowId,
      startedAt: provisionerJobs.startedAt,
      canceledAt: provisionerJobs.canceledAt,
      completedAt: provisionerJobs.completedAt,
      leaseUntil: provisionerJobs.leaseUntil,
      hostId: provisionerJobs.hostId,
      type: provisionerJobs.type,
      input: provisionerJobs.input,
      tags: provisionerJobs.tags,
      fileId: provisionerJobs.fileId,
      organizationId: provisionerJobs.organizationId,
      initiatorId: provisionerJobs.initiatorId,
    })
    .from(provisionerJobs)
    .where(eq(provisionerJobs.id, jobId));
  return row;
}

/** Locks the job's row and reads what a cancel has to decide on. */
export async function lockJob(tx: Db, jobId: string) {
  const [row] = await tx
    .select({ status: provisionerJobs.jobStatus, workflowId: provisionerJobs.workflowId })
    .from(provisionerJobs)
    .where(eq(provisionerJobs.id, jobId))
    .for('update');
  return row;
}

/** Accepts a cancel under the row lock: a pending job is over at once, a running one is `canceling` (spec/02 §1.7). */
export async function markCanceled(tx: Db, jobId: string, pending: boolean): Promise<void> {
  await tx
    .update(provisionerJobs)
    .set({
      canceledAt: sql`coalesce(canceled_at, now())`,
      updatedAt: sql`now()`,
      ...(pending && { completedAt: sql`now()` }),
    })
    .where(and(eq(provisionerJobs.id, jobId), isNull(provisionerJobs.completedAt)))
    .returning({ watchers: wakeWatchers });
}

/** Timings of a run; a repeated attempt overwrites. Unreal instants never arrive here (terraform/output.ts). */
export async function upsertTimings(db: Db, jobId: string, timings: readonly JobTiming[]): Promise<void> {
  if (timings.length === 0) return;
  const last = new Map(timings.map((timing) => [`${timing.stage}|${timing.resource}|${timing.action}`, timing]));
  await db
    .insert(provisionerJobTimings)
    .values(
      [...last.values()].map((timing) => ({
        ...timing,
        jobId,
        endedAt: timing.endedAt < timing.startedAt ? timing.startedAt : timing.endedAt,
      })),
    )
    .onConflictDoUpdate({
      target: [
        provisionerJobTimings.jobId,
        provisionerJobTimings.stage,
        provisionerJobTimings.resource,
        provisionerJobTimings.action,
      ],
      set: { startedAt: sql`excluded.started_at`, endedAt: sql`excluded.ended_at`, source: sql`excluded.source` },
    });
}

export async function listTimings(db: Db, jobId: string) {
  return db
    .select({
      jobId: provisionerJobTimings.jobId,
      startedAt: provisionerJobTimings.startedAt,
      endedAt: provisionerJobTimings.endedAt,
      stage: provisionerJobTimings.stage,
      source: provisionerJobTimings.source,
      action: provisionerJobTimings.action,
      resource: provisionerJobTimings.resource,
    })
    .from(provisionerJobTimings)
    .where(eq(provisionerJobTimings.jobId, jobId))
    .orderBy(provisionerJobTimings.startedAt, provisionerJobTimings.resource);
}

const sweptColumns = {
  id: provisionerJobs.id,
  type: provisionerJobs.type,
  input: provisionerJobs.input,
  tags: provisionerJobs.tags,
  priority: provisionerJobs.priority,
  workflowId: provisionerJobs.workflowId,
  startedAt: provisionerJobs.startedAt,
  attempt: provisionerJobs.attempt,
};
export type SweptJob = Awaited<ReturnType<typeof listUnstartedJobs>>[number];

/** Pending jobs older than 5 s that have no workflow yet, oldest first. */
export async function listUnstartedJobs(db: Db, limit: number) {
  return db
    .select(sweptColumns)
    .from(provisionerJobs)
    .where(
      and(
        isNull(provisionerJobs.workflowStartedAt),
        isNull(provisionerJobs.completedAt),
        lt(provisionerJobs.createdAt, sql`now() - interval '5 seconds'`),
      ),
    )
    .orderBy(provisionerJobs.createdAt)
    .limit(limit);
}

/** Jobs whose workflow may be gone: lease over by 5 min, or pending for 10 min although a workflow was started. */
export async function listSuspectJobs(db: Db, limit: number) {
  return db
    .select(sweptColumns)
    .from(provisionerJobs)
    .where(
      and(
        isNull(provisionerJobs.completedAt),
        isNotNull(provisionerJobs.workflowStartedAt),
        sql`(started_at is not null and lease_until < now() - interval '5 minutes'
          or started_at is null and workflow_started_at < now() - interval '10 minutes')`,
      ),
    )
    .orderBy(provisionerJobs.createdAt)
    .limit(limit);
}

/** Jobs that have waited for a worker longer than `ageMs`. */
export async function listOldPendingJobs(db: Db, ageMs: number, limit: number) {
  return db
    .select(sweptColumns)
    .from(provisionerJobs)
    .where(
      and(
        isNull(provisionerJobs.startedAt),
        isNull(provisionerJobs.completedAt),
        sql`${provisionerJobs.createdAt} < now() - ${ageMs} * interval '1 millisecond'`,
      ),
    )
    .orderBy(provisionerJobs.createdAt)
    .limit(limit);
}

/** Makes the sweep start these jobs' workflows again. */
export async function forgetWorkflows(db: Db, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length === 0) return;
  await db
    .update(provisionerJobs)
    .set({ workflowStartedAt: null })
    .where(and(inArray(provisionerJobs.id, [...jobIds]), isNull(provisionerJobs.startedAt)));
}
