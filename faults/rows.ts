import type postgres from 'postgres';
import { setTimeout as delay } from 'node:timers/promises';

/** Everything that a run may write about a job, as one text each: for telling whether anything was written later. */
export interface JobRows {
  readonly job: string;
  readonly build: string;
  readonly log: string;
  readonly state: string;
}

export async function readRows(sql: postgres.Sql, jobId: string): Promise<JobRows> {
  const [rows] = await sql<JobRows[]>`
    select to_jsonb(j)::text as job, to_jsonb(b)::text as build,
      (select count(*) || ' rows up to ' || coalesce(max(id), 0) from provisioner_job_logs where job_id = j.id) as log,
      coalesce((select string_agg(serial || ' of ' || updated_at, ', ' order by serial) from workspace_build_states
        where workspace_build_id = b.id), 'none') as state
    from provisioner_jobs j join workspace_builds b on b.job_id = j.id where j.id = ${jobId}`;
  if (rows === undefined) throw new Error(`job ${jobId} has no rows`);
  return rows;
}

/** Names of what differs; empty when nothing was written in between. */
export const changedRows = (before: JobRows, after: JobRows): string[] =>
  (['job', 'build', 'log', 'state'] as const)
    .filter((name) => before[name] !== after[name])
    .map((name) => `${name}: ${before[name]} became ${after[name]}`);

/** That nothing is written can only be seen by waiting: long enough for whoever was cut off to come back with all it has. */
export const lateWritesMs = 3_000;

/** Rows of jobs that are over, `act`, a while, and what has changed for each job since. */
export async function changesAfter(
  sql: postgres.Sql,
  jobIds: readonly string[],
  act: () => void,
): Promise<ReadonlyMap<string, string[]>> {
  const before = await Promise.all(jobIds.map((jobId) => readRows(sql, jobId)));
  act();
  await delay(lateWritesMs);
  const changes = jobIds.map(async (jobId, index): Promise<[string, string[]]> => [
    jobId,
    changedRows(before[index]!, await readRows(sql, jobId)),
  ]);
  return new Map(await Promise.all(changes));
}
