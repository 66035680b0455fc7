import { and, eq } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { workspaceAgents, workspaceResources } from '../schema/workspace-agents.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

/**
 * The agent with this token hash, when neither it nor its workspace is deleted and its build is the workspace's latest.
 * Source: spec/06 §1.1.
 */
export async function findAgentByToken(db: Db, authTokenHash: Buffer) {
  const [row] = await db
    .select({
      agentId: workspaceAgents.id,
      workspaceId: workspaces.id,
      ownerId: workspaces.ownerId,
      organizationId: workspaces.organizationId,
      buildId: workspaceBuilds.id,
    })
    .from(workspaceAgents)
    .innerJoin(workspaceResources, eq(workspaceResources.id, workspaceAgents.resourceId))
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, workspaceResources.jobId))
    .innerJoin(workspaces, eq(workspaces.id, workspaceBuilds.workspaceId))
    .where(
      and(
        eq(workspaceAgents.authTokenHash, authTokenHash),
        eq(workspaceAgents.deleted, false),
        eq(workspaceBuilds.isLatest, true),
        eq(workspaces.deleted, false),
      ),
    )
    .limit(1);
  return row;
}
