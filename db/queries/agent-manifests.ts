import { and, asc, desc, eq, lte, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import { type Db, preparedQuery } from '../client.ts';
import { users } from '../schema/users.ts';
import {
  liveWorkspaceAgents,
  workspaceAgentDevcontainers,
  workspaceAgentMemoryResourceMonitors,
  workspaceAgentMetadata,
  workspaceAgentScripts,
  workspaceAgentVolumeResourceMonitors,
  workspaceApps,
  workspaceResources,
} from '../schema/workspace-agents.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';
import { appColumns, scriptColumns } from './workspace-resources.ts';

/** Asked at each connect of each agent: the statements are made once. */
const ofAgent = <Row>(build: (db: Db) => { execute(values: Record<string, unknown>): Promise<Row[]> }) =>
  preparedQuery<{ agentId: string }, Row>(build);
const thisAgent = sql.placeholder('agentId');

const headsOf = ofAgent((db) => {
  const earlier = alias(workspaceBuilds, 'earlier');
  const made = db
    .select({ id: earlier.id, buildNumber: earlier.buildNumber })
    .from(earlier)
    .where(
      and(
        eq(earlier.workspaceId, workspaceBuilds.workspaceId),
        lte(earlier.buildNumber, workspaceBuilds.buildNumber),
        eq(earlier.refreshOnly, false),
      ),
    )
    .orderBy(desc(earlier.buildNumber))
    .limit(1)
    .as('made');
  return db
    .select({
      agentId: liveWorkspaceAgents.id,
      agentName: liveWorkspaceAgents.name,
      parentId: liveWorkspaceAgents.parentId,
      environmentVariables: liveWorkspaceAgents.environmentVariables,
      directory: liveWorkspaceAgents.directory,
      motdFile: liveWorkspaceAgents.motdFile,
      apiKeyScope: liveWorkspaceAgents.apiKeyScope,
      buildId: made.id,
      buildNumber: made.buildNumber,
      workspaceId: workspaces.id,
      workspaceName: workspaces.name,
      ownerId: users.id,
      ownerName: users.username,
      ownerStatus: users.status,
      ownerIsSystem: users.isSystem,
    })
    .from(liveWorkspaceAgents)
    .innerJoin(workspaceResources, eq(workspaceResources.id, liveWorkspaceAgents.resourceId))
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, workspaceResources.jobId))
    .innerJoinLateral(made, sql`true`)
    .innerJoin(workspaces, eq(workspaces.id, workspaceBuilds.workspaceId))
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .where(eq(liveWorkspaceAgents.id, thisAgent))
    .prepare('manifest_heads');
});
const appsOf = ofAgent((db) =>
  db
    .select(appColumns)
    .from(workspaceApps)
    .where(eq(workspaceApps.agentId, thisAgent))
    .orderBy(asc(workspaceApps.displayOrder), asc(workspaceApps.slug))
    .prepare('manifest_apps'),
);
const scriptsOf = ofAgent((db) =>
  db
    .select(scriptColumns)
    .from(workspaceAgentScripts)
    .where(eq(workspaceAgentScripts.workspaceAgentId, thisAgent))
    .orderBy(asc(workspaceAgentScripts.displayName), asc(workspaceAgentScripts.id))
    .prepare('manifest_scripts'),
);
const metadataOf = ofAgent((db) =>
  db
    .select({
      key: workspaceAgentMetadata.key,
      displayName: workspaceAgentMetadata.displayName,
      script: workspaceAgentMetadata.script,
      intervalSeconds: workspaceAgentMetadata.intervalSeconds,
      timeoutSeconds: workspaceAgentMetadata.timeoutSeconds,
    })
    .from(workspaceAgentMetadata)
    .where(eq(workspaceAgentMetadata.workspaceAgentId, thisAgent))
    .orderBy(asc(workspaceAgentMetadata.displayOrder), asc(workspaceAgentMetadata.key))
    .prepare('manifest_metadata'),
);
const devcontainersOf = ofAgent((db) =>
  db
    .select({
      id: workspaceAgentDevcontainers.id,
      name: workspaceAgentDevcontainers.name,
      workspaceFolder: workspaceAgentDevcontainers.workspaceFolder,
      configPath: workspaceAgentDevcontainers.configPath,
      subagentId: workspaceAgentDevcontainers.subagentId,
    })
    .from(workspaceAgentDevcontainers)
    .where(eq(workspaceAgentDevcontainers.workspaceAgentId, thisAgent))
    .orderBy(asc(workspaceAgentDevcontainers.name))
    .prepare('manifest_devcontainers'),
);
const memoryOf = ofAgent((db) =>
  db
    .select({ enabled: workspaceAgentMemoryResourceMonitors.enabled })
    .from(workspaceAgentMemoryResourceMonitors)
    .where(eq(workspaceAgentMemoryResourceMonitors.agentId, thisAgent))
    .prepare('manifest_memory'),
);
const volumesOf = ofAgent((db) =>
  db
    .select({
      path: workspaceAgentVolumeResourceMonitors.path,
      enabled: workspaceAgentVolumeResourceMonitors.enabled,
    })
    .from(workspaceAgentVolumeResourceMonitors)
    .where(eq(workspaceAgentVolumeResourceMonitors.agentId, thisAgent))
    .orderBy(asc(workspaceAgentVolumeResourceMonitors.path))
    .prepare('manifest_volumes'),
);

/** Everything that an agent needs to run, except secrets: one statement per kind, side by side. Source: spec/05 §3. */
export async function findManifest(db: Db, agentId: string) {
  const values = { agentId };
  const [heads, apps, scripts, metadata, devcontainers, memory, volumes] = await Promise.all([
    headsOf(db, values),
    appsOf(db, values),
    scriptsOf(db, values),
    metadataOf(db, values),
    devcontainersOf(db, values),
    memoryOf(db, values),
    volumesOf(db, values),
  ]);
  const [head] = heads;
  return head === undefined
    ? undefined
    : { ...head, apps, scripts, metadata, devcontainers, memory: memory[0], volumes };
}
export type ManifestRows = NonNullable<Awaited<ReturnType<typeof findManifest>>>;

/** What decides whether an agent has to begin anew for a new owner. Source: spec/03 §15.1. */
export async function findClaimFacts(db: Db, workspaceId: string) {
  const [row] = await db
    .select({
      ownerId: workspaces.ownerId,
      ownerIsSystem: users.isSystem,
      deleted: workspaces.deleted,
      firstInitiatorIsSystem: sql<boolean>`(select u.is_system from workspace_builds f join users u on u.id = f.initiator_id
        where f.workspace_id = ${workspaces.id} order by f.build_number limit 1)`,
      latestTransition: workspaceBuilds.transition,
      latestStage: workspaceBuilds.prebuildStage,
      handedOver: workspaceBuilds.handedOver,
      latestStatus: sql<string>`(select j.job_status from provisioner_jobs j where j.id = ${workspaceBuilds.jobId})`,
    })
    .from(workspaces)
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .innerJoin(workspaceBuilds, and(eq(workspaceBuilds.workspaceId, workspaces.id), eq(workspaceBuilds.isLatest, true)))
    .where(eq(workspaces.id, workspaceId));
  return row;
}

/** When the agent with this token that counts now has begun; undefined = there is none. */
export async function findAgentStart(db: Db, agentId: string): Promise<{ startedAt: Date | null } | undefined> {
  const [row] = await db
    .select({ startedAt: liveWorkspaceAgents.startedAt })
    .from(liveWorkspaceAgents)
    .where(eq(liveWorkspaceAgents.id, agentId));
  return row;
}
