import { sql } from 'drizzle-orm';
import type { Db } from '../client.ts';

export interface BuildTimeStats {
  readonly templateId: string;
  readonly transition: 'start' | 'stop' | 'delete';
  /** Builds that were looked at, at most 100. */
  readonly samples: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

/**
 * Discrete percentiles of the run time of the 100 newest succeeded builds per template and transition; a pair without
 * builds has no row. Prebuild builds count. Source: spec/01 §6.6.
 */
export async function listBuildTimes(db: Db, templateIds: readonly string[]): Promise<BuildTimeStats[]> {
  if (templateIds.length === 0) return [];
  const rows = await db.execute<{
    template_id: string;
    transition: 'start' | 'stop' | 'delete';
    samples: number;
    p50: number;
    p95: number;
  }>(sql`
    select wanted.id as template_id, kind.transition, count(*)::int as samples,
      percentile_disc(0.5) within group (order by recent.ms)::int as p50,
      percentile_disc(0.95) within group (order by recent.ms)::int as p95
    from jsonb_array_elements_text(${JSON.stringify(templateIds)}::text::jsonb) listed(id)
    cross join lateral (select listed.id::uuid as id) wanted
    cross join unnest(enum_range(null::workspace_transition)) kind(transition)
    cross join lateral (
      select greatest(extract(epoch from j.completed_at - j.started_at) * 1000, 0)::int as ms
      from workspaces w
      join workspace_builds b on b.workspace_id = w.id and b.transition = kind.transition
      join provisioner_jobs j on j.id = b.job_id and j.job_status = 'succeeded' and j.started_at is not null
      where w.template_id = wanted.id
      order by j.completed_at desc limit 100) recent
    group by wanted.id, kind.transition`);
  return rows.map((row) => ({
    templateId: row.template_id,
    transition: row.transition,
    samples: row.samples,
    p50Ms: row.p50,
    p95Ms: row.p95,
  }));
}
