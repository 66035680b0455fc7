import { and, eq } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { liveWorkspaceAgents, workspaceAgentConnections, workspaceResources } from '../schema/workspace-agents.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';
import { workspaceAuthColumns } from './auth-rows.ts';

/** Where a live agent stands: the workspace that decides who may see it, and whether it is there. Agents of imports have no place. */
export async function findAgentPlace(db: Db, agentId: string) {
  const [row] = await db
    .select({
      agentId: liveWorkspaceAgents.id,
      buildId: workspaceBuilds.id,
      workspace: workspaceAuthColumns,
      connection: {
        createdAt: liveWorkspaceAgents.createdAt,
        connectionTimeoutSeconds: liveWorkspaceAgents.connectionTimeoutSeconds,
        firstConnectedAt: workspaceAgentConnections.firstConnectedAt,
        lastConnectedAt: workspaceAgentConnections.lastConnectedAt,
        disconnectedAt: workspaceAgentConnections.disconnectedAt,
      },
    })
    .from(liveWorkspaceAgents)
    .innerJoin(workspaceAgentConnections, eq(workspaceAgentConnections.agentId, liveWorkspaceAgents.id))
    .innerJoin(workspaceResources, eq(workspaceResources.id, liveWorkspaceAgents.resourceId))
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, workspaceResources.jobId))
    .innerJoin(workspaces, and(eq(workspaces.id, workspaceBuilds.workspaceId), eq(workspaces.deleted, false)))
    .where(eq(liveWorkspaceAgents.id, agentId));
  return row;
}
export type AgentPlace = NonNullable<Awaited<ReturnType<typeof findAgentPlace>>>;
