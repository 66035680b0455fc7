import { eq, sql } from 'drizzle-orm';
import type { BuildAftermath } from '../../domain/build-aftermath.ts';
import type { LifecycleTemplate, LifecycleWorkspace } from '../../domain/lifecycle.ts';
import type { Transition } from '../../domain/jobs.ts';
import type { Db } from '../client.ts';
import { workspaces } from '../schema/workspaces.ts';

/** What the end of a build is decided on, of the build, its workspace, template and owner. */
export interface BuildEndFacts {
  readonly now: Date;
  readonly build: {
    readonly id: string;
    readonly number: number;
    readonly transition: Transition;
    readonly reason: string;
    readonly refreshOnly: boolean;
    readonly isLatest: boolean;
    readonly createdAt: Date;
    readonly initiatorId: string;
    readonly initiatorName: string;
    readonly versionName: string;
    readonly previous: { readonly deadline: Date | null; readonly wasFailure: boolean } | null;
  };
  readonly workspace: LifecycleWorkspace & {
    readonly id: string;
    readonly name: string;
    readonly templateId: string;
    readonly organizationId: string;
  };
  readonly template: LifecycleTemplate & {
    readonly name: string;
    readonly autostopRequirementDaysOfWeek: number;
    readonly autostopRequirementWeeks: number;
  };
  readonly owner: { readonly status: string; readonly name: string; readonly quietHoursSchedule: string };
  readonly organizationName: string;
}

interface Row extends Record<string, unknown> {
  facts: string;
}

/**
 * Locks the workspace of a build that ends, and holds its template: a change of the template's settings sees either the
 * workspace as this transaction leaves it, or is seen here. In this order, as the command that changes them does.
 */
export async function lockBuildEnd(tx: Db, buildId: string): Promise<BuildEndFacts | undefined> {
  const [locked] = await tx.execute<{ id: string }>(sql`
    select w.id from templates t
    join workspaces w on w.template_id = t.id
    join workspace_builds b on b.workspace_id = w.id
    where b.id = ${buildId}
    for key share of t for update of w`);
  if (locked === undefined) return undefined;
  // A statement of its own: it sees what those who held the locks have committed.
  const [row] = await tx.execute<Row>(sql`
    select json_build_object(
      'now', now(),
      'build', json_build_object('id', b.id, 'number', b.build_number, 'transition', b.transition, 'reason', b.reason,
        'refreshOnly', b.refresh_only, 'isLatest', b.is_latest, 'createdAt', b.created_at, 'initiatorId', b.initiator_id,
        'initiatorName', i.username, 'versionName', v.name,
        'previous', case when p.id is not null then json_build_object('deadline', p.deadline,
          'wasFailure', pj.job_status = 'failed' or (pj.job_status = 'canceled' and p.transition = 'start')) end),
      'workspace', json_build_object('id', w.id, 'name', w.name, 'templateId', w.template_id,
        'organizationId', w.organization_id, ${workspaceFacts}),
      'template', json_build_object('name', t.name, ${templateFacts},
        'autostopRequirementDaysOfWeek', t.autostop_requirement_days_of_week,
        'autostopRequirementWeeks', t.autostop_requirement_weeks),
      'owner', json_build_object('status', u.status, 'name', u.username, 'quietHoursSchedule', u.quiet_hours_schedule),
      'organizationName', o.name)::text as facts
    from workspace_builds b
    join workspaces w on w.id = b.workspace_id
    join templates t on t.id = w.template_id
    join template_versions v on v.id = b.template_version_id
    join organizations o on o.id = w.organization_id
    join users u on u.id = w.owner_id
    join users i on i.id = b.initiator_id
    left join workspace_builds p on p.workspace_id = w.id and p.build_number = b.build_number - 1
    left join provisioner_jobs pj on pj.id = p.job_id
    where b.id = ${buildId}`);
  return row === undefined ? undefined : reviveInstants<BuildEndFacts>(row.facts);
}

/** Members of the JSON of LifecycleWorkspace, of the alias `w`. */
export const workspaceFacts = sql.raw(`'ownerId', w.owner_id, 'deleted', w.deleted,
  'autostartSchedule', w.autostart_schedule, 'nextStartAt', w.next_start_at, 'ttlMs', w.ttl_ms,
  'lastUsedAt', w.last_used_at, 'dormantAt', w.dormant_at, 'deletingAt', w.deleting_at, 'failedAt', w.failed_at,
  'lifecycleRetryAfter', w.lifecycle_retry_after, 'lifecycleAttempts', w.lifecycle_attempts`);

/** Members of the JSON of LifecycleTemplate, of the alias `t`. */
export const templateFacts = sql.raw(`'deleted', t.deleted, 'allowUserAutostart', t.allow_user_autostart,
  'allowUserAutostop', t.allow_user_autostop, 'autostartBlockDaysOfWeek', t.autostart_block_days_of_week,
  'defaultTtlMs', t.default_ttl_ms, 'activityBumpMs', t.activity_bump_ms, 'failureTtlMs', t.failure_ttl_ms,
  'timeTilDormantMs', t.time_til_dormant_ms, 'timeTilDormantAutodeleteMs', t.time_til_dormant_autodelete_ms,
  'timeTilAutostopNotifyMs', t.time_til_autostop_notify_ms`);

const instantKeys = new Set([
  'now',
  'createdAt',
  'nextStartAt',
  'lastUsedAt',
  'dormantAt',
  'deletingAt',
  'failedAt',
  'lifecycleRetryAfter',
  'deadline',
  'maxDeadline',
  'notifiedAutostopDeadline',
  'claimedAt',
]);

/** JSON of one of these statements with its instants as `Date`. */
export const reviveInstants = <T>(json: string): T =>
  JSON.parse(json, (key, value: unknown) =>
    typeof value === 'string' && instantKeys.has(key) ? new Date(value) : value,
  ) as T;

/** Writes what the end of its latest build means for a workspace; `deleted` frees its name. */
export async function endBuildOfWorkspace(
  tx: Db,
  workspaceId: string,
  { deleted, ...aftermath }: Omit<BuildAftermath, 'tellsOwner'> & { readonly deleted: boolean },
): Promise<void> {
  await tx
    .update(workspaces)
    .set({ ...aftermath, ...(deleted && { deleted }), updatedAt: sql`now()` })
    .where(eq(workspaces.id, workspaceId));
}
