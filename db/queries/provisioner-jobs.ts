import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { toJson } from '../json.ts';
import { jobsChannel, workspacesChannel } from '../notifications.ts';
import { type JobInput, provisionerJobs } from '../schema/provisioner-jobs.ts';

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
export const wakeWatchers = sql<string | null>`(
  select pg_notify(${jobsChannel}, b.job_id::text)::text || pg_notify(${workspacesChannel}, b.workspace_id::text)::text
  from workspace_builds b where b.job_id = provisioner_jobs.id)`;

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
