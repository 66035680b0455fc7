import { and, eq, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { provisionerDaemons, provisionerJobs } from '../schema/provisioner-jobs.ts';

/** Columns of every `ProvisionerJob` in a response; join `provisioner_daemons` on worker_id for the worker's name. */
export const jobViewColumns = {
  id: provisionerJobs.id,
  createdAt: provisionerJobs.createdAt,
  startedAt: provisionerJobs.startedAt,
  completedAt: provisionerJobs.completedAt,
  canceledAt: provisionerJobs.canceledAt,
  error: provisionerJobs.error,
  errorCode: provisionerJobs.errorCode,
  status: provisionerJobs.jobStatus,
  workerId: provisionerJobs.workerId,
  workerName: provisionerDaemons.name,
  fileId: provisionerJobs.fileId,
  tags: provisionerJobs.tags,
  organizationId: provisionerJobs.organizationId,
  initiatorId: provisionerJobs.initiatorId,
  input: provisionerJobs.input,
  type: provisionerJobs.type,
  logsOverflowed: provisionerJobs.logsOverflowed,
};

/** A dry run of this version; a job of another version, or of another kind, is not found. */
export async function findDryRunView(db: Db, versionId: string, jobId: string) {
  const [row] = await db
    .select(jobViewColumns)
    .from(provisionerJobs)
    .leftJoin(provisionerDaemons, eq(provisionerDaemons.id, provisionerJobs.workerId))
    .where(
      and(
        eq(provisionerJobs.id, jobId),
        eq(provisionerJobs.type, 'template_version_dry_run'),
        sql`${provisionerJobs.input} ->> 'template_version_id' = ${versionId}`,
      ),
    );
  return row;
}
export type DryRunView = NonNullable<Awaited<ReturnType<typeof findDryRunView>>>;

export interface QueuePosition {
  readonly position: number;
  readonly size: number;
}

/**
 * Rank among the pending jobs of the same tag set: priority, created_at, id; 1 = next. Asked only when a pending job is
 * shown. Sets are told apart by a hash of 64 bits: sorting by the sets themselves is most of the work. Source: spec/02 §1.4.
 */
export async function listQueuePositions(db: Db, jobIds: readonly string[]): Promise<Map<string, QueuePosition>> {
  if (jobIds.length === 0) return new Map();
  const rows = await db.execute<{ id: string; position: number; size: number }>(sql`
    select id, position, size from (
      select id,
        row_number() over (partition by tag_set order by priority, created_at, id)::int as position,
        count(*) over (partition by tag_set)::int as size
      from provisioner_jobs, jsonb_hash_extended(tags, 0) as tag_set
      where started_at is null and completed_at is null
    ) ranked where id in (select value::uuid from jsonb_array_elements_text(${JSON.stringify(jobIds)}::text::jsonb))`);
  return new Map(rows.map(({ id, position, size }) => [id, { position, size }]));
}
