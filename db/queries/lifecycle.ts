import { type SQL, and, eq, gt, sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { LifecycleBuild, LifecycleTemplate, LifecycleWorkspace } from '../../domain/lifecycle.ts';
import type { ParameterValue } from '../../domain/parameters.ts';
import { type Db, pipelined } from '../client.ts';
import { toJson } from '../json.ts';
import { notify, workspacesChannel } from '../notifications.ts';
import { templates } from '../schema/templates.ts';
import { workspaces } from '../schema/workspaces.ts';
import { reviveInstants, templateFacts, workspaceFacts } from './build-ends.ts';

/** Place in the list of what is due: everything up to it was looked at. `at` in PostgreSQL's own words, to the microsecond. */
export interface DueKey {
  readonly at: string;
  readonly id: string;
}
export const firstDue: DueKey = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' };

export const dueKinds = [
  'autostop',
  'suspended',
  'autostart',
  'retry',
  'failure',
  'dormancy',
  'dormant_stop',
  'delete',
  'reminder',
  'repair',
] as const;
export type DueKind = (typeof dueKinds)[number];

export interface DueWorkspace extends DueKey {
  readonly kind: DueKind;
  /** The version that its next build would use: those of one version run close together. */
  readonly versionId: string;
}

/** The minute that the database is in, and how far into it, ms. */
export async function readTick(db: Db): Promise<{ tick: Date; nowMs: number }> {
  const [row] = await db.execute<{ tick: string; now_ms: number }>(sql`
    select date_trunc('minute', now()) as tick, (extract(epoch from now()) * 1000)::float8 as now_ms`);
  return { tick: new Date(row!.tick), nowMs: row!.now_ms };
}

/**
 * Workspaces that may have something due, oldest first; whether they do is decided again under their locks. Each branch is a range
 * of an index of what is due, so that neither history nor the number of workspaces counts. Source: spec/04 §2.2.
 */
export async function scanDue(
  db: Db,
  { tick, after, limit }: { readonly tick: Date; readonly after: DueKey; readonly limit: number },
): Promise<DueWorkspace[]> {
  const repairs = tick.getUTCMinutes() % 15 === 7;
  const rows = await db.execute<{ kind: DueKind; at: string; id: string; version_id: string }>(sql`
    with input as materialized (
      select ${tick.toISOString()}::timestamptz as tick, ${after.at}::timestamptz as after_at, ${after.id}::uuid as after_id,
        ${limit}::int as page_size),
    due as (${repairs ? sql`${dueBranches} union all ${repairBranch}` : dueBranches}),
    page as (
      select (array_agg(kind order by due))[1] as kind, min(due) as due, id, (array_agg(template_version_id))[1] as last_version_id
      from due group by id order by min(due), id limit (select page_size from input))
    select p.kind, p.due::text as at, p.id,
      case when t.require_active_version or w.automatic_updates = 'always' then t.active_version_id else p.last_version_id end as version_id
    from page p join workspaces w on w.id = p.id join templates t on t.id = w.template_id
    order by p.due, p.id`);
  return rows.map(({ kind, at, id, version_id: versionId }) => ({ kind, at, id, versionId }));
}

// Each value is a parameter once, and the statement is the same text each time: it is planned once per connection.
const tickOfScan = sql.raw(`(select tick from input)`);
const afterAt = sql.raw(`(select after_at from input)`);
const ms = (column: string) => sql.raw(`${column} * interval '1 millisecond'`);
const latest = sql.raw(`join workspace_builds b on b.workspace_id = w.id and b.is_latest
  join provisioner_jobs j on j.id = b.job_id`);
const alive = sql.raw(`not w.deleted and w.owner_id <> '${PREBUILDS_SYSTEM_USER_ID}'::uuid and not b.active
  and b.has_external_agent is not true`);
const awake = sql`${alive} and w.dormant_at is null`;
const runs = sql.raw(`b.transition = 'start' and j.job_status = 'succeeded'`);
const mayRetry = sql`(w.lifecycle_retry_after is null or w.lifecycle_retry_after <= ${tickOfScan})`;

/** Rows of workspaces `w` with their latest builds `b`, from \`source\`, in the order in which they came to be due. */
const page = (due: SQL, source: SQL) => sql`
  select ${due} as due, w.id, b.template_version_id ${source}
    and (${due}, w.id) > (${afterAt}, (select after_id from input))
  order by ${due}, w.id limit (select page_size from input)`;
const branch = (kind: DueKind, due: SQL, source: SQL) => sql`
  (select '${sql.raw(kind)}' as kind, d.* from (${page(due, source)}) d)`;
/** The same for each row of a small table: a range of an index for each, never a join over all workspaces. */
const branchPer = (kind: DueKind, of: { each: string; due: SQL; source: SQL }) => sql`
  (select '${sql.raw(kind)}' as kind, d.* from ${sql.raw(of.each)} cross join lateral (${page(of.due, of.source)}) d
   order by d.due, d.id limit (select page_size from input))`;

const failureTtl = ms('t.failure_ttl_ms');
const dormantAfter = ms('t.time_til_dormant_ms');
const notifyBefore = ms('t.time_til_autostop_notify_ms');
const dueBranches = sql.join(
  [
    branch(
      'autostop',
      sql`b.deadline`,
      sql`from workspace_builds b join workspaces w on w.id = b.workspace_id join provisioner_jobs j on j.id = b.job_id
        where b.is_latest and b.deadline is not null and b.deadline <= ${tickOfScan} and b.deadline >= ${afterAt} and ${runs} and ${awake}`,
    ),
    branchPer('suspended', {
      each: `(select id from users where status = 'suspended' and deleted = false) u`,
      due: sql`w.last_used_at`,
      source: sql`from workspaces w ${latest} where w.owner_id = u.id and w.deleted = false and ${runs} and ${awake}`,
    }),
    branch(
      'autostart',
      sql`w.next_start_at`,
      sql`from workspaces w ${latest}
        where w.next_start_at is not null and w.next_start_at <= ${tickOfScan} and w.next_start_at >= ${afterAt} and ${awake}`,
    ),
    branch(
      'retry',
      sql`w.lifecycle_retry_after`,
      sql`from workspaces w ${latest}
        where w.lifecycle_retry_after is not null and w.lifecycle_retry_after <= ${tickOfScan} and w.failed_at is not null and ${awake}`,
    ),
    branchPer('failure', {
      each: '(select * from templates where failure_ttl_ms > 0) t',
      due: sql`w.failed_at + ${failureTtl}`,
      source: sql`from workspaces w ${latest}
        where w.template_id = t.id and w.failed_at is not null and w.failed_at < ${tickOfScan} - ${failureTtl} and ${mayRetry} and ${alive}`,
    }),
    branchPer('dormancy', {
      each: '(select * from templates where time_til_dormant_ms > 0) t',
      due: sql`w.last_used_at + ${dormantAfter}`,
      source: sql`from workspaces w ${latest}
        where w.template_id = t.id and w.last_used_at < ${tickOfScan} - ${dormantAfter} and ${awake}`,
    }),
    branch(
      'dormant_stop',
      sql`coalesce(w.lifecycle_retry_after, w.dormant_at)`,
      sql`from workspaces w ${latest}
        where w.dormant_at is not null and ${mayRetry} and ${alive}
          and (${runs} or (b.transition = 'stop' and j.job_status = 'failed'))`,
    ),
    branch(
      'delete',
      sql`w.deleting_at`,
      sql`from workspaces w join templates t on t.id = w.template_id ${latest}
        where w.deleting_at is not null and w.deleting_at < ${tickOfScan} and w.dormant_at is not null
          and t.time_til_dormant_autodelete_ms > 0 and ${mayRetry} and ${alive}`,
    ),
    branch(
      'reminder',
      sql`b.deadline - ${notifyBefore}`,
      sql`from workspace_builds b join workspaces w on w.id = b.workspace_id join provisioner_jobs j on j.id = b.job_id
        join templates t on t.id = w.template_id
        where b.is_latest and b.deadline is not null and b.deadline > ${tickOfScan}
          and b.deadline <= ${tickOfScan} + (
            select coalesce(max(time_til_autostop_notify_ms), 0) from templates where not deleted) * interval '1 millisecond'
          and b.deadline <= ${tickOfScan} + ${notifyBefore} and t.time_til_autostop_notify_ms > 0
          and b.notified_autostop_deadline is distinct from b.deadline and ${runs} and ${awake}`,
    ),
  ],
  sql` union all `,
);
/** Such rows come from defects and restores; those whose template allows no day stay as they are. */
const repairBranch = branch(
  'repair',
  tickOfScan,
  sql`from workspaces w join templates t on t.id = w.template_id ${latest}
    where w.autostart_schedule is not null and w.next_start_at is null and t.allow_user_autostart
      and not t.deleted and ${awake}`,
);

/**
 * Locks those of the workspaces that nobody else is at, in the order of their ids. Whoever decides about a workspace holds its row;
 * the advisory lock keeps two ticks apart even where the row has none yet.
 */
export async function lockDueWorkspaces(tx: Db, ids: readonly string[]): Promise<string[]> {
  const rows = await tx.execute<{ id: string }>(sql`
    with wanted as materialized (
      select value::uuid as id from json_array_elements_text(${JSON.stringify(ids)}::text::json)
      where pg_try_advisory_xact_lock(hashtextextended('lifecycle:' || value, 0)))
    select w.id from workspaces w join wanted on wanted.id = w.id order by w.id for update of w skip locked`);
  return rows.map(({ id }) => id);
}

export interface LifecycleRow {
  readonly workspace: LifecycleWorkspace & {
    readonly id: string;
    readonly name: string;
    readonly organizationId: string;
    readonly templateId: string;
    readonly automaticUpdates: 'always' | 'never';
    readonly claimedAt: Date | null;
    readonly userAcl: Readonly<Record<string, readonly string[]>>;
    readonly groupAcl: Readonly<Record<string, readonly string[]>>;
  };
  readonly template: LifecycleTemplate & {
    readonly name: string;
    readonly requireActiveVersion: boolean;
    readonly activeVersionId: string;
  };
  readonly owner: { readonly status: string; readonly name: string };
  readonly build: LifecycleBuild & {
    readonly id: string;
    readonly buildNumber: number;
    readonly active: boolean;
    readonly templateVersionId: string;
    readonly templateVersionPresetId: string | null;
    readonly parameters: readonly ParameterValue[];
  };
  /** Of a workspace that was claimed. */
  readonly claimProgress: { readonly succeeded: boolean; readonly handedOver: boolean } | null;
}

/** Everything that the decision about locked workspaces and their next builds rest on, read after the lock. */
export async function readLifecycleRows(tx: Db, ids: readonly string[]): Promise<LifecycleRow[]> {
  const rows = await tx.execute<{ facts: string }>(sql`
    select json_build_object(
      'workspace', json_build_object('id', w.id, 'name', w.name, 'organizationId', w.organization_id,
        'templateId', w.template_id, 'automaticUpdates', w.automatic_updates, 'claimedAt', w.claimed_at,
        'userAcl', w.user_acl, 'groupAcl', w.group_acl, ${workspaceFacts}),
      'template', json_build_object('name', t.name, 'requireActiveVersion', t.require_active_version,
        'activeVersionId', t.active_version_id, ${templateFacts}),
      'owner', json_build_object('status', u.status, 'name', u.username),
      'build', json_build_object('id', b.id, 'buildNumber', b.build_number, 'transition', b.transition, 'reason', b.reason,
        'status', j.job_status, 'active', b.active, 'deadline', b.deadline, 'maxDeadline', b.max_deadline,
        'notifiedAutostopDeadline', b.notified_autostop_deadline, 'hasExternalAgent', b.has_external_agent,
        'templateVersionId', b.template_version_id, 'templateVersionPresetId', b.template_version_preset_id,
        'parameters', coalesce((select json_agg(json_build_object('name', p.name, 'value', p.value) order by p.name)
          from workspace_build_parameters p where p.workspace_build_id = b.id), '[]')),
      'claimProgress', case when w.claimed_at is not null then (
        select json_build_object('succeeded', coalesce(bool_or(cj.job_status = 'succeeded'), false),
          'handedOver', coalesce(bool_or(c.handed_over), false))
        from workspace_builds c join provisioner_jobs cj on cj.id = c.job_id
        where c.workspace_id = w.id and c.prebuild_stage = 'claim') end)::text as facts
    from workspaces w
    join workspace_builds b on b.workspace_id = w.id and b.is_latest
    join provisioner_jobs j on j.id = b.job_id
    join templates t on t.id = w.template_id
    join users u on u.id = w.owner_id
    where w.id in (select value::uuid from json_array_elements_text(${JSON.stringify(ids)}::text::json))
    order by w.id`);
  return rows.map(({ facts }) => reviveInstants<LifecycleRow>(facts));
}

/** What changes of a workspace without a build; what is absent stays. */
export interface LifecycleChange {
  readonly id: string;
  readonly buildId: string;
  readonly nextStartAt?: Date | null;
  readonly clearsRetry?: boolean;
  readonly deadline?: Date;
  /** The owner was reminded of the deadline as it is. */
  readonly reminded?: boolean;
}

export async function writeLifecycleChanges(tx: Db, changes: readonly LifecycleChange[]): Promise<void> {
  const moved = changes.filter(({ nextStartAt, deadline }) => nextStartAt !== undefined || deadline !== undefined);
  if (moved.length === 0 && !changes.some(({ clearsRetry, reminded }) => clearsRetry === true || reminded === true))
    return;
  const rows = toJson(
    changes.map((change) => ({
      ...change,
      moves: change.nextStartAt !== undefined,
      clears: change.clearsRetry === true,
    })),
  );
  const recordset = sql`json_to_recordset(${rows}::text::json) as n(id uuid, "buildId" uuid, "nextStartAt" timestamptz,
    moves boolean, clears boolean, deadline timestamptz, reminded boolean)`;
  await pipelined([
    tx.execute(sql`
      update workspaces w set next_start_at = case when n.moves then n."nextStartAt" else w.next_start_at end,
        lifecycle_retry_after = case when n.clears then null else w.lifecycle_retry_after end
      from ${recordset} where w.id = n.id and (n.moves or n.clears)`),
    tx.execute(sql`
      update workspace_builds b set deadline = coalesce(n.deadline, b.deadline),
        notified_autostop_deadline = case when n.reminded then b.deadline else b.notified_autostop_deadline end
      from ${recordset} where b.id = n."buildId" and (n.deadline is not null or n.reminded)`),
    moved.length > 0 && notify(tx, workspacesChannel, moved.map(({ id }) => id).join(',')),
  ]);
}

/** Awake workspaces of people whose next start is to come, locked; those that somebody is at are looked at another time. */
export async function lockFutureStarts(
  tx: Db,
  page: { readonly now: Date; readonly after: string; readonly limit: number },
) {
  return tx
    .select({
      id: workspaces.id,
      ownerId: workspaces.ownerId,
      deleted: workspaces.deleted,
      dormantAt: workspaces.dormantAt,
      autostartSchedule: workspaces.autostartSchedule,
      nextStartAt: workspaces.nextStartAt,
      allowUserAutostart: templates.allowUserAutostart,
      autostartBlockDaysOfWeek: templates.autostartBlockDaysOfWeek,
    })
    .from(workspaces)
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .where(and(eq(workspaces.deleted, false), gt(workspaces.nextStartAt, page.now), gt(workspaces.id, page.after)))
    .orderBy(workspaces.id)
    .limit(page.limit)
    .for('update', { of: workspaces, skipLocked: true });
}
