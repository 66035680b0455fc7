import { type SQL, sql } from 'drizzle-orm';
import { desiredAt } from '../../domain/prebuild-schedules.ts';
import type { Subject } from '../../domain/subject.ts';
import type { Db } from '../client.ts';
import { currentPreset, isLivePrebuild, isReady, isRunning, livePrebuilds } from './prebuilds.ts';
import { templatesAllowing } from './templates.ts';

/** A pool as it stands: the counts of spec/03 §6.1 and §6.3. */
export interface Pool {
  readonly organizationId: string;
  readonly organizationName: string;
  readonly templateId: string;
  readonly templateName: string;
  readonly versionId: string;
  readonly versionName: string;
  readonly presetId: string;
  readonly presetName: string;
  readonly desired: number;
  /** With the expired ones. */
  readonly running: number;
  readonly expired: number;
  readonly eligible: number;
  readonly starting: number;
  readonly deleting: number;
  readonly failed: number;
  readonly status: 'normal' | 'hard_limited' | 'validation_failed';
  readonly statusDetail: string;
  readonly lastInvalidatedAt: Date | null;
}

interface PoolRow extends Record<string, unknown> {
  readonly organization_id: string;
  readonly organization_name: string;
  readonly template_id: string;
  readonly template_name: string;
  readonly version_id: string;
  readonly version_name: string;
  readonly preset_id: string;
  readonly preset_name: string;
  readonly desired_instances: number;
  readonly timezone: string;
  readonly schedules: readonly { readonly cronExpression: string; readonly desiredInstances: number }[];
  readonly running: number;
  readonly expired: number;
  readonly eligible: number;
  readonly starting: number;
  readonly deleting: number;
  readonly failed: number;
  readonly status: Pool['status'];
  readonly status_detail: string;
  readonly last_invalidated_at: string | null;
}

/**
 * Pools of all active presets, by template, organization and preset. One statement, whatever their number; `where` narrows the
 * templates (`t`).
 */
export async function listPools(db: Db, at: Date, where: SQL = sql`true`): Promise<Pool[]> {
  const now = sql`${at.toISOString()}::timestamptz`;
  const rows = await db.execute<PoolRow>(sql`
    with pools as (
      select o.id as organization_id, o.name as organization_name, t.id as template_id, t.name as template_name,
        v.id as version_id, v.name as version_name, p.id as preset_id, p.name as preset_name, p.desired_instances,
        p.scheduling_timezone as timezone, p.prebuild_status as status, p.prebuild_status_detail as status_detail,
        p.last_invalidated_at, greatest(p.last_invalidated_at,
          case when p.invalidate_after_secs > 0 then ${now} - p.invalidate_after_secs * interval '1 second' end) as fresh_since
      from templates t
      join organizations o on o.id = t.organization_id
      join template_versions v on v.id = t.active_version_id and v.has_external_agent is not true
      join template_version_presets p on p.template_version_id = v.id and p.desired_instances is not null
      where t.deleted = false and t.deprecated = '' and ${where}
    ), prebuilds as (
      select ${currentPreset} as preset_id, w.created_at, b.transition, b.active, j.job_status, ${isRunning} as running,
        case when ${isRunning} then ${isReady} else false end as ready
      from ${livePrebuilds}
      where ${isLivePrebuild} and w.template_id in (select template_id from pools)
    ), counted as (
      select f.preset_id, count(*) filter (where f.running)::int as running,
        count(*) filter (where f.running and f.created_at < pools.fresh_since)::int as expired,
        count(*) filter (where f.ready and (f.created_at >= pools.fresh_since) is not false)::int as eligible,
        count(*) filter (where f.active and f.transition = 'start')::int as starting,
        count(*) filter (where f.active and f.transition = 'delete')::int as deleting,
        count(*) filter (where f.transition = 'start' and f.job_status = 'failed')::int as failed
      from prebuilds f join pools on pools.preset_id = f.preset_id group by f.preset_id
    )
    select pools.*, coalesce(c.running, 0) as running, coalesce(c.expired, 0) as expired, coalesce(c.eligible, 0) as eligible,
      coalesce(c.starting, 0) as starting, coalesce(c.deleting, 0) as deleting, coalesce(c.failed, 0) as failed, (
        select coalesce(json_agg(json_build_object('cronExpression', s.cron_expression,
          'desiredInstances', s.desired_instances) order by s.position), '[]')
        from template_version_preset_prebuild_schedules s where s.preset_id = pools.preset_id) as schedules
    from pools left join counted c on c.preset_id = pools.preset_id
    order by pools.template_name, pools.organization_name, pools.preset_name`);
  return rows.map((row) => poolOf(row, at));
}

function poolOf(row: PoolRow, at: Date): Pool {
  const { timezone, schedules } = row;
  const { desired, problem } = desiredAt({ desiredInstances: row.desired_instances, timezone, schedules }, at);
  return {
    organizationId: row.organization_id,
    organizationName: row.organization_name,
    templateId: row.template_id,
    templateName: row.template_name,
    versionId: row.version_id,
    versionName: row.version_name,
    presetId: row.preset_id,
    presetName: row.preset_name,
    desired,
    running: row.running,
    expired: row.expired,
    eligible: row.eligible,
    starting: row.starting,
    deleting: row.deleting,
    failed: row.failed,
    status: row.status,
    // Schedules that make no sense are not used: that has to be seen somewhere.
    statusDetail: row.status_detail === '' ? (problem ?? '') : row.status_detail,
    lastInvalidatedAt: row.last_invalidated_at === null ? null : new Date(row.last_invalidated_at),
  };
}

/** Those of templates that the subject may read. */
export const listReadablePools = (db: Db, subject: Subject, at: Date): Promise<Pool[]> =>
  listPools(db, at, sql`t.id in (select id from templates where ${templatesAllowing(subject, 'read')})`);
