import { compilePermissions } from './permissions.ts';
import type { PermissionSet, PermissionText, ResourceType } from './permissions.ts';

/**
 * A role is four lists (spec/07 §4): `site` holds everywhere, `user` for objects without organization that the subject
 * owns, `org` for everything in the organization where the role is held, `member` for what the subject owns there.
 */
export interface RoleDefinition {
  readonly displayName: string;
  readonly site?: readonly PermissionText[];
  readonly user?: readonly PermissionText[];
  readonly org?: readonly PermissionText[];
  readonly member?: readonly PermissionText[];
}

export interface Role {
  readonly site: PermissionSet;
  readonly user: PermissionSet;
  readonly org: PermissionSet;
  readonly member: PermissionSet;
}

export const compileRole = (definition: RoleDefinition): Role => ({
  site: compilePermissions(definition.site ?? []),
  user: compilePermissions(definition.user ?? []),
  org: compilePermissions(definition.org ?? []),
  member: compilePermissions(definition.member ?? []),
});

const all = (...types: ResourceType[]): PermissionText[] => types.map((type) => `${type}:*` as const);
const read = (...types: ResourceType[]): PermissionText[] => types.map((type) => `${type}:read` as const);

const dormantWork: PermissionText[] = [
  'workspace_dormant:create',
  'workspace_dormant:read',
  'workspace_dormant:update',
  'workspace_dormant:delete',
  'workspace_dormant:stop',
  'workspace_dormant:create_agent',
  'workspace_dormant:delete_agent',
  'workspace_dormant:update_agent',
];
const workspaceWithoutConnecting: PermissionText[] = [
  'workspace:create',
  'workspace:read',
  'workspace:update',
  'workspace:delete',
  'workspace:start',
  'workspace:stop',
  'workspace:create_agent',
  'workspace:delete_agent',
  'workspace:update_agent',
  'workspace:share',
  'workspace:use_shared',
];
const prebuilds: PermissionText[] = ['prebuilt_workspace:update', 'prebuilt_workspace:delete'];

// Not here on purpose: user_secret, usage_event, ai_seat, system; crypto_key only to read (spec/07 §4.1).
const ownerBesidesWorkspaces: PermissionText[] = [
  ...dormantWork,
  ...prebuilds,
  ...all('task', 'template', 'file', 'provisioner_daemon', 'provisioner_jobs', 'user', 'organization'),
  ...all('organization_member', 'group', 'assign_role', 'assign_org_role', 'api_key', 'audit_log', 'connection_log'),
  ...all('deployment_config', 'deployment_stats', 'debug_info', 'notification_message', 'notification_template'),
  ...all('notification_preference', 'inbox_notification', 'oauth2_app', 'oauth2_app_secret', 'oauth2_app_code_token'),
  ...all('idpsync_settings', 'replicas', 'workspace_proxy'),
  ...all('workspace_agent_resource_monitor', 'workspace_agent_devcontainers'),
  ...read('group_member', 'crypto_key'),
];

export const siteRoles = {
  owner: { displayName: 'Owner', site: ['workspace:*', ...ownerBesidesWorkspaces] },
  auditor: {
    displayName: 'Auditor',
    site: [
      'template:read',
      'template:view_insights',
      ...read('user', 'organization', 'organization_member', 'group', 'group_member', 'assign_org_role'),
      ...read('audit_log', 'connection_log', 'deployment_config', 'deployment_stats'),
    ],
  },
  'template-admin': {
    displayName: 'Template Admin',
    site: [
      ...read('workspace', 'workspace_dormant'),
      ...prebuilds,
      ...all('template', 'file', 'provisioner_daemon'),
      'provisioner_jobs:read',
      'provisioner_jobs:update',
      ...read('user', 'organization', 'organization_member', 'group', 'group_member', 'assign_org_role'),
    ],
  },
  'user-admin': {
    displayName: 'User Admin',
    site: [
      ...all('user', 'organization_member', 'group', 'assign_role'),
      ...read('organization', 'group_member', 'assign_org_role'),
      'assign_org_role:assign',
      'assign_org_role:unassign',
      ...all('idpsync_settings'),
    ],
  },
} as const satisfies Record<string, RoleDefinition>;

/** Held by every user, never stored. No blanket "everything I own": each type is named (spec/07 §4.1). */
export const memberRole: RoleDefinition = {
  displayName: 'Member',
  site: read('assign_role', 'oauth2_app'),
  user: [
    'user:read',
    'user:read_personal',
    'user:update_personal',
    ...all('api_key', 'user_secret', 'file', 'notification_preference'),
    'provisioner_daemon:create',
    'provisioner_daemon:read',
    'inbox_notification:read',
    'inbox_notification:update',
    'notification_message:read',
    'notification_message:update',
    'notification_template:read',
  ],
};

const plainMember: RoleDefinition = {
  displayName: 'Organization Member',
  org: read('provisioner_daemon', 'organization', 'assign_org_role'),
  member: ['organization_member:read', 'group_member:read', 'file:create', 'file:read', 'provisioner_daemon:create'],
};

export const organizationRoles = {
  'organization-admin': {
    displayName: 'Organization Admin',
    site: ['user:read'],
    org: [
      ...workspaceWithoutConnecting,
      ...dormantWork,
      ...prebuilds,
      ...all('task', 'template', 'file', 'provisioner_daemon', 'provisioner_jobs', 'organization_member'),
      ...all('group', 'group_member', 'assign_org_role', 'idpsync_settings'),
      'organization:read',
      'organization:update',
      ...read('audit_log', 'connection_log'),
    ],
  },
  'organization-template-admin': {
    displayName: 'Organization Template Admin',
    org: [
      ...read('workspace', 'workspace_dormant', 'organization', 'organization_member', 'group', 'group_member'),
      ...prebuilds,
      ...all('template', 'file', 'provisioner_daemon', 'provisioner_jobs'),
    ],
  },
  'organization-user-admin': {
    displayName: 'Organization User Admin',
    site: ['user:read'],
    org: [
      ...all('organization_member', 'group', 'group_member', 'idpsync_settings'),
      ...read('organization', 'assign_org_role'),
      'assign_org_role:assign',
      'assign_org_role:unassign',
    ],
  },
  'organization-auditor': {
    displayName: 'Organization Auditor',
    org: [
      'template:read',
      'template:view_insights',
      ...read('organization', 'organization_member', 'group', 'group_member', 'audit_log', 'connection_log'),
    ],
  },
  'organization-member': {
    displayName: 'Organization Member',
    org: [...(plainMember.org ?? []), 'organization_member:read'],
    ...(plainMember.member && { member: plainMember.member }),
  },
  'organization-workspace-access': {
    displayName: 'Organization Workspace Access',
    member: ['workspace:*', ...dormantWork, 'task:*'],
  },
  /** Its denials beat organization-admin and ownership, not a site role. Existing workspaces still start and stop. */
  'organization-workspace-creation-ban': {
    displayName: 'Organization Workspace Creation Ban',
    org: ['-workspace:create', '-workspace:delete', '-workspace:create_agent', '-workspace:delete_agent'],
  },
} as const satisfies Record<string, RoleDefinition>;

/** Roles that no row names: the loader of a subject adds them from settings. */
const implicitRoles = {
  member: memberRole,
  /** `organization-member` where `shareable_workspace_owners = 'none'`: no sharing, no list of the others (spec/07 §5). */
  'organization-member-unshared': {
    ...plainMember,
    org: [...(plainMember.org ?? []), '-workspace:share', '-workspace:use_shared'],
  },
  /** CODER_DISABLE_WORKSPACE_SHARING. */
  'workspace-sharing-disabled': { displayName: '', site: ['-workspace:share', '-workspace_dormant:share'] },
} as const satisfies Record<string, RoleDefinition>;

/** CODER_DISABLE_OWNER_WORKSPACE_ACCESS replaces what `owner` means; owners still connect to their own workspaces. */
export const ownerWorkspaceAccessDisabled = 'owner-workspace-access-disabled';
export const workspaceSharingDisabled = 'workspace-sharing-disabled';
const ownerWithoutAccess = compileRole({
  displayName: 'Owner',
  site: [...workspaceWithoutConnecting, ...ownerBesidesWorkspaces],
});

export type SiteRoleName = keyof typeof siteRoles;
export type OrganizationRoleName = keyof typeof organizationRoles;
export const isSiteRole = (name: string): name is SiteRoleName => Object.hasOwn(siteRoles, name);
export const isOrganizationRole = (name: string): name is OrganizationRoleName =>
  Object.hasOwn(organizationRoles, name);

const compiled = new Map<string, Role>(
  Object.entries({ ...siteRoles, ...organizationRoles, ...implicitRoles }).map(([name, definition]) => [
    name,
    compileRole(definition),
  ]),
);

/** The roles behind the names. A name this version does not know grants nothing (and locks nobody out). */
export function resolveRoles(names: readonly string[]): Role[] {
  const limited = names.includes(ownerWorkspaceAccessDisabled);
  return names.flatMap((name) => (name === 'owner' && limited ? [ownerWithoutAccess] : (compiled.get(name) ?? [])));
}

/** Stored names that grant nothing; the caller logs them once. */
export const unknownRoles = (names: readonly string[]): string[] =>
  names.filter((name) => !compiled.has(name) && name !== ownerWorkspaceAccessDisabled);
