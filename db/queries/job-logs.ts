import { and, asc, eq, gt, lt, sql } from 'drizzle-orm';
import { type JobStatus, isActiveJob } from '../../domain/jobs.ts';
import type { JobLogLine } from '../../domain/provisioned.ts';
import { type Db, preparedQuery } from '../client.ts';
import { jobLogsChannel } from '../notifications.ts';
import { provisionerJobLogs, provisionerJobs } from '../schema/provisioner-jobs.ts';

/** Up to where the output of one Terraform run has become rows, in bytes. */
export interface LogPosition {
  readonly run: number;
  readonly stdout: number;
  readonly stderr: number;
}

export interface LogBatch {
  readonly jobId: string;
  readonly attempt: number;
  readonly lines: readonly JobLogLine[];
  /** Totals after this batch (domain/job-logs.ts). */
  readonly length: number;
  readonly overflowed: boolean;
  readonly position: LogPosition;
  /** Creations that are not safe yet (domain/continuation.ts); null = as before. */
  readonly unsettled: readonly string[] | null;
}

/**
 * Writes one batch and moves the fenced counters in one statement, then tells followers: a reader that takes over goes on
 * exactly where the rows end. false = the attempt is fenced and nothing was written. Source: spec/02 §1.6.
 */
export async function appendJobLogs(db: Db, batch: LogBatch): Promise<boolean> {
  const { position } = batch;
  const rows = JSON.stringify(
    batch.lines.map((line) => ({
      created_at: line.createdAt.getTime() / 1_000,
      source: line.source,
      level: line.level,
      stage: line.stage.slice(0, 128),
      // PostgreSQL's text knows neither NUL nor half a surrogate pair, and would refuse the whole batch.
      output: line.output.replaceAll('\0', '').toWellFormed(),
    })),
  );
  const unsettled = batch.unsettled === null ? null : JSON.stringify(batch.unsettled);
  const result = await db.execute<{ fenced: number }>(sql`
    with fenced as (
      update provisioner_jobs
      set logs_length = ${batch.length}, logs_overflowed = ${batch.overflowed}, updated_at = now(),
        log_run = ${position.run}, log_offset = ${position.stdout}, log_error_offset = ${position.stderr},
        unsettled = coalesce(${unsettled}::text::jsonb, unsettled)
      where id = ${batch.jobId} and attempt = ${batch.attempt} and completed_at is null
      returning id
    ), inserted as (
      insert into provisioner_job_logs (job_id, created_at, source, level, stage, output)
      select fenced.id, to_timestamp(line.created_at), line.source::log_source, line.level::log_level, line.stage, line.output
      from fenced, rows from (json_to_recordset(${rows}::text::json)
        as (created_at float8, source text, level text, stage text, output text)) with ordinality
        as line(created_at, source, level, stage, output, position)
      order by line.position
    )
    select count(*)::int as fenced, count(pg_notify(${jobLogsChannel}, fenced.id::text)) from fenced`);
  return (result[0]?.fenced ?? 0) > 0;
}

/** One line of ours in the log of a job that no run has taken yet: commands write it in their transaction. */
export async function insertJobNote(
  tx: Db,
  note: { jobId: string; level: JobLogLine['level']; output: string },
): Promise<void> {
  const output = note.output.slice(0, 1_024).toWellFormed();
  await tx.insert(provisionerJobLogs).values({
    jobId: note.jobId,
    createdAt: sql`now()`,
    source: 'provisioner_daemon',
    level: note.level,
    stage: 'Setting up',
    output,
  });
  await tx
    .update(provisionerJobs)
    .set({ logsLength: sql`logs_length + ${Buffer.byteLength(output)}` })
    .where(eq(provisionerJobs.id, note.jobId));
}

const jobLogColumns = {
  id: provisionerJobLogs.id,
  createdAt: provisionerJobLogs.createdAt,
  source: provisionerJobLogs.source,
  level: provisionerJobLogs.level,
  stage: provisionerJobLogs.stage,
  output: provisionerJobLogs.output,
};

/** Rows of a job in order, `after` and `before` exclusive. */
export async function listJobLogs(
  db: Db,
  input: { jobId: string; after?: number | undefined; before?: number | undefined; limit?: number },
) {
  return db
    .select(jobLogColumns)
    .from(provisionerJobLogs)
    .where(
      and(
        eq(provisionerJobLogs.jobId, input.jobId),
        input.after === undefined ? undefined : gt(provisionerJobLogs.id, input.after),
        input.before === undefined ? undefined : lt(provisionerJobLogs.id, input.before),
      ),
    )
    .orderBy(asc(provisionerJobLogs.id))
    .limit(input.limit ?? 20_000);
}
export type JobLogRow = Awaited<ReturnType<typeof listJobLogs>>[number];

/**
 * The next rows of a job and whether it is still active, from one snapshot: when it is over, no later row will come. A job
 * that does not exist is over.
 */
export async function readJobLog(
  db: Db,
  input: { jobId: string; after: number; limit: number },
): Promise<{ active: boolean; rows: JobLogRow[] }> {
  const rows = await logsWithStatus(db, input);
  const [first] = rows;
  return {
    active: first !== undefined && isActiveJob(first.status),
    rows: rows.flatMap((row) => (row.id === null ? [] : [row])),
  };
}
type NoRow = { readonly [Column in keyof JobLogRow]: null };
const logsWithStatus = preparedQuery<
  { jobId: string; after: number; limit: number },
  { status: JobStatus } & (JobLogRow | NoRow)
>((db) => {
  // Lateral: the page is read from the index, however long the log is.
  const page = db
    .select(jobLogColumns)
    .from(provisionerJobLogs)
    .where(and(eq(provisionerJobLogs.jobId, provisionerJobs.id), gt(provisionerJobLogs.id, sql.placeholder('after'))))
    .orderBy(asc(provisionerJobLogs.id))
    .limit(sql.placeholder('limit'))
    .as('page');
  const { id, createdAt, source, level, stage, output } = page;
  return (
    db
      .select({ status: provisionerJobs.jobStatus, id, createdAt, source, level, stage, output })
      .from(provisionerJobs)
      .leftJoinLateral(page, sql`true`)
      .where(eq(provisionerJobs.id, sql.placeholder('jobId')))
      .orderBy(asc(page.id))
      // Its types do not say that the columns of a page are null together.
      .prepare('job_log') as never
  );
});
