import { type SQL, and, eq, isNotNull, isNull, ne, sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { WorkspaceEffects } from '../../domain/template-settings.ts';
import type { Db } from '../client.ts';
import { prebuildsChannel, workspacesChannel } from '../notifications.ts';
import { templateVersionPresets, templateVersions, templates } from '../schema/templates.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

/** Live workspaces of people: a prebuild has no automatic life of its own and is never touched (spec/06 §6.1). */
const touched = (templateId: string, extra?: SQL) =>
  and(
    eq(workspaces.templateId, templateId),
    eq(workspaces.deleted, false),
    ne(workspaces.ownerId, PREBUILDS_SYSTEM_USER_ID),
    extra,
  );

/** Applies what a change of settings means for the template's workspaces; one statement per effect. */
export async function applyWorkspaceEffects(tx: Db, templateId: string, effects: WorkspaceEffects): Promise<void> {
  if (effects.ttlMs !== undefined) await tx.update(workspaces).set({ ttlMs: effects.ttlMs }).where(touched(templateId));
  if (effects.clearDeadlines)
    await tx
      .update(workspaceBuilds)
      .set({ deadline: sql`max_deadline` })
      .where(
        and(
          eq(workspaceBuilds.isLatest, true),
          eq(workspaceBuilds.transition, 'start'),
          isNotNull(workspaceBuilds.deadline),
          sql`${workspaceBuilds.workspaceId} in (${tx.select({ id: workspaces.id }).from(workspaces).where(touched(templateId))})`,
        ),
      );
  if (effects.clearNextStart) await tx.update(workspaces).set({ nextStartAt: null }).where(touched(templateId));
  if (effects.autodeleteAfterMs !== undefined) await setDeletingAt(tx, templateId, effects.autodeleteAfterMs);
}

/** `deleting_at` of dormant workspaces from their `dormant_at`; 0 = never. */
async function setDeletingAt(tx: Db, templateId: string, afterMs: number): Promise<void> {
  await tx
    .update(workspaces)
    .set({ deletingAt: afterMs === 0 ? null : sql`dormant_at + ${afterMs} * interval '1 millisecond'` })
    .where(touched(templateId, isNotNull(workspaces.dormantAt)));
}

/** `update_workspace_last_used_at`: everything that is awake counts as used now. */
export async function touchWorkspaces(tx: Db, templateId: string, now: Date): Promise<void> {
  await tx
    .update(workspaces)
    .set({ lastUsedAt: sql`greatest(last_used_at, ${now.toISOString()}::timestamptz)` })
    .where(touched(templateId, isNull(workspaces.dormantAt)));
}

/** `update_workspace_dormant_at`: the time of dormant workspaces begins anew. */
export async function restartDormancy(
  tx: Db,
  templateId: string,
  options: { now: Date; autodeleteAfterMs: number },
): Promise<void> {
  await tx
    .update(workspaces)
    .set({ dormantAt: options.now })
    .where(touched(templateId, isNotNull(workspaces.dormantAt)));
  await setDeletingAt(tx, templateId, options.autodeleteAfterMs);
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
