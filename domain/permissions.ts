/**
 * Resource types and the actions that exist for each. Source: spec/07 §4. `*` in a role or scope means every action
 * listed here for the type, never an unknown one.
 */
const crud = ['create', 'read', 'update', 'delete'] as const;
const workspaceActions = [
  ...crud,
  'start',
  'stop',
  'ssh',
  'application_connect',
  'create_agent',
  'delete_agent',
  'update_agent',
  'share',
  'use_shared',
] as const;

export const resourceActions = {
  workspace: workspaceActions,
  /** A workspace with `dormant_at`: same actions, but roles grant fewer of them (spec/07 §4.2). */
  workspace_dormant: workspaceActions,
  prebuilt_workspace: ['update', 'delete'],
  task: crud,
  template: [...crud, 'use', 'view_insights'],
  file: ['create', 'read'],
  provisioner_daemon: crud,
  provisioner_jobs: ['create', 'read', 'update'],
  user: [...crud, 'read_personal', 'update_personal'],
  user_secret: crud,
  organization: crud,
  organization_member: crud,
  group: crud,
  group_member: ['read'],
  assign_role: ['assign', 'unassign', 'read'],
  assign_org_role: ['assign', 'unassign', ...crud],
  api_key: crud,
  crypto_key: crud,
  audit_log: ['create', 'read'],
  connection_log: ['read', 'update'],
  deployment_config: ['read', 'update'],
  deployment_stats: ['read'],
  debug_info: ['read'],
  system: crud,
  notification_message: crud,
  notification_template: ['read', 'update'],
  notification_preference: ['read', 'update'],
  inbox_notification: ['create', 'read', 'update'],
  workspace_agent_resource_monitor: ['create', 'read', 'update'],
  workspace_agent_devcontainers: ['create'],
  oauth2_app: crud,
  oauth2_app_secret: crud,
  oauth2_app_code_token: ['create', 'read', 'delete'],
  usage_event: ['create', 'read', 'update'],
  ai_seat: ['create', 'read'],
  idpsync_settings: ['read', 'update'],
  replicas: ['read'],
  workspace_proxy: ['read'],
} as const satisfies Record<string, readonly string[]>;

export type ResourceType = keyof typeof resourceActions;
export type Action = (typeof resourceActions)[ResourceType][number];

export const resourceTypes = Object.keys(resourceActions) as ResourceType[];
export const isResourceType = (text: string): text is ResourceType => Object.hasOwn(resourceActions, text);
export const isActionOf = (type: ResourceType, action: string): action is Action =>
  (resourceActions[type] as readonly string[]).includes(action);

/** One level of a role as text: `type:action`, `type:*`, `*:*`; a leading `-` denies. */
export type PermissionText = `${ResourceType | '*'}:${Action | '*'}` | `-${ResourceType}:${Action}`;

/** Compiled level. A denial of the same pair wins over any grant (spec/07 §4 "Decision"). */
export interface PermissionSet {
  vote(type: ResourceType, action: Action): -1 | 0 | 1;
}

export function compilePermissions(texts: readonly PermissionText[]): PermissionSet {
  const granted = new Set<string>();
  const denied = new Set<string>();
  for (const text of texts) {
    const negative = text.startsWith('-');
    const [type, action] = (negative ? text.slice(1) : text).split(':') as [ResourceType | '*', string];
    for (const each of type === '*' ? resourceTypes : [type])
      for (const verb of action === '*' ? resourceActions[each] : [action])
        (negative ? denied : granted).add(`${each}:${verb}`);
  }
  return {
    vote: (type, action) => {
      const pair = `${type}:${action}`;
      return denied.has(pair) ? -1 : granted.has(pair) ? 1 : 0;
    },
  };
}
