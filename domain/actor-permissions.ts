import { compileRole } from './roles.ts';
import type { Role, RoleDefinition } from './roles.ts';

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
