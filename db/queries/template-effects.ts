import { and, eq, gt, inArray, isNotNull, isNull, ne, sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { Db } from '../client.ts';
import { prebuildsChannel, workspacesChannel } from '../notifications.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templateVersionPresets, templateVersions, templates } from '../schema/templates.ts';
import { users } from '../schema/users.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

/** A workspace of a template whose settings change. */
export interface AffectedWorkspace {
  readonly id: string;
  readonly ownerId: string;
  readonly autostartSchedule: string | null;
  readonly nextStartAt: Date | null;
  readonly dormantAt: Date | null;
  readonly ttlMs: number | null;
}

/**
 * Live workspaces of people after `after`, in the order of their ids and locked: nobody sets a schedule while it is computed
 * what follows from the one that is read. A prebuild has no automatic life of its own and is never touched.
 */
export const lockAffectedWorkspaces = (
  tx: Db,
  templateId: string,
  page: { after: string | undefined; limit: number },
): Promise<AffectedWorkspace[]> =>
  tx
    .select({
      id: workspaces.id,
      ownerId: workspaces.ownerId,
      autostartSchedule: workspaces.autostartSchedule,
      nextStartAt: workspaces.nextStartAt,
      dormantAt: workspaces.dormantAt,
      ttlMs: workspaces.ttlMs,
    })
    .from(workspaces)
    .where(
      and(
        eq(workspaces.templateId, templateId),
        eq(workspaces.deleted, false),
        ne(workspaces.ownerId, PREBUILDS_SYSTEM_USER_ID),
        page.after === undefined ? undefined : gt(workspaces.id, page.after),
      ),
    )
    .orderBy(workspaces.id)
    .limit(page.limit)
    .for('update');

export async function setTtl(tx: Db, workspaceIds: readonly string[], ttlMs: number | null): Promise<void> {
  await tx
    .update(workspaces)
    .set({ ttlMs })
    .where(inArray(workspaces.id, [...workspaceIds]));
}

/** Running builds stop only at their hard limit; null = not by themselves. */
export async function clearDeadlines(tx: Db, workspaceIds: readonly string[]): Promise<void> {
  await tx
    .update(workspaceBuilds)
    .set({ deadline: sql`max_deadline` })
    .where(
      and(
        inArray(workspaceBuilds.workspaceId, [...workspaceIds]),
        eq(workspaceBuilds.isLatest, true),
        eq(workspaceBuilds.transition, 'start'),
        isNotNull(workspaceBuilds.deadline),
      ),
    );
}

export async function setNextStarts(
  tx: Db,
  starts: readonly { readonly id: string; readonly at: Date | null }[],
): Promise<void> {
  if (starts.length === 0) return;
  await tx.execute(sql`
    update workspaces w set next_start_at = r.at
    from json_to_recordset(${JSON.stringify(starts)}::text::json) as r(id uuid, at timestamptz) where w.id = r.id`);
}

/** The builds that these workspaces run on, whose deadlines a required stop bounds, locked, and with what the owners set. */
export const lockRunningBuilds = (tx: Db, workspaceIds: readonly string[]) =>
  tx
    .select({
      id: workspaceBuilds.id,
      workspaceId: workspaceBuilds.workspaceId,
      deadline: workspaceBuilds.deadline,
      maxDeadline: workspaceBuilds.maxDeadline,
      completedAt: provisionerJobs.completedAt,
      ownerStatus: users.status,
      quietHoursSchedule: users.quietHoursSchedule,
    })
    .from(workspaceBuilds)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .innerJoin(workspaces, eq(workspaces.id, workspaceBuilds.workspaceId))
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .where(
      and(
        inArray(workspaceBuilds.workspaceId, [...workspaceIds]),
        eq(workspaceBuilds.isLatest, true),
        eq(workspaceBuilds.transition, 'start'),
        eq(provisionerJobs.jobStatus, 'succeeded'),
        sql`${workspaceBuilds.hasExternalAgent} is not true`,
      ),
    )
    .orderBy(workspaceBuilds.id)
    .for('update', { of: workspaceBuilds });

export async function setDeadlines(
  tx: Db,
  builds: readonly { readonly id: string; readonly deadline: Date | null; readonly maxDeadline: Date | null }[],
): Promise<void> {
  if (builds.length === 0) return;
  await tx.execute(sql`
    update workspace_builds b set deadline = r.deadline, max_deadline = r."maxDeadline"
    from json_to_recordset(${JSON.stringify(builds)}::text::json)
      as r(id uuid, deadline timestamptz, "maxDeadline" timestamptz)
    where b.id = r.id`);
}

/** `deleting_at` of the dormant ones from their `dormant_at`; 0 = never. Answers those that are deleted at another time than before. */
export async function setDeletions(tx: Db, workspaceIds: readonly string[], afterMs: number) {
  const at = afterMs === 0 ? sql`null::timestamptz` : sql`dormant_at + ${afterMs} * interval '1 millisecond'`;
  const rows = await tx
    .update(workspaces)
    .set({ deletingAt: at })
    .where(
      and(
        inArray(workspaces.id, [...workspaceIds]),
        isNotNull(workspaces.dormantAt),
        sql`${workspaces.deletingAt} is distinct from ${at}`,
      ),
    )
    .returning({
      id: workspaces.id,
      name: workspaces.name,
      ownerId: workspaces.ownerId,
      templateId: workspaces.templateId,
      organizationId: workspaces.organizationId,
      deletingAt: workspaces.deletingAt,
    });
  return rows.flatMap(({ deletingAt, ...row }) => (deletingAt === null ? [] : [{ ...row, deletingAt }]));
}

/** `update_workspace_last_used_at`: everything that is awake counts as used now. */
export async function touchWorkspaces(tx: Db, workspaceIds: readonly string[], now: Date): Promise<void> {
  await tx
    .update(workspaces)
    .set({ lastUsedAt: sql`greatest(last_used_at, ${now.toISOString()}::timestamptz)` })
    .where(and(inArray(workspaces.id, [...workspaceIds]), isNull(workspaces.dormantAt)));
}

/** `update_workspace_dormant_at`: the time of dormant workspaces begins anew. */
export async function restartDormancy(tx: Db, workspaceIds: readonly string[], now: Date): Promise<void> {
  await tx
    .update(workspaces)
    .set({ dormantAt: now })
    .where(and(inArray(workspaces.id, [...workspaceIds]), isNotNull(workspaces.dormantAt)));
}

/** Wakes the watchers of all live workspaces of the template, on commit. */
export async function notifyTemplateWatchers(tx: Db, templateId: string): Promise<void> {
  await tx.execute(
    sql`select pg_notify(${workspacesChannel}, id::text) from workspaces where template_id = ${templateId} and not deleted`,
  );
}

/** Tells the reconciler of a new template, on commit, if its version has pools. */
export async function notifyNewPools(tx: Db, template: { id: string; activeVersionId: string }): Promise<void> {
  await tx.execute(sql`
    select pg_notify(${prebuildsChannel}, ${template.id}) where exists (
      select from template_version_presets
      where template_version_id = ${template.activeVersionId} and desired_instances is not null)`);
}

/** Lets the pools of the active version begin anew: failures from before count no longer. Returns the presets. */
export async function resetPoolFailures(tx: Db, templateId: string, now: Date): Promise<string[]> {
  const rows = await tx.execute<{ name: string }>(sql`
    update template_version_presets p
    set failure_reset_at = ${now.toISOString()}, prebuild_status = 'normal', prebuild_status_detail = ''
    from templates t
    where t.id = ${templateId} and p.template_version_id = t.active_version_id and p.desired_instances is not null
    returning p.name`);
  return rows.map(({ name }) => name).toSorted();
}

/** Marks the presets of the active version, so that older prebuilds are replaced; returns what was marked. */
export async function invalidatePresets(tx: Db, templateId: string, now: Date) {
  const rows = await tx
    .update(templateVersionPresets)
    .set({ lastInvalidatedAt: now })
    .from(templates)
    .innerJoin(templateVersions, eq(templateVersions.id, templates.activeVersionId))
    .where(
      and(
        eq(templates.id, templateId),
        eq(templateVersionPresets.templateVersionId, templateVersions.id),
        isNotNull(templateVersionPresets.desiredInstances),
      ),
    )
    .returning({
      templateName: templates.name,
      templateVersionName: templateVersions.name,
      presetName: templateVersionPresets.name,
    });
  return rows.toSorted((a, b) => (a.presetName < b.presetName ? -1 : 1));
}
