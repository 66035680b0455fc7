import { z } from '@hono/zod-openapi';
import type { Config } from '../../config.ts';
import type { AgentTree, ResourceTree } from '../../db/queries/workspace-resources.ts';
import { agentHealth, agentStatus, startupScriptBehavior } from '../../domain/agents.ts';
import { timestamp } from '../schemas.ts';
import { AgentScript, scriptView } from './agent-script.ts';
import { WorkspaceApp, appView } from './workspace-app.ts';

export const WorkspaceAgent = z
  .object({
    id: z.string(),
    parent_id: z.string().nullable(),
    created_at: timestamp(),
    updated_at: timestamp(),
    first_connected_at: timestamp().optional(),
    last_connected_at: timestamp().optional(),
    disconnected_at: timestamp().optional(),
    started_at: timestamp().optional(),
    ready_at: timestamp().optional(),
    status: z.enum(['connecting', 'connected', 'disconnected', 'timeout']),
    lifecycle_state: z.string(),
    name: z.string(),
    resource_id: z.string(),
    instance_id: z.string().optional(),
    architecture: z.string(),
    environment_variables: z.record(z.string(), z.string()),
    operating_system: z.string(),
    logs_length: z.number().int(),
    logs_overflowed: z.boolean(),
    directory: z.string().optional(),
    expanded_directory: z.string().optional(),
    version: z.string(),
    api_version: z.string(),
    apps: z.array(WorkspaceApp),
    latency: z.object({}).openapi({ description: 'always empty: there are no relays' }),
    connection_timeout_seconds: z.number().int(),
    troubleshooting_url: z.string(),
    subsystems: z.array(z.string()),
    health: z.object({ healthy: z.boolean(), reason: z.string().optional() }),
    display_apps: z.array(z.string()),
    log_sources: z.array(
      z.object({
        workspace_agent_id: z.string(),
        id: z.string(),
        created_at: timestamp(),
        display_name: z.string(),
        icon: z.string(),
      }),
    ),
    scripts: z.array(
      AgentScript.extend({
        exit_code: z.number().int().optional().openapi({ description: 'of its first run' }),
        status: z.enum(['ok', 'exit_failure', 'timed_out', 'pipes_left_open']).optional(),
      }),
    ),
    startup_script_behavior: z.enum(['blocking', 'non-blocking']),
  })
  .openapi('WorkspaceAgent');
export type WorkspaceAgentBody = z.infer<typeof WorkspaceAgent>;

export const WorkspaceResource = z
  .object({
    id: z.string(),
    created_at: timestamp(),
    job_id: z.string(),
    workspace_transition: z.enum(['start', 'stop', 'delete']),
    type: z.string(),
    name: z.string(),
    hide: z.boolean(),
    icon: z.string(),
    agents: z.array(WorkspaceAgent).optional(),
    metadata: z.array(z.object({ key: z.string(), value: z.string(), sensitive: z.boolean() })).optional(),
    daily_cost: z.number().int(),
  })
  .openapi('WorkspaceResource');
export type WorkspaceResourceBody = z.infer<typeof WorkspaceResource>;

export interface ResourceViewOptions {
  readonly now: Date;
  /** The caller may update the workspace or template; others get sensitive metadata as empty text and no environment. */
  readonly showSensitive: boolean;
  /** Where users of agents without an address of their own are sent; empty = nowhere. */
  readonly fallbackTroubleshootingUrl: string;
}

/** What the views of builds, resources and agents need to know, for a caller who may or may not see all. */
export const resourceViewOptions = (
  { now, config }: { now(): Date; readonly config: Config },
  showSensitive: boolean,
): ResourceViewOptions => ({
  now: now(),
  showSensitive,
  fallbackTroubleshootingUrl: config.CODER_AGENT_FALLBACK_TROUBLESHOOTING_URL,
});

/** An agent as clients see it: status and health are derived now; its token is never part of it. Source: spec/06 §9. */
export function agentView(agent: AgentTree, options: ResourceViewOptions): WorkspaceAgentBody {
  const { now, showSensitive, fallbackTroubleshootingUrl } = options;
  const status = agentStatus(agent, now);
  // One that fell silent was not seen to leave: it left when it was last seen.
  const disconnectedAt =
    status === 'disconnected' && !isAfter(agent.disconnectedAt, agent.lastConnectedAt)
      ? agent.lastConnectedAt
      : agent.disconnectedAt;
  const time = <K extends string>(key: K, instant: Date | null) =>
    (instant === null ? {} : { [key]: instant.toISOString() }) as Partial<Record<K, string>>;
  return {
    id: agent.id,
    parent_id: agent.parentId,
    created_at: agent.createdAt.toISOString(),
    updated_at: agent.updatedAt.toISOString(),
    ...time('first_connected_at', agent.firstConnectedAt),
    ...time('last_connected_at', agent.lastConnectedAt),
    ...time('disconnected_at', disconnectedAt),
    ...time('started_at', agent.startedAt),
    ...time('ready_at', agent.readyAt),
    status,
    lifecycle_state: agent.lifecycleState,
    name: agent.name,
    resource_id: agent.resourceId,
    ...(agent.instanceId !== null && { instance_id: agent.instanceId }),
    architecture: agent.architecture,
    environment_variables: (showSensitive ? agent.environmentVariables : null) ?? {},
    operating_system: agent.operatingSystem,
    logs_length: agent.logsLength,
    logs_overflowed: agent.logsOverflowed,
    directory: agent.directory,
    expanded_directory: agent.expandedDirectory,
    version: agent.version,
    api_version: agent.apiVersion,
    apps: agent.apps.map(appView),
    latency: {},
    connection_timeout_seconds: agent.connectionTimeoutSeconds,
    troubleshooting_url: agent.troubleshootingUrl || fallbackTroubleshootingUrl,
    subsystems: agent.subsystems,
    health: { ...agentHealth(status, agent.lifecycleState) },
    display_apps: agent.displayApps.toSorted(),
    log_sources: agent.logSources.map((source) => ({
      workspace_agent_id: source.agentId,
      id: source.id,
      created_at: source.createdAt.toISOString(),
      display_name: source.displayName,
      icon: source.icon,
    })),
    scripts: agent.scripts.map((script) => ({
      ...scriptView(script),
      ...(script.firstRun !== null && { exit_code: script.firstRun.exitCode, status: script.firstRun.status }),
    })),
    startup_script_behavior: startupScriptBehavior(agent.scripts),
  };
}

const isAfter = (a: Date | null, b: Date | null): boolean => a !== null && b !== null && a > b;

export function resourceView(resource: ResourceTree, options: ResourceViewOptions): WorkspaceResourceBody {
  return {
    id: resource.id,
    created_at: resource.createdAt.toISOString(),
    job_id: resource.jobId,
    workspace_transition: resource.transition,
    type: resource.type,
    name: resource.name,
    hide: resource.hide,
    icon: resource.icon,
    agents: resource.agents.map((agent) => agentView(agent, options)),
    metadata: resource.metadata.map(({ key, value, sensitive }) => ({
      key,
      value: sensitive && !options.showSensitive ? '' : (value ?? ''),
      sensitive,
    })),
    daily_cost: resource.dailyCost,
  };
}

/** Smallest display order of its agents first, then by name (spec/06 §9). */
export const byAgentOrder = (a: ResourceTree, b: ResourceTree): number =>
  firstOrder(a) - firstOrder(b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
const firstOrder = (resource: ResourceTree): number =>
  Math.min(...resource.agents.map((agent) => agent.displayOrder), Number.MAX_SAFE_INTEGER);
