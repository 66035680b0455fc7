import { and, eq, inArray, sql } from 'drizzle-orm';
import type { ProvisionedAgent, ProvisionedResources } from '../../domain/provisioned.ts';
import type { Db } from '../client.ts';
import { liveWorkspaceAgents, workspaceResources } from '../schema/workspace-agents.ts';
import { workspaceBuilds } from '../schema/workspaces.ts';
import { hashAgentToken } from './provisioned-resources.ts';

export interface Adoption {
  /** What is new; agents that go on as they are left out, with what is below them. */
  readonly provisioned: ProvisionedResources;
  readonly adopted: readonly { readonly agentId: string; readonly resourceId: string }[];
}

/**
 * A refresh changes nothing that runs: agents whose token the state still has keep their rows, with their history, logs and
 * sub-agents, and hang below the resources of the refresh from now on.
 */
export async function planAdoption(db: Db, workspaceId: string, provisioned: ProvisionedResources): Promise<Adoption> {
  const agents = provisioned.resources.flatMap((resource) => resource.agents);
  if (agents.length === 0) return { provisioned, adopted: [] };
  const rows = await db
    .select({ id: liveWorkspaceAgents.id, hash: liveWorkspaceAgents.authTokenHash })
    .from(liveWorkspaceAgents)
    .innerJoin(workspaceResources, eq(workspaceResources.id, liveWorkspaceAgents.resourceId))
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, workspaceResources.jobId))
    .where(
      and(
        eq(workspaceBuilds.workspaceId, workspaceId),
        inArray(
          liveWorkspaceAgents.authTokenHash,
          agents.map(({ token }) => hashAgentToken(token)),
        ),
      ),
    )
    .orderBy(workspaceBuilds.buildNumber);
  const running = new Map(rows.map(({ id, hash }) => [hash.toString('hex'), id]));
  const runningId = ({ token }: ProvisionedAgent) => running.get(hashAgentToken(token).toString('hex'));
  const goesOn = new Set(agents.filter((agent) => runningId(agent) !== undefined).map(({ id }) => id));
  const isNew = ({ id, parentId }: ProvisionedAgent) => !goesOn.has(id) && !(parentId !== null && goesOn.has(parentId));
  return {
    provisioned: {
      ...provisioned,
      resources: provisioned.resources.map((resource) => ({ ...resource, agents: resource.agents.filter(isNew) })),
    },
    adopted: provisioned.resources.flatMap((resource) =>
      resource.agents.flatMap((agent) => {
        const agentId = runningId(agent);
        return agentId === undefined ? [] : [{ agentId, resourceId: resource.id }];
      }),
    ),
  };
}

/** Hangs agents, and those below them, under their new resources. */
export async function adoptAgents(tx: Db, adopted: Adoption['adopted']): Promise<void> {
  if (adopted.length === 0) return;
  await tx.execute(sql`
    update workspace_agents a set resource_id = r."resourceId"
    from json_to_recordset(${JSON.stringify(adopted)}::text::json) as r("agentId" uuid, "resourceId" uuid)
    where a.id = r."agentId" or a.parent_id = r."agentId"`);
}
