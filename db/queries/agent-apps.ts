import { and, desc, eq, sql } from 'drizzle-orm';
import type { AppStatusState } from '../../domain/app-status.ts';
import type { Db } from '../client.ts';
import { workspaceAppStatuses } from '../schema/agent-reports.ts';
import { workspaceApps } from '../schema/workspace-agents.ts';
import { workspaceBuilds } from '../schema/workspaces.ts';

export type AppHealthState = (typeof workspaceApps.$inferSelect)['health'];

/** What decides about a health report: the agent's own apps only. */
export async function listAppHealths(db: Db, agentId: string) {
  return db
    .select({ id: workspaceApps.id, health: workspaceApps.health, healthcheckUrl: workspaceApps.healthcheckUrl })
    .from(workspaceApps)
    .where(eq(workspaceApps.agentId, agentId));
}

/** Sets the healths that differ. Answers how many did. */
export async function setAppHealths(
  tx: Db,
  agentId: string,
  healths: readonly (readonly [id: string, health: AppHealthState])[],
): Promise<number> {
  const rows = JSON.stringify(healths.map(([id, health]) => ({ id, health })));
  const changed = await tx.execute(sql`
    update workspace_apps a set health = r.health
    from json_to_recordset(${rows}::text::json) as r(id uuid, health workspace_app_health)
    where a.id = r.id and a.agent_id = ${agentId} and a.health <> r.health
    returning a.id`);
  return changed.length;
}

/** The agent's app with this slug, locked: statuses of one app are compared and written one after the other. */
export async function lockAppBySlug(tx: Db, agentId: string, slug: string): Promise<{ id: string } | undefined> {
  const [row] = await tx
    .select({ id: workspaceApps.id })
    .from(workspaceApps)
    .where(and(eq(workspaceApps.agentId, agentId), eq(workspaceApps.slug, slug)))
    .for('no key update');
  return row;
}

export async function findLatestAppStatus(tx: Db, appId: string) {
  const [row] = await tx
    .select({
      createdAt: workspaceAppStatuses.createdAt,
      state: workspaceAppStatuses.state,
      message: workspaceAppStatuses.message,
      uri: workspaceAppStatuses.uri,
    })
    .from(workspaceAppStatuses)
    .where(eq(workspaceAppStatuses.appId, appId))
    .orderBy(desc(workspaceAppStatuses.createdAt))
    .limit(1);
  return row;
}

export interface NewAppStatus {
  readonly createdAt: Date;
  readonly agentId: string;
  readonly appId: string;
  readonly workspaceId: string;
  readonly state: AppStatusState;
  readonly message: string;
  readonly uri: string | null;
}
export async function insertAppStatus(tx: Db, status: NewAppStatus): Promise<void> {
  await tx.insert(workspaceAppStatuses).values(status);
}

export async function isAiTaskBuild(db: Db, buildId: string): Promise<boolean> {
  const [row] = await db
    .select({ hasAiTask: workspaceBuilds.hasAiTask })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.id, buildId));
  return row?.hasAiTask === true;
}
