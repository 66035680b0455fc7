import { NIL_UUID, PREBUILDS_SYSTEM_USER_ID } from './ids.ts';
import { compileRole } from './roles.ts';
import type { Role, RoleDefinition } from './roles.ts';
import type { Subject } from './subject.ts';

/**
 * The named actors of background work, each with the smallest permission set that its job needs. There is no catch-all
 * actor. `org` and `member` lists hold only in the organizations the actor was bound to. Source: spec/07 §8.
 */
const definitions = {
  'build-runner': {
    displayName: 'Build runner',
    site: [
      'workspace:read',
      'workspace:update',
      'workspace:start',
      'workspace:stop',
      'workspace:delete',
      'workspace:create_agent',
      'workspace:delete_agent',
      'workspace_dormant:read',
      'workspace_dormant:update',
      'workspace_dormant:stop',
      'workspace_dormant:delete',
      'provisioner_jobs:read',
      'provisioner_jobs:update',
      'file:read',
      'file:create',
      'user:read',
      'api_key:create',
      'api_key:delete',
      'notification_message:create',
      'workspace_agent_resource_monitor:create',
      'workspace_agent_devcontainers:create',
      'usage_event:create',
      'ai_seat:create',
      'task:read',
      'task:update',
      'task:delete',
      'audit_log:create',
    ],
    org: ['template:read', 'template:update', 'organization:read', 'group:read', 'organization_member:read'],
  },
  'template-importer': {
    displayName: 'Template importer',
    site: [
      'file:create',
      'file:read',
      'provisioner_jobs:read',
      'provisioner_jobs:update',
      'notification_message:create',
      'audit_log:create',
    ],
    org: ['template:read', 'template:update', 'organization:read'],
  },
  autobuild: {
    displayName: 'Autobuild',
    site: [
      'workspace:read',
      'workspace:update',
      'workspace:start',
      'workspace:stop',
      'workspace_dormant:read',
      'workspace_dormant:update',
      'workspace_dormant:stop',
      'workspace_dormant:delete',
      'template:read',
      'user:read',
      'organization_member:read',
      'file:read',
      'provisioner_jobs:create',
      'provisioner_jobs:read',
      'notification_message:create',
      'audit_log:create',
    ],
  },
  'prebuilds-orchestrator': {
    displayName: 'Prebuilds orchestrator',
    org: [
      'template:read',
      'template:use',
      'template:update',
      'organization:read',
      'organization_member:create',
      'organization_member:read',
      'group:create',
      'group:read',
      'group:update',
      'provisioner_jobs:create',
      'provisioner_jobs:read',
      'provisioner_jobs:update',
      'notification_message:create',
      'audit_log:create',
    ],
    site: ['notification_message:create', 'audit_log:create', 'provisioner_jobs:create', 'provisioner_jobs:update'],
    // Only what the prebuilds user owns: after a claim the workspace is out of reach from that very commit on.
    member: [
      'workspace:create',
      'workspace:read',
      'workspace:update',
      'workspace:start',
      'workspace:stop',
      'prebuilt_workspace:update',
      'prebuilt_workspace:delete',
    ],
  },
  'prebuild-claimer': {
    displayName: 'Prebuild claimer',
    member: ['workspace:read', 'workspace:update'],
    user: ['api_key:delete'],
  },
  'job-janitor': {
    displayName: 'Job janitor',
    site: [
      'provisioner_jobs:read',
      'provisioner_jobs:update',
      'workspace:read',
      'workspace:update',
      'workspace_dormant:read',
      'workspace_dormant:update',
      'template:read',
    ],
  },
  'agent-api': {
    displayName: 'Agent API',
    site: [
      'workspace:read',
      'workspace:update',
      'workspace:create_agent',
      'workspace:delete_agent',
      'workspace:update_agent',
      'workspace_dormant:read',
      'workspace_dormant:update',
      'workspace_dormant:create_agent',
      'workspace_dormant:delete_agent',
      'workspace_dormant:update_agent',
    ],
  },
  'secret-injector': { displayName: 'Secret injector', user: ['user_secret:read'] },
  'resource-monitor': {
    displayName: 'Resource monitor',
    site: [
      'workspace_agent_resource_monitor:read',
      'workspace_agent_resource_monitor:update',
      'notification_message:create',
    ],
  },
  notifier: {
    displayName: 'Notifier',
    site: [
      'notification_message:read',
      'notification_message:update',
      'notification_message:delete',
      'inbox_notification:create',
      'notification_template:read',
      'notification_preference:read',
      'user:read',
    ],
  },
  authenticator: {
    displayName: 'Authenticator',
    site: [
      'api_key:read',
      'api_key:create',
      'api_key:update',
      'user:read',
      'user:update',
      'organization_member:read',
      'crypto_key:read',
    ],
  },
  'oauth2-provider': {
    displayName: 'OAuth2 provider',
    site: [
      'oauth2_app:*',
      'oauth2_app_secret:*',
      'oauth2_app_code_token:*',
      'api_key:read',
      'api_key:delete',
      'user:read',
      'organization:read',
    ],
  },
  'health-reader': { displayName: 'Health reader', site: ['provisioner_daemon:read'] },
  'worker-registry': {
    displayName: 'Worker registry',
    site: ['provisioner_daemon:create', 'provisioner_daemon:read', 'provisioner_daemon:update'],
  },
  'key-rotator': { displayName: 'Key rotator', site: ['crypto_key:*'] },
  'key-reader': { displayName: 'Key reader', site: ['crypto_key:read'] },
  'metrics-reader': {
    displayName: 'Metrics reader',
    site: [
      'workspace:read',
      'workspace_dormant:read',
      'user:read',
      'template:read',
      'provisioner_jobs:read',
      'deployment_stats:read',
    ],
  },
  'usage-tracker': { displayName: 'Usage tracker', site: ['workspace:update', 'workspace_dormant:update'] },
  purger: {
    displayName: 'Purger',
    site: ['api_key:delete', 'notification_message:delete'],
  },
  bootstrap: {
    displayName: 'Bootstrap',
    site: ['user:create', 'organization:create', 'organization:read', 'organization_member:create'],
  },
} as const satisfies Record<string, RoleDefinition>;

export type ActorName = keyof typeof definitions;
export const actorNames = Object.keys(definitions) as ActorName[];

const compiled = new Map<string, Role>(
  Object.entries(definitions).map(([name, definition]) => [name, compileRole(definition)]),
);

/** Permissions of an actor by its name; an unknown actor may do nothing. */
export function actorRole(name: string): Role[] {
  const role = compiled.get(name);
  return role === undefined ? [] : [role];
}

interface Binding {
  readonly id?: string;
  readonly organizationId?: string | undefined;
  readonly allowList?: readonly string[];
}

const actor = (name: ActorName, binding: Binding = {}): Subject => ({
  kind: 'actor',
  id: binding.id ?? NIL_UUID,
  name,
  roles: [],
  organizations: binding.organizationId === undefined ? {} : { [binding.organizationId]: [] },
  groups: [],
  scopes: ['coder:all'],
  allowList: binding.allowList ?? ['*:*'],
});

export interface BuildRunnerBinding {
  readonly workspaceId: string;
  readonly buildId: string;
  readonly jobId: string;
  readonly ownerId: string;
  readonly organizationId: string;
}

/**
 * Runs one build. Its allow-list holds exactly this workspace, job and owner, so that a bug in one build cannot touch
 * another's rows.
 */
export const buildRunner = (to: BuildRunnerBinding): Subject =>
  actor('build-runner', {
    organizationId: to.organizationId,
    allowList: [
      `workspace:${to.workspaceId}`,
      `provisioner_jobs:${to.jobId}`,
      `user:${to.ownerId}`,
      `organization:${to.organizationId}`,
      ...['template', 'file', 'group', 'organization_member', 'api_key', 'notification_message', 'task'].map(anyOf),
      ...['workspace_agent_resource_monitor', 'workspace_agent_devcontainers'].map(anyOf),
      ...['usage_event', 'ai_seat', 'audit_log'].map(anyOf),
    ],
  });

function anyOf(type: string): string {
  return `${type}:*`;
}

/** Imports one template version, or runs one dry run of it. */
export const templateImporter = (to: { versionId: string; jobId: string; organizationId: string }): Subject =>
  actor('template-importer', {
    organizationId: to.organizationId,
    allowList: [
      `provisioner_jobs:${to.jobId}`,
      `organization:${to.organizationId}`,
      ...['file', 'template', 'notification_message', 'audit_log'].map(anyOf),
    ],
  });

/** Autostart, autostop, dormancy and automatic deletion; writes only the candidates of its tick. */
export const autobuild = (to: { workspaceIds: readonly string[] }): Subject =>
  actor('autobuild', {
    allowList: [
      ...to.workspaceIds.map((id) => `workspace:${id}`),
      ...['template', 'user', 'organization_member', 'file', 'provisioner_jobs'].map(anyOf),
      ...['notification_message', 'audit_log'].map(anyOf),
    ],
  });

/** Keeps the pools of one organization; owns what the prebuilds user owns, so a claimed workspace is out of reach. */
export const prebuildsOrchestrator = (to: { organizationId: string }): Subject =>
  actor('prebuilds-orchestrator', { id: PREBUILDS_SYSTEM_USER_ID, organizationId: to.organizationId });

/** The claim inside a user's request: may take prebuilds of that organization, nothing else. */
export const prebuildClaimer = (to: { organizationId: string }): Subject =>
  actor('prebuild-claimer', { id: PREBUILDS_SYSTEM_USER_ID, organizationId: to.organizationId });

/** The sweep: starts what was not started, ends what was lost. */
export const jobJanitor = (): Subject => actor('job-janitor');

/** Routes authenticated by an agent token: this agent's workspace only. */
export const agentApi = (to: {
  workspaceId: string;
  agentId: string;
  ownerId: string;
  organizationId: string;
}): Subject => actor('agent-api', { organizationId: to.organizationId, allowList: [`workspace:${to.workspaceId}`] });

/** Assembles the manifest: the secrets of the workspace's current owner. */
export const secretInjector = (to: { ownerId: string }): Subject =>
  actor('secret-injector', { id: to.ownerId, allowList: ['user_secret:*'] });

export const resourceMonitor = (to: { agentId: string }): Subject =>
  actor('resource-monitor', {
    allowList: [`workspace_agent_resource_monitor:${to.agentId}`, 'notification_message:*'],
  });

export const notifier = (to: { messageId: string }): Subject =>
  actor('notifier', {
    allowList: [
      `notification_message:${to.messageId}`,
      ...['inbox_notification', 'notification_template', 'notification_preference', 'user'].map(anyOf),
    ],
  });

/** Login and key check, before there is a user to act as. */
export const authenticator = (): Subject => actor('authenticator');
export const healthReader = (): Subject => actor('health-reader');
export const workerRegistry = (to: { daemonId: string }): Subject =>
  actor('worker-registry', { allowList: [`provisioner_daemon:${to.daemonId}`] });
export const metricsReader = (): Subject => actor('metrics-reader');
export const usageTracker = (to: { workspaceIds: readonly string[] }): Subject =>
  actor('usage-tracker', { allowList: to.workspaceIds.map((id) => `workspace:${id}`) });
export const purger = (): Subject => actor('purger');
/** First user; its command runs only while no human user exists. */
export const bootstrap = (): Subject => actor('bootstrap');
