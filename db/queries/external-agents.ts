import { and, eq, isNull } from 'drizzle-orm';
import type { Db } from '../client.ts';
import type { ColumnCipher } from '../encryption.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templateVersions } from '../schema/templates.ts';
import { liveWorkspaceAgents, workspaceResources } from '../schema/workspace-agents.ts';
import { workspaceBuilds } from '../schema/workspaces.ts';
import { agentTokenPlace } from './provisioned-resources.ts';

/** Whether the latest build has external agents. One that is not over does not know yet: its version tells. */
export async function findExternalBuild(db: Db, workspaceId: string) {
  const [row] = await db
    .select({
      id: workspaceBuilds.id,
      jobId: workspaceBuilds.jobId,
      transition: workspaceBuilds.transition,
      jobStatus: provisionerJobs.jobStatus,
      hasExternalAgent: workspaceBuilds.hasExternalAgent,
      versionHasExternalAgent: templateVersions.hasExternalAgent,
    })
    .from(workspaceBuilds)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .innerJoin(templateVersions, eq(templateVersions.id, workspaceBuilds.templateVersionId))
    .where(and(eq(workspaceBuilds.workspaceId, workspaceId), eq(workspaceBuilds.isLatest, true)));
  return row;
}

/** A top-level agent of a build by its name; its token stays sealed until `openAgentToken`. */
export async function findExternalAgent(db: Db, of: { jobId: string; name: string }) {
  const [row] = await db
    .select({
      id: liveWorkspaceAgents.id,
      name: liveWorkspaceAgents.name,
      operatingSystem: liveWorkspaceAgents.operatingSystem,
      architecture: liveWorkspaceAgents.architecture,
      instanceId: liveWorkspaceAgents.authInstanceId,
      sealedToken: liveWorkspaceAgents.authTokenEnc,
      sealedTokenKeyId: liveWorkspaceAgents.authTokenEncKeyId,
    })
    .from(liveWorkspaceAgents)
    .innerJoin(workspaceResources, eq(workspaceResources.id, liveWorkspaceAgents.resourceId))
    .where(
      and(
        eq(workspaceResources.jobId, of.jobId),
        eq(liveWorkspaceAgents.name, of.name),
        isNull(liveWorkspaceAgents.parentId),
      ),
    );
  return row;
}
export type ExternalAgent = NonNullable<Awaited<ReturnType<typeof findExternalAgent>>>;

export const openAgentToken = (cipher: ColumnCipher, agent: ExternalAgent): string =>
  cipher.decrypt(agentTokenPlace(agent.id), agent.sealedTokenKeyId, agent.sealedToken).toString();
