import { type SQL, sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { desiredAt } from '../../domain/prebuild-schedules.ts';
import type { PoolPreset, PrebuildRules, PrebuildSnapshot } from '../../domain/prebuilds.ts';
import { type PoolStart, poolFailures } from '../../domain/pool-failures.ts';
import { type Db, pipelined } from '../client.ts';
import { currentPreset, hasFailed, isLivePrebuild, isReady, isRunning, isUntaken, livePrebuilds } from './prebuilds.ts';
import { budgetOf, consumedBy } from './quota.ts';

export interface SnapshotOptions {
  readonly now: Date;
  readonly rules: PrebuildRules;
  /** Failures older than this do not hold creation back. */
  readonly backoffLookbackMs: number;
  /** Want of quota holds pools back only while it is asked for. */
  readonly quotaEnabled: boolean;
}

/**
 * All that a cycle decides on, in one read-only snapshot. The number of statements does not depend on how many presets,
 * versions or prebuilds there are; presets of versions that are over come only while something of them is left.
 * Source: spec/03 §6.2.
 */
export const readPrebuildSnapshot = (db: Db, options: SnapshotOptions): Promise<PrebuildSnapshot> =>
  db.transaction((tx) => readPools(tx as unknown as Db, everywhere, options), {
    isolationLevel: 'repeatable read',
    accessMode: 'read only',
  });

/**
 * The same for the pools of one template, after the caller has locked the preset it acts on. Builds in progress are read before
 * those that succeeded: one that ends in between counts twice, which makes too few prebuilds until the next look, never too many.
 */
export const readPoolsOfTemplate = (tx: Db, templateId: string, options: SnapshotOptions): Promise<PrebuildSnapshot> =>
  readPools(
    tx,
    { prebuilds: sql`and w.template_id = ${templateId}`, templates: sql`and t.id = ${templateId}` },
    options,
  );

/** What is added to the conditions on prebuilds and on templates. */
interface Scope {
  readonly prebuilds: SQL;
  readonly templates: SQL;
}
const everywhere: Scope = { prebuilds: sql``, templates: sql`` };

async function readPools(tx: Db, scope: Scope, options: SnapshotOptions): Promise<PrebuildSnapshot> {
  const { rules, now, backoffLookbackMs, quotaEnabled } = options;
  const [presets, schedules] = await pipelined([listPoolPresets(tx, scope, rules), listSchedules(tx, scope)]);
  if (presets.length === 0) return nothing;
  const scheduled = new Map<string, (typeof schedules)[number][]>();
  for (const row of schedules) scheduled.set(row.presetId, [...(scheduled.get(row.presetId) ?? []), row]);
  const pools = presets.map((preset) => ({ ...preset, schedules: scheduled.get(preset.id) ?? [] }));
  const [inProgress, running, starts, failed] = await pipelined([
    countInProgress(tx, scope),
    listRunning(tx, scope),
    listStartsOfFailing(tx, scope, quotaEnabled),
    rules.failedRetentionMs === 0 ? [] : listFailed(tx, scope),
  ]);
  const active = new Map(pools.flatMap((pool) => (pool.active ? [[pool.id, pool]] : [])));
  return {
    presets: pools,
    running,
    inProgress: inProgress.filter(({ active }) => active),
    pendingNonActive: inProgress.filter(({ active, untaken }) => untaken && !active),
    ...poolFailures(starts, {
      now,
      lookbackMs: backoffLookbackMs,
      hardLimit: rules.failureHardLimit,
      desired: (presetId) => {
        const pool = active.get(presetId);
        return pool && desiredAt(pool, now).desired;
      },
    }),
    failed,
    inFlight: inProgress.reduce((sum, { count }) => sum + count, 0),
  };
}

const nothing: PrebuildSnapshot = {
  presets: [],
  running: [],
  inProgress: [],
  pendingNonActive: [],
  backoff: [],
  hardLimited: [],
  quotaBlocked: [],
  failed: [],
  inFlight: 0,
};

/** Presets of active versions, and of others those of which something runs or waits. External agents have no pools (spec/05 §15). */
async function listPoolPresets(
  tx: Db,
  scope: Scope,
  { failedRetentionMs }: PrebuildRules,
): Promise<Omit<PoolPreset, 'schedules'>[]> {
  // What failed is kept, unless there is a time after which it goes.
  const isLeft =
    failedRetentionMs === 0 ? sql`${isRunning} or ${isUntaken}` : sql`${isRunning} or ${isUntaken} or ${hasFailed}`;
  const rows = await tx.execute<{
    id: string;
    name: string;
    template_id: string;
    template_name: string;
    version_id: string;
    version_name: string;
    organization_id: string;
    organization_name: string;
    active: boolean;
    desired_instances: number;
    invalidate_after_secs: number | null;
    scheduling_timezone: string;
    prebuild_status: PoolPreset['status'];
    last_invalidated_at: string | null;
  }>(sql`
    with wanted as (
      select p.id from templates t
      join template_version_presets p on p.template_version_id = t.active_version_id and p.desired_instances is not null
      where t.deleted = false ${scope.templates}
      union
      select ${currentPreset} from ${livePrebuilds} where ${isLivePrebuild} ${scope.prebuilds} and (${isLeft})
    )
    select p.id, p.name, t.id as template_id, t.name as template_name, v.id as version_id, v.name as version_name,
      o.id as organization_id, o.name as organization_name,
      t.active_version_id = v.id and not t.deleted and t.deprecated = '' and v.has_external_agent is not true as active,
      p.desired_instances, p.invalidate_after_secs, p.scheduling_timezone, p.prebuild_status, p.last_invalidated_at
    from wanted
    join template_version_presets p on p.id = wanted.id and p.desired_instances is not null
    join template_versions v on v.id = p.template_version_id
    join templates t on t.id = v.template_id
    join organizations o on o.id = t.organization_id
    order by p.id`);
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    templateId: row.template_id,
    templateName: row.template_name,
    versionId: row.version_id,
    versionName: row.version_name,
    organizationId: row.organization_id,
    organizationName: row.organization_name,
    active: row.active,
    desiredInstances: row.desired_instances,
    invalidateAfterSecs: row.invalidate_after_secs,
    timezone: row.scheduling_timezone,
    status: row.prebuild_status,
    lastInvalidatedAt: row.last_invalidated_at === null ? null : new Date(row.last_invalidated_at),
  }));
}

/** Of active versions, in the order of their declaration. */
async function listSchedules(tx: Db, scope: Scope) {
  const rows = await tx.execute<{ preset_id: string; cron_expression: string; desired_instances: number }>(sql`
    select s.preset_id, s.cron_expression, s.desired_instances
    from templates t
    join template_version_presets p on p.template_version_id = t.active_version_id and p.desired_instances is not null
    join template_version_preset_prebuild_schedules s on s.preset_id = p.id
    where t.deleted = false ${scope.templates}
    order by s.preset_id, s.position`);
  return rows.map((row) => ({
    presetId: row.preset_id,
    cronExpression: row.cron_expression,
    desiredInstances: row.desired_instances,
  }));
}

async function listRunning(tx: Db, scope: Scope): Promise<PrebuildSnapshot['running']> {
  const rows = await tx.execute<{
    id: string;
    name: string;
    preset_id: string | null;
    ready: boolean;
    created_at: string;
  }>(sql`
    select w.id, w.name, ${currentPreset} as preset_id, ${isReady} as ready, w.created_at
    from ${livePrebuilds} where ${isLivePrebuild} ${scope.prebuilds} and ${isRunning}`);
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    presetId: row.preset_id,
    ready: row.ready,
    createdAt: new Date(row.created_at),
  }));
}

/** Builds of pools that are not over; `active` = of the active version of their template, `untaken` = no worker has it yet. */
async function countInProgress(tx: Db, scope: Scope) {
  const rows = await tx.execute<{
    preset_id: string;
    transition: 'start' | 'stop' | 'delete';
    active: boolean;
    untaken: boolean;
    count: number;
  }>(sql`
    select ${currentPreset} as preset_id, b.transition, t.active_version_id = b.template_version_id as active,
      (${isUntaken}) as untaken, count(*)::int as count
    from ${livePrebuilds} join templates t on t.id = w.template_id
    where ${isLivePrebuild} ${scope.prebuilds} and b.active and j.completed_at is null
    group by 1, 2, 3, 4`);
  return rows.map((row) => ({ ...row, presetId: row.preset_id }));
}

/**
 * The starts of those presets of active versions that had failures, newest first for each preset: latest builds of prebuilds, with
 * what an administrator's retry forgives left out. Few rows, and of a healthy deployment none.
 */
async function listStartsOfFailing(tx: Db, scope: Scope, quotaEnabled: boolean): Promise<PoolStart[]> {
  const owner = sql`${PREBUILDS_SYSTEM_USER_ID}::uuid`;
  const organization = sql`r.organization_id`;
  const rows = await tx.execute<{
    preset_id: string;
    id: string;
    created_at: string;
    failed: boolean;
    refused: boolean;
    blocked: boolean;
  }>(sql`
    with starts as materialized (
      select b.template_version_preset_id as preset_id, b.id, b.created_at, j.job_status = 'failed' as failed,
        j.error_code is not distinct from 'INSUFFICIENT_QUOTA' as refused, w.organization_id, b.daily_cost
      from ${livePrebuilds}
      join template_version_presets p on p.id = b.template_version_preset_id
      join templates t on t.id = w.template_id and t.active_version_id = p.template_version_id and t.deleted = false
      where ${isLivePrebuild} ${scope.prebuilds} and b.transition = 'start'
        and (p.failure_reset_at is null or b.created_at > p.failure_reset_at)
    ), ranked as (
      select s.*, row_number() over (partition by preset_id order by created_at desc, id) as place
      from starts s where preset_id in (select preset_id from starts where failed)
    )
    select preset_id, id, created_at, failed, refused,
      case when ${quotaEnabled}::boolean and refused and place = 1
        then ${budgetOf(owner, organization)} < daily_cost + ${consumedBy(owner, organization)} else false end as blocked
    from ranked r order by preset_id, place`);
  return rows.map((row) => ({
    presetId: row.preset_id,
    buildId: row.id,
    createdAt: new Date(row.created_at),
    failed: row.failed,
    refused: row.refused,
    blocked: row.blocked,
  }));
}

async function listFailed(tx: Db, scope: Scope): Promise<PrebuildSnapshot['failed']> {
  const rows = await tx.execute<{ id: string; preset_id: string | null; created_at: string }>(sql`
    select w.id, ${currentPreset} as preset_id, b.created_at
    from ${livePrebuilds} where ${isLivePrebuild} ${scope.prebuilds} and ${hasFailed}`);
  return rows.map((row) => ({ id: row.id, presetId: row.preset_id, createdAt: new Date(row.created_at) }));
}
