import { insertLifecycleRows } from '../bench/lifecycle/rows.ts';
import { notificationTemplates } from '../domain/notifications.ts';
import type { Context } from './context.ts';
import type { LifecycleWorkspaceRow } from './lifecycle-oracle.ts';
import { patiently } from './pools.ts';

/** Stopped workspaces of one user and one template. A worker of their queue is said to live, so that their builds may wait for it. */
export interface Storm {
  /** Of the template and its owner. */
  readonly name: string;
  readonly ids: readonly string[];
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
export const minuteOf = (ms: number): Date => new Date(Math.floor(ms / minuteMs) * minuteMs);

/** Daily at the minute of this instant. */
export const scheduleAt = (at: Date): string => `CRON_TZ=UTC ${at.getUTCMinutes()} ${at.getUTCHours()} * * *`;

/** Nothing of it is due before tomorrow unless it is said when. */
export async function insertStorm(
  { stack: { sql } }: Context,
  { name, workspaces, dueAt = new Date(Date.now() + dayMs) }: { name: string; workspaces: number; dueAt?: Date },
): Promise<Storm> {
  const at = minuteOf(dueAt.getTime());
  const tags = { scope: 'organization', owner: '', storm: name };
  await insertLifecycleRows(sql, { workspaces, name, tags, nextStartAt: at, schedule: scheduleAt(at) });
  const rows = await sql<{ id: string }[]>`
    select w.id from workspaces w join templates t on t.id = w.template_id where t.name = ${name} order by w.name, w.id`;
  return { name, ids: rows.map(({ id }) => id) };
}

/** As if it were the minute of their schedule. */
export const makeDue = ({ stack: { sql } }: Context, ids: readonly string[], at: Date): Promise<unknown> =>
  patiently(
    async () => sql`
      update workspaces set autostart_schedule = ${scheduleAt(at)}, next_start_at = ${at} where id = any(${[...ids]}::uuid[])`,
  );

/** Running since long, without a schedule, until this instant. */
export const makeRunning = ({ stack: { sql } }: Context, ids: readonly string[], until: Date): Promise<unknown> =>
  patiently(
    async () => sql`
      with awake as (
        update workspaces set autostart_schedule = null, next_start_at = null where id = any(${[...ids]}::uuid[]) returning id)
      update workspace_builds b set transition = 'start', deadline = ${until}
      from awake where b.workspace_id = awake.id and b.is_latest`,
  );

export async function readWorkspaces(
  { stack: { sql } }: Context,
  ids: readonly string[],
): Promise<LifecycleWorkspaceRow[]> {
  const { workspaceAutobuildFailed, workspaceManualBuildFailed } = notificationTemplates;
  const failures = [workspaceAutobuildFailed.id, workspaceManualBuildFailed.id];
  return patiently(
    () => sql<LifecycleWorkspaceRow[]>`
      with failed as (
        select unnest(targets) as id from notification_messages where notification_template_id = any(${failures}::uuid[]))
      select w.id, w.name, w.autostart_schedule is not null as scheduled, w.latest_build_id as "latestBuildId",
        (extract(epoch from w.next_start_at) * 1000)::float8 as "nextStartAtMs",
        (select count(*)::int from failed where failed.id = w.id) as "failureMessages",
        (select json_agg(json_build_object('id', b.id, 'number', b.build_number, 'transition', b.transition,
            'reason', b.reason, 'active', b.active, 'isLatest', b.is_latest, 'status', j.job_status,
            'over', j.completed_at is not null, 'tracked', j.workflow_started_at is not null, 'workflowId', j.workflow_id,
            'audits', (select count(*) from audit_logs a where a.resource_id = b.id),
            'parameters', (select count(*) from workspace_build_parameters p where p.workspace_build_id = b.id))
            order by b.build_number)
          from workspace_builds b join provisioner_jobs j on j.id = b.job_id where b.workspace_id = w.id) as builds
      from workspaces w where w.id = any(${[...ids]}::uuid[]) order by w.name, w.id`,
  );
}

/** Ends what nobody is going to build, and takes its worker away: later storms are not to be held up by it. */
export const retire = ({ stack: { sql } }: Context, storm: Storm): Promise<unknown> =>
  patiently(() =>
    sql.begin(async (tx) => {
      const ids = [...storm.ids];
      await tx`
          update provisioner_jobs j set canceled_at = now(), completed_at = now() from workspace_builds b
          where b.job_id = j.id and b.active and b.workspace_id = any(${ids}::uuid[])`;
      await tx`update workspace_builds set active = false where active and workspace_id = any(${ids}::uuid[])`;
      await tx`update workspaces set deleted = true where id = any(${ids}::uuid[])`;
      await tx`delete from provisioner_daemons where name = ${storm.name}`;
    }),
  );
