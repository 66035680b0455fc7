import { and, eq, inArray, isNull, ne, sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { Db } from '../client.ts';
import { templates } from '../schema/templates.ts';
import { workspaces } from '../schema/workspaces.ts';

export interface Dormancy {
  readonly id: string;
  readonly dormantAt: Date;
  /** When it is deleted unless it is woken; null = never. */
  readonly deletingAt: Date | null;
}

/**
 * Puts workspaces to sleep from `now` on; each one's deletion follows from its own template. Prebuilds, deleted ones and those that
 * are dormant already are left as they are and not answered. Stopping them is the caller's. Source: spec/04 §5.3.
 */
export async function markDormant(tx: Db, workspaceIds: readonly string[], now: Date): Promise<Dormancy[]> {
  if (workspaceIds.length === 0) return [];
  const at = sql`${now.toISOString()}::timestamptz`;
  const rows = await tx
    .update(workspaces)
    .set({
      dormantAt: now,
      deletingAt: sql`case when ${templates.timeTilDormantAutodeleteMs} > 0
        then ${at} + ${templates.timeTilDormantAutodeleteMs} * interval '1 millisecond' end`,
      nextStartAt: null,
      updatedAt: now,
    })
    .from(templates)
    .where(
      and(
        eq(templates.id, workspaces.templateId),
        inArray(workspaces.id, [...workspaceIds]),
        eq(workspaces.deleted, false),
        isNull(workspaces.dormantAt),
        ne(workspaces.ownerId, PREBUILDS_SYSTEM_USER_ID),
      ),
    )
    .returning({ id: workspaces.id, dormantAt: workspaces.dormantAt, deletingAt: workspaces.deletingAt });
  return rows.map(({ id, deletingAt }) => ({ id, dormantAt: now, deletingAt }));
}

/**
 * Wakes a workspace: it counts as used now, else the next tick would put it back to sleep, and what its stops and deletions
 * failed at before is forgotten. Source: spec/04 §5.3.
 */
export async function wakeWorkspace(
  tx: Db,
  workspace: { readonly id: string; readonly nextStartAt: Date | null; readonly now: Date },
): Promise<void> {
  await tx
    .update(workspaces)
    .set({
      dormantAt: null,
      deletingAt: null,
      lastUsedAt: sql`greatest(last_used_at, ${workspace.now.toISOString()}::timestamptz)`,
      nextStartAt: workspace.nextStartAt,
      lifecycleRetryAfter: null,
      lifecycleAttempts: 0,
      updatedAt: workspace.now,
    })
    .where(eq(workspaces.id, workspace.id));
}
