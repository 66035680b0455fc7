import { createHash, randomUUID } from 'node:crypto';
import type { Transition } from '../../domain/jobs.ts';
import type { ProvisionedAgent, ProvisionedResources, TerraformModule } from '../../domain/provisioned.ts';
import { type Db, pipelined } from '../client.ts';
import type { ColumnCipher } from '../encryption.ts';
import {
  workspaceAgentConnections,
  workspaceAgentDevcontainers,
  workspaceAgentLogSources,
  workspaceAgentMemoryResourceMonitors,
  workspaceAgentMetadata,
  workspaceAgentScripts,
  workspaceAgentVolumeResourceMonitors,
  workspaceAgents,
  workspaceApps,
  workspaceResourceMetadata,
  workspaceResources,
} from '../schema/workspace-agents.ts';
import { workspaceModules } from '../schema/templates.ts';

/** SHA-256 of an agent's bearer token: what requests are looked up by. */
export const hashAgentToken = (token: string): Buffer => createHash('sha256').update(token).digest();
export const agentTokenPlace = (agentId: string) => `workspace_agents:auth_token_enc:${agentId}`;

interface Target {
  jobId: string;
  transition: Transition;
  now: Date;
}

/**
 * Writes everything one run made: resources, metadata, agents (parents before sub-agents), apps, scripts, log sources,
 * metadata, dev containers, monitors. One INSERT a table, inside the completion transaction; all are sent at once, and the
 * server takes them in this order. Source: spec/02 §1.10.
 */
export async function insertProvisionedResources(
  tx: Db,
  cipher: ColumnCipher,
  target: Target,
  provisioned: ProvisionedResources,
): Promise<void> {
  const { jobId, transition, now } = target;
  const resources = provisioned.resources;
  const rows = resources.map((resource) => ({
    id: resource.id,
    createdAt: now,
    jobId,
    transition,
    type: resource.type,
    name: resource.name,
    hide: resource.hide,
    icon: resource.icon,
    instanceType: resource.instanceType,
    dailyCost: resource.dailyCost,
    modulePath: resource.modulePath,
  }));
  const metadata = resources.flatMap((resource) =>
    resource.metadata.map((item) => ({ workspaceResourceId: resource.id, ...item })),
  );
  const placed = resources.flatMap((resource) => resource.agents.map((agent) => ({ agent, resourceId: resource.id })));
  const agentRows = placed.map(({ agent, resourceId }) => agentRow(cipher, agent, resourceId, now));
  await pipelined([
    rows.length > 0 && tx.insert(workspaceResources).values(rows),
    metadata.length > 0 && tx.insert(workspaceResourceMetadata).values(metadata),
    agentRows.length > 0 && tx.insert(workspaceAgents).values(agentRows),
    agentRows.length > 0 && tx.insert(workspaceAgentConnections).values(agentRows.map(({ id }) => ({ agentId: id }))),
    ...agentChildInserts(
      tx,
      placed.map(({ agent }) => agent),
      now,
    ),
  ]);
}

function agentRow(cipher: ColumnCipher, agent: ProvisionedAgent, resourceId: string, now: Date) {
  return {
    id: agent.id,
    createdAt: now,
    updatedAt: now,
    resourceId,
    name: agent.name,
    authTokenHash: hashAgentToken(agent.token),
    authTokenEnc: cipher.encrypt(agentTokenPlace(agent.id), Buffer.from(agent.token)),
    authTokenEncKeyId: cipher.keyId,
    authInstanceId: agent.instanceId,
    architecture: agent.architecture,
    operatingSystem: agent.operatingSystem,
    environmentVariables: agent.environment === null ? null : { ...agent.environment },
    directory: agent.directory,
    connectionTimeoutSeconds: agent.connectionTimeoutSeconds,
    troubleshootingUrl: agent.troubleshootingUrl,
    motdFile: agent.motdFile,
    displayApps: [...agent.displayApps],
    displayOrder: agent.displayOrder,
    parentId: agent.parentId,
    apiKeyScope: agent.apiKeyScope,
  };
}

/** Statements that are not sent before somebody awaits them. */
function agentChildInserts(tx: Db, agents: readonly ProvisionedAgent[], now: Date) {
  const apps = agents.flatMap((agent) =>
    agent.apps.map(({ healthcheckIntervalSeconds, ...app }) => ({
      ...app,
      agentId: agent.id,
      createdAt: now,
      healthcheckInterval: healthcheckIntervalSeconds,
    })),
  );
  const scripts = agents.flatMap((agent) => agent.scripts.map((script) => ({ script, agentId: agent.id })));
  const logSources = scripts.map(({ script, agentId }) => ({
    workspaceAgentId: agentId,
    id: script.logSourceId,
    createdAt: now,
    displayName: script.displayName.slice(0, 127),
    icon: script.icon,
  }));
  const scriptRows = scripts.map(({ script: { icon: _icon, ...row }, agentId }) => ({
    ...row,
    workspaceAgentId: agentId,
    createdAt: now,
  }));
  const metadata = agents.flatMap((agent) => agent.metadata.map((item) => ({ ...item, workspaceAgentId: agent.id })));
  const devcontainers = agents.flatMap((agent) =>
    agent.devcontainers.map((row) => ({ ...row, workspaceAgentId: agent.id, createdAt: now })),
  );
  const monitors = agents.flatMap((agent) => agent.monitors.map((monitor) => ({ ...monitor, agentId: agent.id })));
  const stamps = { createdAt: now, updatedAt: now };
  const memory = monitors
    .filter((monitor) => monitor.path === null)
    .map(({ agentId, enabled, threshold }) => ({ agentId, enabled, threshold, ...stamps }));
  const volumes = monitors
    .filter((monitor) => monitor.path !== null)
    .map(({ path, ...monitor }) => ({ ...monitor, path: path!, ...stamps }));
  return [
    apps.length > 0 && tx.insert(workspaceApps).values(apps),
    logSources.length > 0 && tx.insert(workspaceAgentLogSources).values(logSources),
    scriptRows.length > 0 && tx.insert(workspaceAgentScripts).values(scriptRows),
    metadata.length > 0 && tx.insert(workspaceAgentMetadata).values(metadata),
    devcontainers.length > 0 && tx.insert(workspaceAgentDevcontainers).values(devcontainers),
    memory.length > 0 && tx.insert(workspaceAgentMemoryResourceMonitors).values(memory),
    volumes.length > 0 && tx.insert(workspaceAgentVolumeResourceMonitors).values(volumes),
  ];
}

/** Modules seen in a run, one row each. */
export async function insertModules(tx: Db, target: Target, modules: readonly TerraformModule[]): Promise<void> {
  if (modules.length === 0) return;
  await tx.insert(workspaceModules).values(
    modules.map((module) => ({
      id: randomUUID(),
      jobId: target.jobId,
      transition: target.transition,
      createdAt: target.now,
      ...module,
    })),
  );
}
