import { type SQL, and, asc, eq, inArray, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { type AppStatusRow, listAppStatuses } from './app-statuses.ts';
import { earliestRun } from './script-timings.ts';
import {
  workspaceAgentConnections,
  workspaceAgentLogSources,
  workspaceAgentScripts,
  liveWorkspaceAgents,
  workspaceApps,
  workspaceResourceMetadata,
  workspaceResources,
} from '../schema/workspace-agents.ts';

const agentColumns = {
  id: liveWorkspaceAgents.id,
  parentId: liveWorkspaceAgents.parentId,
  createdAt: liveWorkspaceAgents.createdAt,
  updatedAt: liveWorkspaceAgents.updatedAt,
  resourceId: liveWorkspaceAgents.resourceId,
  name: liveWorkspaceAgents.name,
  instanceId: liveWorkspaceAgents.authInstanceId,
  architecture: liveWorkspaceAgents.architecture,
  operatingSystem: liveWorkspaceAgents.operatingSystem,
  environmentVariables: liveWorkspaceAgents.environmentVariables,
  directory: liveWorkspaceAgents.directory,
  expandedDirectory: liveWorkspaceAgents.expandedDirectory,
  version: liveWorkspaceAgents.version,
  apiVersion: liveWorkspaceAgents.apiVersion,
  connectionTimeoutSeconds: liveWorkspaceAgents.connectionTimeoutSeconds,
  troubleshootingUrl: liveWorkspaceAgents.troubleshootingUrl,
  lifecycleState: liveWorkspaceAgents.lifecycleState,
  startedAt: liveWorkspaceAgents.startedAt,
  readyAt: liveWorkspaceAgents.readyAt,
  subsystems: liveWorkspaceAgents.subsystems,
  displayApps: liveWorkspaceAgents.displayApps,
  displayOrder: liveWorkspaceAgents.displayOrder,
  logsLength: liveWorkspaceAgents.logsLength,
  logsOverflowed: liveWorkspaceAgents.logsOverflowed,
  firstConnectedAt: workspaceAgentConnections.firstConnectedAt,
  lastConnectedAt: workspaceAgentConnections.lastConnectedAt,
  disconnectedAt: workspaceAgentConnections.disconnectedAt,
};

export const appColumns = {
  id: workspaceApps.id,
  agentId: workspaceApps.agentId,
  slug: workspaceApps.slug,
  displayName: workspaceApps.displayName,
  icon: workspaceApps.icon,
  command: workspaceApps.command,
  url: workspaceApps.url,
  external: workspaceApps.external,
  subdomain: workspaceApps.subdomain,
  sharingLevel: workspaceApps.sharingLevel,
  healthcheckUrl: workspaceApps.healthcheckUrl,
  healthcheckInterval: workspaceApps.healthcheckInterval,
  healthcheckThreshold: workspaceApps.healthcheckThreshold,
  health: workspaceApps.health,
  displayGroup: workspaceApps.displayGroup,
  hidden: workspaceApps.hidden,
  openIn: workspaceApps.openIn,
  tooltip: workspaceApps.tooltip,
};

export const scriptColumns = {
  id: workspaceAgentScripts.id,
  agentId: workspaceAgentScripts.workspaceAgentId,
  logSourceId: workspaceAgentScripts.logSourceId,
  logPath: workspaceAgentScripts.logPath,
  script: workspaceAgentScripts.script,
  cron: workspaceAgentScripts.cron,
  startBlocksLogin: workspaceAgentScripts.startBlocksLogin,
  runOnStart: workspaceAgentScripts.runOnStart,
  runOnStop: workspaceAgentScripts.runOnStop,
  timeoutSeconds: workspaceAgentScripts.timeoutSeconds,
  displayName: workspaceAgentScripts.displayName,
};

/**
 * Resources of many jobs with everything below them, in a constant number of statements. `transition` narrows imports to
 * their start plan.
 */
export async function listResourceTrees(db: Db, jobIds: readonly string[], transition?: 'start') {
  if (jobIds.length === 0) return [];
  const ofJobs = and(
    inArray(workspaceResources.jobId, [...jobIds]),
    transition === undefined ? undefined : eq(workspaceResources.transition, transition),
  );
  const [resources, agents] = await Promise.all([listResources(db, ofJobs), listAgents(db, ofJobs)]);
  if (resources.length === 0) return [];
  const [metadata, agentTrees] = await Promise.all([
    db
      .select({
        resourceId: workspaceResourceMetadata.workspaceResourceId,
        key: workspaceResourceMetadata.key,
        value: workspaceResourceMetadata.value,
        sensitive: workspaceResourceMetadata.sensitive,
      })
      .from(workspaceResourceMetadata)
      .where(
        inArray(
          workspaceResourceMetadata.workspaceResourceId,
          resources.map(({ id }) => id),
        ),
      )
      .orderBy(asc(workspaceResourceMetadata.id)),
    withChildren(db, agents),
  ]);
  const agentsByResource = groupBy(agentTrees, 'resourceId');
  const metadataByResource = groupBy(metadata, 'resourceId');
  return resources.map((resource) => ({
    ...resource,
    metadata: metadataByResource.get(resource.id) ?? [],
    agents: agentsByResource.get(resource.id) ?? [],
  }));
}
export type ResourceTree = Awaited<ReturnType<typeof listResourceTrees>>[number];
export type AgentTree = ResourceTree['agents'][number];

async function listResources(db: Db, where: SQL | undefined) {
  return db
    .select({
      id: workspaceResources.id,
      createdAt: workspaceResources.createdAt,
      jobId: workspaceResources.jobId,
      transition: workspaceResources.transition,
      type: workspaceResources.type,
      name: workspaceResources.name,
      hide: workspaceResources.hide,
      icon: workspaceResources.icon,
      dailyCost: workspaceResources.dailyCost,
    })
    .from(workspaceResources)
    .where(where)
    .orderBy(sql`lower(${workspaceResources.name})`, workspaceResources.id);
}

async function listAgents(db: Db, ofResources: SQL | undefined) {
  return db
    .select(agentColumns)
    .from(liveWorkspaceAgents)
    .innerJoin(workspaceResources, eq(workspaceResources.id, liveWorkspaceAgents.resourceId))
    .leftJoin(workspaceAgentConnections, eq(workspaceAgentConnections.agentId, liveWorkspaceAgents.id))
    .where(ofResources)
    .orderBy(asc(liveWorkspaceAgents.displayOrder), asc(liveWorkspaceAgents.name));
}

/** One live agent with everything below it. */
export async function findAgentTree(db: Db, agentId: string): Promise<AgentTree | undefined> {
  const [tree] = await withChildren(db, await listAgents(db, eq(liveWorkspaceAgents.id, agentId)));
  return tree;
}

async function withChildren(db: Db, agents: Awaited<ReturnType<typeof listAgents>>) {
  if (agents.length === 0) return [];
  const ids = agents.map((agent) => agent.id);
  const firstRun = earliestRun(db);
  const [apps, statuses, scripts, logSources] = await Promise.all([
    listApps(db, ids),
    listAppStatuses(db, ids),
    db
      .select({
        ...scriptColumns,
        firstRun: { exitCode: firstRun.exitCode, status: firstRun.status },
      })
      .from(workspaceAgentScripts)
      .leftJoinLateral(firstRun, sql`true`)
      .where(inArray(workspaceAgentScripts.workspaceAgentId, ids))
      .orderBy(workspaceAgentScripts.displayName, workspaceAgentScripts.id),
    db
      .select({
        id: workspaceAgentLogSources.id,
        agentId: workspaceAgentLogSources.workspaceAgentId,
        createdAt: workspaceAgentLogSources.createdAt,
        displayName: workspaceAgentLogSources.displayName,
        icon: workspaceAgentLogSources.icon,
      })
      .from(workspaceAgentLogSources)
      .where(inArray(workspaceAgentLogSources.workspaceAgentId, ids))
      .orderBy(workspaceAgentLogSources.displayName, workspaceAgentLogSources.id),
  ]);
  const children = {
    apps: groupBy(withStatuses(apps, statuses), 'agentId'),
    scripts: groupBy(scripts, 'agentId'),
    logSources: groupBy(logSources, 'agentId'),
  };
  return agents.map((agent) => ({
    ...agent,
    apps: children.apps.get(agent.id) ?? [],
    scripts: children.scripts.get(agent.id) ?? [],
    logSources: children.logSources.get(agent.id) ?? [],
  }));
}

function withStatuses<T extends { id: string }>(apps: readonly T[], statuses: readonly AppStatusRow[]) {
  const byApp = groupBy(statuses, 'appId');
  return apps.map((app) => ({ ...app, statuses: byApp.get(app.id) ?? [] }));
}

async function listApps(db: Db, agentIds: readonly string[]) {
  return db
    .select(appColumns)
    .from(workspaceApps)
    .where(inArray(workspaceApps.agentId, [...agentIds]))
    .orderBy(asc(workspaceApps.displayOrder), asc(workspaceApps.slug));
}

function groupBy<K extends string, T extends Record<K, string>>(rows: readonly T[], key: K): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(row[key]);
    if (group === undefined) groups.set(row[key], [row]);
    else group.push(row);
  }
  return groups;
}
