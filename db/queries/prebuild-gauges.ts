import { sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type Db, pipelined } from '../client.ts';
import { type Pool, listPools } from './prebuild-pools.ts';
import { isReconciliationPaused } from './prebuild-settings.ts';

/** Presets of one name, in whatever versions of the template: what they ever did. */
export interface PoolTotals {
  readonly organizationName: string;
  readonly templateName: string;
  readonly presetName: string;
  readonly created: number;
  readonly failed: number;
  readonly claimed: number;
  readonly replacements: number;
}

/** Workspaces that come from no pool; an empty preset where there is none. */
export interface CreationTotal {
  readonly organizationName: string;
  readonly templateName: string;
  readonly presetName: string;
  readonly count: number;
}

export interface PrebuildGauges {
  readonly paused: boolean;
  readonly pools: readonly Pool[];
  readonly totals: readonly PoolTotals[];
  readonly creations: readonly CreationTotal[];
}

/** What the metrics page shows of pools, read as the actor `metrics-reader`, in one view of the database. Source: spec/03 §16. */
export const readPrebuildGauges = (db: Db, at: Date): Promise<PrebuildGauges> =>
  db.transaction(
    async (transaction) => {
      const tx = transaction as unknown as Db;
      const [, paused, pools, totals, creations] = await pipelined([
        tx.execute(sql`set local statement_timeout = '10s'`),
        isReconciliationPaused(tx),
        listPools(tx, at),
        listPoolTotals(tx),
        countCreations(tx),
      ]);
      return { paused, pools, totals, creations };
    },
    { isolationLevel: 'repeatable read', accessMode: 'read only' },
  );

/** Of templates that are not deleted. What was made ever counts, be it deleted since; a claim that replaced something counts once. */
async function listPoolTotals(tx: Db): Promise<PoolTotals[]> {
  const rows = await tx.execute<{
    organization_name: string;
    template_name: string;
    preset_name: string;
    created: number;
    failed: number;
    claimed: number;
    replacements: number;
  }>(sql`
    with done as (
      select b.template_version_preset_id as preset_id, count(*) as created,
        count(*) filter (where j.job_status = 'failed') as failed,
        count(*) filter (where w.owner_id <> ${PREBUILDS_SYSTEM_USER_ID}::uuid) as claimed, 0 as replacements
      from workspace_builds b
      join workspaces w on w.id = b.workspace_id
      join provisioner_jobs j on j.id = b.job_id
      where b.build_number = 1 and b.prebuild_stage = 'create' group by 1
      union all
      select b.template_version_preset_id, 0, 0, 0, count(*)
      from workspace_builds b
      join provisioner_jobs j on j.id = b.job_id and j.job_status = 'succeeded'
      where b.prebuild_stage = 'claim' and b.resource_replacements is not null group by 1
    )
    select o.name as organization_name, t.name as template_name, p.name as preset_name, sum(done.created)::float8 as created,
      sum(done.failed)::float8 as failed, sum(done.claimed)::float8 as claimed, sum(done.replacements)::float8 as replacements
    from done
    join template_version_presets p on p.id = done.preset_id
    join template_versions v on v.id = p.template_version_id
    join templates t on t.id = v.template_id and t.deleted = false
    join organizations o on o.id = t.organization_id
    group by 1, 2, 3 order by 1, 2, 3`);
  return rows.map((row) => ({
    organizationName: row.organization_name,
    templateName: row.template_name,
    presetName: row.preset_name,
    created: row.created,
    failed: row.failed,
    claimed: row.claimed,
    replacements: row.replacements,
  }));
}

/** First builds that succeeded, of workspaces and templates that are gone as well: a counter never falls. Source: spec/08 §1.2. */
async function countCreations(tx: Db): Promise<CreationTotal[]> {
  const rows = await tx.execute<{
    organization_name: string;
    template_name: string;
    preset_name: string;
    count: number;
  }>(sql`
    select o.name as organization_name, t.name as template_name, coalesce(p.name, '') as preset_name, count(*)::float8 as count
    from workspace_builds b
    join provisioner_jobs j on j.id = b.job_id and j.job_status = 'succeeded'
    join workspaces w on w.id = b.workspace_id
    join templates t on t.id = w.template_id
    join organizations o on o.id = w.organization_id
    left join template_version_presets p on p.id = b.template_version_preset_id
    where b.build_number = 1 and b.prebuild_stage <> 'create'
    group by 1, 2, 3 order by 1, 2, 3`);
  return rows.map((row) => ({
    organizationName: row.organization_name,
    templateName: row.template_name,
    presetName: row.preset_name,
    count: row.count,
  }));
}
