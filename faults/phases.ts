import type { Context } from './context.ts';
import type { Run } from './run.ts';

/** Where a job was at an instant: waiting, in a stage of its log, or over. Noted in the run. */
export async function notePhase(context: Context, run: Run, at: { jobId: string; atMs: number }): Promise<void> {
  const { sql } = context.stack;
  const instant = new Date(at.atMs);
  const [found] = await sql<{ phase: string }[]>`
    select case
      when created_at > ${instant} then 'requested during the fault'
      when started_at is null or started_at > ${instant} then 'waiting'
      when completed_at <= ${instant} then 'over'
      else coalesce((select l.stage from provisioner_job_logs l
        where l.job_id = j.id and l.created_at <= ${instant} order by l.id desc limit 1), 'just taken') end as phase
    from provisioner_jobs j where id = ${at.jobId}`;
  run.phase = found?.phase ?? 'vanished';
}

/** `waiting 12, Starting workspace 140, …`, most frequent first. */
export function describePhases(runs: readonly Run[]): string {
  const counts = new Map<string, number>();
  for (const { phase } of runs) if (phase !== null) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  return [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([phase, count]) => `${phase} ${count}`)
    .join(', ');
}
