import { type SQL, type SQLWrapper, asc, eq, inArray, sql } from 'drizzle-orm';
import { type Db, preparedByIds } from '../client.ts';
import { type AppStatusRow, selectAppStatuses } from './app-statuses.ts';
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

type Among = (column: SQLWrapper) => SQL;
type Values = Partial<Record<'transition', 'start' | null>>;
const prepared = <Row>(build: Parameters<typeof preparedByIds<Row, Values>>[0]) => preparedByIds<Row, Values>(build);

/** Of these jobs; the placeholder `transition` narrows imports to one of their plans, null does not. */
const ofJobs = (among: Among): SQL => sql`${among(workspaceResources.jobId)}
  and ${workspaceResources.transition} = coalesce(${sql.placeholder('transition')}::workspace_transition, ${workspaceResources.transition})`;

const resourcesOfJobs = prepared((db, among) =>
  db
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
    .where(ofJobs(among))
    .orderBy(sql`lower(${workspaceResources.name})`, workspaceResources.id)
    .prepare('resources'),
);

const metadataOfJobs = prepared((db, among) =>
  db
    .select({
      resourceId: workspaceResourceMetadata.workspaceResourceId,
      key: workspaceResourceMetadata.key,
      value: workspaceResourceMetadata.value,
      sensitive: workspaceResourceMetadata.sensitive,
    })
    .from(workspaceResourceMetadata)
    .innerJoin(workspaceResources, eq(workspaceResources.id, workspaceResourceMetadata.workspaceResourceId))
    .where(ofJobs(among))
    .orderBy(asc(workspaceResourceMetadata.id))
    .prepare('resource_metadata'),
);

/** Agents and everything below them, each a statement of its own: none waits for another. */
const agentStatements = (where: (among: Among) => SQL) => {
  const idsOf = (among: Among) => sql`(select ${liveWorkspaceAgents.id} from ${liveWorkspaceAgents}
    join ${workspaceResources} on ${workspaceResources.id} = ${liveWorkspaceAgents.resourceId} where ${where(among)})`;
  return {
    agents: prepared((db, among) =>
      db
        .select(agentColumns)
        .from(liveWorkspaceAgents)
        .innerJoin(workspaceResources, eq(workspaceResources.id, liveWorkspaceAgents.resourceId))
        .leftJoin(workspaceAgentConnections, eq(workspaceAgentConnections.agentId, liveWorkspaceAgents.id))
        .where(where(among))
        .orderBy(asc(liveWorkspaceAgents.displayOrder), asc(liveWorkspaceAgents.name))
        .prepare('agents'),
    ),
    apps: prepared((db, among) =>
      db
        .select(appColumns)
        .from(workspaceApps)
        .where(inArray(workspaceApps.agentId, idsOf(among)))
        .orderBy(asc(workspaceApps.displayOrder), asc(workspaceApps.slug))
        .prepare('apps'),
    ),
    statuses: prepared((db, among) => selectAppStatuses(db, idsOf(among)).prepare('app_statuses')),
    scripts: prepared((db, among) => {
      const firstRun = earliestRun(db);
      return db
        .select({ ...scriptColumns, firstRun: { exitCode: firstRun.exitCode, status: firstRun.status } })
        .from(workspaceAgentScripts)
        .leftJoinLateral(firstRun, sql`true`)
        .where(inArray(workspaceAgentScripts.workspaceAgentId, idsOf(among)))
        .orderBy(workspaceAgentScripts.displayName, workspaceAgentScripts.id)
        .prepare('scripts');
    }),
    logSources: prepared((db, among) =>
      db
        .select({
          id: workspaceAgentLogSources.id,
          agentId: workspaceAgentLogSources.workspaceAgentId,
          createdAt: workspaceAgentLogSources.createdAt,
          displayName: workspaceAgentLogSources.displayName,
          icon: workspaceAgentLogSources.icon,
        })
        .from(workspaceAgentLogSources)
        .where(inArray(workspaceAgentLogSources.workspaceAgentId, idsOf(among)))
        .orderBy(workspaceAgentLogSources.displayName, workspaceAgentLogSources.id)
        .prepare('log_sources'),
    ),
  };
};
const agentsOfJobs = agentStatements(ofJobs);
const agentsById = agentStatements((among) => among(liveWorkspaceAgents.id));

/**
 * Resources of many jobs with everything below them, in a constant number of statements that are sent at once. `transition`
 * narrows imports to their start plan.
 */
export async function listResourceTrees(db: Db, jobIds: readonly string[], transition?: 'start') {
  if (jobIds.length === 0) return [];
  const values = { transition: transition ?? null };
  const [resources, metadata, agents] = await Promise.all([
    resourcesOfJobs(db, jobIds, values),
    metadataOfJobs(db, jobIds, values),
    listAgentTrees(db, agentsOfJobs, jobIds, values),
  ]);
  const agentsByResource = groupBy(agents, 'resourceId');
  const metadataByResource = groupBy(metadata, 'resourceId');
  return resources.map((resource) => ({
    ...resource,
    metadata: metadataByResource.get(resource.id) ?? [],
    agents: agentsByResource.get(resource.id) ?? [],
  }));
}
export type ResourceTree = Awaited<ReturnType<typeof listResourceTrees>>[number];
export type AgentTree = ResourceTree['agents'][number];

/** One live agent with everything below it. */
export async function findAgentTree(db: Db, agentId: string): Promise<AgentTree | undefined> {
  const [tree] = await listAgentTrees(db, agentsById, [agentId]);
  return tree;
}

async function listAgentTrees(
  db: Db,
  statements: ReturnType<typeof agentStatements>,
  ids: readonly string[],
  values?: Values,
) {
  const [agents, apps, statuses, scripts, logSources] = await Promise.all([
    statements.agents(db, ids, values),
    statements.apps(db, ids, values),
    statements.statuses(db, ids, values),
    statements.scripts(db, ids, values),
    statements.logSources(db, ids, values),
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

function groupBy<K extends string, T extends Record<K, string>>(rows: readonly T[], key: K): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(row[key]);
    if (group === undefined) groups.set(row[key], [row]);
    else group.push(row);
  }
  return groups;
}
