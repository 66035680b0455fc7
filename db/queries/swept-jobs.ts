import { and, inArray, isNotNull, isNull, lt, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';

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
