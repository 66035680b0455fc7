import { compilePermissions, isResourceType, resourceActions, resourceTypes } from './permissions.ts';
import type { PermissionSet, PermissionText, ResourceType } from './permissions.ts';

/** What a key may be used for, whatever its user may do. Source: spec/07 §3.2. */
const compositeScopes: Record<string, readonly PermissionText[]> = {
  'coder:all': ['*:*'],
  'coder:application_connect': ['workspace:application_connect'],
  'coder:workspaces.create': [
    'template:read',
    'template:use',
    'workspace:create',
    'workspace:read',
    'workspace:update',
  ],
  'coder:workspaces.operate': [
    'workspace:read',
    'workspace:update',
    'workspace:start',
    'workspace:stop',
    'template:read',
  ],
  'coder:workspaces.delete': ['workspace:read', 'workspace:delete'],
  'coder:workspaces.access': ['workspace:read', 'workspace:ssh', 'workspace:application_connect'],
  'coder:templates.build': ['template:read', 'file:create', 'file:read', 'provisioner_jobs:read'],
  'coder:templates.author': ['template:*', 'file:create', 'file:read'],
  'coder:apikeys.manage_self': ['api_key:*'],
};

const lowLevel: Partial<Record<ResourceType, readonly string[]>> = {
  workspace: ['read', 'create', 'update', 'delete', 'ssh', 'start', 'stop', 'application_connect', '*'],
  template: ['read', 'create', 'update', 'delete', 'use', '*'],
  api_key: [...resourceActions.api_key, '*'],
  file: [...resourceActions.file, '*'],
  user: ['read', 'read_personal', 'update_personal', '*'],
  user_secret: [...resourceActions.user_secret, '*'],
  organization: [...resourceActions.organization, '*'],
  inbox_notification: ['read', 'update'],
};

const legacyScopes: Record<string, string> = {
  all: 'coder:all',
  application_connect: 'coder:application_connect',
};

/** The stored name of a scope as clients write it, or undefined when there is no such scope. */
export function scopeFromWire(text: string): string | undefined {
  const name = Object.hasOwn(legacyScopes, text) ? legacyScopes[text] : text;
  return name !== undefined && isScope(name) ? name : undefined;
}

export function isScope(name: string): boolean {
  if (Object.hasOwn(compositeScopes, name)) return true;
  const [type = '', action = '', ...rest] = name.split(':');
  return rest.length === 0 && isResourceType(type) && (lowLevel[type]?.includes(action) ?? false);
}

/** Every scope that a token may carry. */
export const scopeNames: readonly string[] = [
  ...Object.keys(compositeScopes),
  ...Object.entries(lowLevel).flatMap(([type, actions]) => actions.map((action) => `${type}:${action}`)),
];

const cache = new Map<string, PermissionSet>();

/** What the scopes allow together. A right on workspaces covers dormant and prebuilt ones, which are workspaces too. */
export function resolveScopes(scopes: readonly string[]): PermissionSet {
  const key = scopes.join(' ');
  const known = cache.get(key);
  if (known) return known;
  const texts = scopes.flatMap((scope) =>
    Object.hasOwn(compositeScopes, scope)
      ? (compositeScopes[scope] ?? [])
      : isScope(scope)
        ? [scope as PermissionText]
        : [],
  );
  const kin = texts.flatMap((text) => {
    if (!text.startsWith('workspace:')) return [text];
    const action = text.slice('workspace:'.length);
    const prebuilt = ['update', 'delete', '*'].includes(action) ? [`prebuilt_workspace:${action}`] : [];
    return [text, `workspace_dormant:${action}`, ...prebuilt] as PermissionText[];
  });
  const set = compilePermissions(kin);
  // Keys choose among finitely many scopes, but their combinations are many: keep the cache small.
  if (cache.size > 500) cache.clear();
  cache.set(key, set);
  return set;
}

/** Whether `wanted` allows nothing that `held` does not: a scoped key can never make a wider one (spec/07 §3.2). */
export function scopesWithin(wanted: readonly string[], held: readonly string[]): boolean {
  const [want, have] = [resolveScopes(wanted), resolveScopes(held)];
  return resourceTypes.every((type) =>
    resourceActions[type].every((action) => want.vote(type, action) !== 1 || have.vote(type, action) === 1),
  );
}
