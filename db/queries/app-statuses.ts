import { type SQL, inArray, sql } from 'drizzle-orm';
import { type Db, preparedByIds } from '../client.ts';
import { workspaceAppStatuses } from '../schema/agent-reports.ts';
import { liveWorkspaceAgents, workspaceApps, workspaceResources } from '../schema/workspace-agents.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

const columns = {
  id: workspaceAppStatuses.id,
  createdAt: workspaceAppStatuses.createdAt,
  agentId: workspaceAppStatuses.agentId,
  appId: workspaceAppStatuses.appId,
  workspaceId: workspaceAppStatuses.workspaceId,
  state: workspaceAppStatuses.state,
  message: workspaceAppStatuses.message,
  uri: workspaceAppStatuses.uri,
};

/** Shown with an app; a task reports for hours. */
const statusesPerApp = 20;

/** The newest statuses of the apps of the agents whose ids `agentIds` selects, newest first. */
export function selectAppStatuses(db: Db, agentIds: SQL) {
  const newest = db
    .select(columns)
    .from(workspaceAppStatuses)
    .where(sql`${workspaceAppStatuses.appId} = ${workspaceApps.id}`)
    .orderBy(sql`${workspaceAppStatuses.createdAt} desc`)
    .limit(statusesPerApp)
    .as('newest');
  return db
    .select({
      id: newest.id,
      createdAt: newest.createdAt,
      agentId: newest.agentId,
      appId: newest.appId,
      workspaceId: newest.workspaceId,
      state: newest.state,
      message: newest.message,
      uri: newest.uri,
    })
    .from(workspaceApps)
    .innerJoinLateral(newest, sql`true`)
    .where(inArray(workspaceApps.agentId, agentIds))
    .orderBy(sql`${newest.createdAt} desc`, newest.id);
}
export type AppStatusRow = Awaited<ReturnType<typeof selectAppStatuses>>[number];

/**
 * The newest status of each workspace, when it belongs to its newest start build (a refresh is none): what the last agents said
 * counts until there are new ones, also while the workspace is stopped. Keys are workspace ids.
 */
export async function latestAppStatuses(db: Db, workspaceIds: readonly string[]): Promise<Map<string, AppStatusRow>> {
  if (workspaceIds.length === 0) return new Map();
  const rows = await latestOfWorkspaces(db, workspaceIds);
  return new Map(rows.map((row) => [row.workspaceId, row]));
}
const latestOfWorkspaces = preparedByIds<AppStatusRow>((db, among) => {
  const newest = db
    .select({ ...columns, buildNumber: workspaceBuilds.buildNumber })
    .from(workspaceAppStatuses)
    .innerJoin(liveWorkspaceAgents, sql`${liveWorkspaceAgents.id} = ${workspaceAppStatuses.agentId}`)
    .innerJoin(workspaceResources, sql`${workspaceResources.id} = ${liveWorkspaceAgents.resourceId}`)
    .innerJoin(workspaceBuilds, sql`${workspaceBuilds.jobId} = ${workspaceResources.jobId}`)
    .where(sql`${workspaceAppStatuses.workspaceId} = ${workspaces.id}`)
    .orderBy(sql`${workspaceAppStatuses.createdAt} desc`)
    .limit(1)
    .as('newest');
  return db
    .select({
      id: newest.id,
      createdAt: newest.createdAt,
      agentId: newest.agentId,
      appId: newest.appId,
      workspaceId: newest.workspaceId,
      state: newest.state,
      message: newest.message,
      uri: newest.uri,
    })
    .from(workspaces)
    .innerJoinLateral(newest, sql`true`)
    .where(
      sql`${among(workspaces.id)} and not exists (select 1 from workspace_builds later
        where later.workspace_id = ${workspaces.id} and later.build_number > ${newest.buildNumber}
          and later.transition = 'start' and not later.refresh_only)`,
    )
    .prepare('latest_app_statuses');
});
