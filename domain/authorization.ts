import { actorRole } from './actor-permissions.ts';
import { allowListAllows } from './allow-list.ts';
import { DomainError, notFound } from './errors.ts';
import { PREBUILDS_SYSTEM_USER_ID } from './ids.ts';
import { isActionOf } from './permissions.ts';
import type { Action, PermissionSet, ResourceType } from './permissions.ts';
import { resolveRoles } from './roles.ts';
import type { Role } from './roles.ts';
import { resolveScopes } from './scopes.ts';
import type { Subject } from './subject.ts';

export type { Action, ResourceType } from './permissions.ts';

/** What is asked about. Without `id`: the type as such, or an object that does not exist yet. */
export interface AuthObject {
  readonly type: ResourceType;
  readonly id?: string;
  readonly organizationId?: string | null;
  readonly ownerId?: string | null;
  readonly userAcl?: Readonly<Record<string, readonly string[]>>;
  readonly groupAcl?: Readonly<Record<string, readonly string[]>>;
}

type Level = keyof Role;
export type Vote = -1 | 0 | 1;

const siteRolesOf = (subject: Subject): Role[] =>
  subject.kind === 'actor' ? actorRole(subject.name) : resolveRoles(['member', ...subject.roles]);
export const organizationRolesOf = (subject: Subject, organizationId: string): Role[] =>
  subject.kind === 'actor'
    ? actorRole(subject.name)
    : resolveRoles(
        Object.hasOwn(subject.organizations, organizationId) ? (subject.organizations[organizationId] ?? []) : [],
      );

const tally = (sets: readonly PermissionSet[], type: ResourceType, action: Action): Vote => {
  const votes = sets.map((set) => set.vote(type, action));
  return votes.includes(-1) ? -1 : votes.includes(1) ? 1 : 0;
};

/** Organization roles may carry site permissions (an organization admin sees all users), so they vote there too. */
export function siteVote(subject: Subject, type: ResourceType, action: Action): Vote {
  const inOrganizations =
    subject.kind === 'actor' ? [] : Object.values(subject.organizations).flatMap((names) => resolveRoles(names));
  const roles = [...siteRolesOf(subject), ...inOrganizations];
  return tally(
    roles.map((role) => role.site),
    type,
    action,
  );
}

export const userVote = (subject: Subject, type: ResourceType, action: Action): Vote =>
  tally(
    siteRolesOf(subject).map((role) => role.user),
    type,
    action,
  );

export const organizationVote = (
  subject: Subject,
  organizationId: string,
  level: Extract<Level, 'org' | 'member'>,
  want: { type: ResourceType; action: Action },
): Vote =>
  tally(
    organizationRolesOf(subject, organizationId).map((role) => role[level]),
    want.type,
    want.action,
  );

const dormantForbids: readonly string[] = ['start', 'ssh', 'application_connect'];
const shared = ['read', 'start', 'stop', 'ssh', 'application_connect'];

/** ACL roles of the type that grant the action; stored as names and expanded here (spec/07 §5). */
export function aclRolesGranting(type: ResourceType, action: Action): string[] {
  if (action === 'create' || !isActionOf(type, action)) return [];
  switch (type) {
    case 'template':
      return action === 'read' || action === 'use' ? ['use', 'admin'] : ['admin'];
    case 'workspace':
    case 'workspace_dormant':
      // A dormant workspace stays as closed for guests as for its owner.
      if (type === 'workspace_dormant' && dormantForbids.includes(action)) return [];
      if (shared.includes(action)) return ['use', 'admin'];
      return action === 'delete' || action === 'share' || action === 'use_shared' ? [] : ['admin'];
    case 'group':
      return action === 'read' ? ['use'] : [];
    // Every other type has no ACL.
    default:
      return [];
  }
}

/** Guests of a workspace need `use_shared` in its organization; absent where sharing is off (spec/07 §4 step 4). */
export const mayUseAcl = (subject: Subject, organizationId: string, type: ResourceType): boolean =>
  (type !== 'workspace' && type !== 'workspace_dormant') ||
  (organizationVote(subject, organizationId, 'org', { type: 'workspace', action: 'use_shared' }) !== -1 &&
    organizationVote(subject, organizationId, 'member', { type: 'workspace', action: 'use_shared' }) === 1);

const entry = (acl: AuthObject['userAcl'], id: string): readonly string[] =>
  acl !== undefined && Object.hasOwn(acl, id) ? (acl[id] ?? []) : [];

function rolesAllow(subject: Subject, action: Action, object: AuthObject): boolean {
  const { type } = object;
  const site = siteVote(subject, type, action);
  if (site !== 0) return site === 1;
  const organizationId = object.organizationId ?? undefined;
  const owns = object.ownerId !== undefined && object.ownerId !== null && object.ownerId === subject.id;
  if (organizationId !== undefined) {
    if (!Object.hasOwn(subject.organizations, organizationId)) return false;
    const org = organizationVote(subject, organizationId, 'org', { type, action });
    if (org !== 0) return org === 1;
  }
  if (owns) {
    const own =
      organizationId === undefined
        ? userVote(subject, type, action)
        : organizationVote(subject, organizationId, 'member', { type, action });
    if (own !== 0) return own === 1;
  }
  if (organizationId === undefined || !mayUseAcl(subject, organizationId, type)) return false;
  const granting = aclRolesGranting(type, action);
  if (granting.length === 0) return false;
  const held = [
    ...entry(object.userAcl, subject.id),
    ...subject.groups.flatMap((group) => entry(object.groupAcl, group)),
  ];
  return held.some((role) => granting.includes(role));
}

/**
 * The decision: roles, then the key's scope, then its allow-list. Pure; says nothing about existence.
 * Source: spec/07 §4.
 */
export function isAllowed(subject: Subject, action: Action, object: AuthObject): boolean {
  return (
    isActionOf(object.type, action) &&
    allowListAllows(subject.allowList, object.type, action, object.id) &&
    resolveScopes(subject.scopes).vote(object.type, action) === 1 &&
    rolesAllow(subject, action, object)
  );
}

const forbidden = (detail?: string) =>
  new DomainError('FORBIDDEN', 'You may not do this', detail === undefined ? {} : { detail });

function denied(subject: Subject, action: Action, object: AuthObject): DomainError {
  if (action !== 'read' && isAllowed(subject, 'read', object)) return forbidden();
  // The key is too narrow, but its user may read this: naming the reason tells nothing new (spec/06 §1.1).
  if (
    resolveScopes(subject.scopes).vote(object.type, action) !== 1 &&
    allowListAllows(subject.allowList, object.type, 'read', object.id) &&
    (rolesAllow(subject, 'read', object) || rolesAllow(subject, action, object))
  )
    return forbidden('The scopes of this token do not cover it');
  if (object.id !== undefined) return notFound();
  // Something that does not exist yet, or a list: what is hidden is the place where it stands.
  if (object.organizationId !== undefined && object.organizationId !== null)
    return rolesAllow(subject, 'read', organizationObject(object.organizationId)) ? forbidden() : notFound();
  const foreign = object.ownerId !== undefined && object.ownerId !== null && object.ownerId !== subject.id;
  return foreign ? notFound() : forbidden();
}

/**
 * Throws NOT_FOUND when the subject may not even read the object, FORBIDDEN when it may read but not do this,
 * NO_ACTOR when nobody asks (a programming error, never an answer). Source: spec/07 §4 "HTTP mapping", §6.
 */
export function authorize(subject: Subject, action: Action, object: AuthObject): void {
  if ((subject as Subject | undefined) === undefined) throw new DomainError('NO_ACTOR', 'No actor was given');
  if (!isAllowed(subject, action, object)) throw denied(subject, action, object);
}

/** The columns of a workspace that decide about it; read them in the same row version as what is changed. */
export interface WorkspaceAuthRow {
  readonly id: string;
  readonly ownerId: string;
  readonly organizationId: string;
  readonly dormantAt: Date | null;
  readonly userAcl: Readonly<Record<string, readonly string[]>>;
  readonly groupAcl: Readonly<Record<string, readonly string[]>>;
}

/** A dormant workspace is another type, so that it can be stopped and deleted but not started (spec/07 §4.2). */
export const workspaceObject = (row: WorkspaceAuthRow): AuthObject => ({
  type: row.dormantAt === null ? 'workspace' : 'workspace_dormant',
  id: row.id,
  organizationId: row.organizationId,
  ownerId: row.ownerId,
  userAcl: row.userAcl,
  groupAcl: row.groupAcl,
});

/** `delete` needs read, update and delete; on an unclaimed prebuild the last two also through prebuilt_workspace. */
export function isWorkspaceAllowed(subject: Subject, action: Action, row: WorkspaceAuthRow): boolean {
  const object = workspaceObject(row);
  if (action !== 'delete') return isAllowed(subject, action, object);
  const prebuilt = row.ownerId === PREBUILDS_SYSTEM_USER_ID;
  const either = (verb: 'update' | 'delete') =>
    (prebuilt && isAllowed(subject, verb, { ...object, type: 'prebuilt_workspace' })) ||
    isAllowed(subject, verb, object);
  return isAllowed(subject, 'read', object) && either('update') && either('delete');
}

/** `authorize` for workspaces, with the rules of dormant and prebuilt ones. Source: spec/07 §4.2, spec/06 §9. */
export function authorizeWorkspace(subject: Subject, action: Action, row: WorkspaceAuthRow): void {
  if ((subject as Subject | undefined) === undefined) throw new DomainError('NO_ACTOR', 'No actor was given');
  if (!isWorkspaceAllowed(subject, action, row)) throw denied(subject, action, workspaceObject(row));
}

/** A workspace that `ownerId` would get; creating it also needs `use` on the template. */
export const newWorkspaceObject = (organizationId: string, ownerId: string): AuthObject => ({
  type: 'workspace',
  organizationId,
  ownerId,
});

export const templateObject = (row: {
  id: string;
  organizationId: string;
  userAcl: Readonly<Record<string, readonly string[]>>;
  groupAcl: Readonly<Record<string, readonly string[]>>;
}): AuthObject => ({
  type: 'template',
  id: row.id,
  organizationId: row.organizationId,
  userAcl: row.userAcl,
  groupAcl: row.groupAcl,
});

/** An organization stands in itself: its members read it through their organization roles. */
export const organizationObject = (id: string): AuthObject => ({ type: 'organization', id, organizationId: id });

/** A user owns himself: `user`-level permissions of `member` apply. */
export const userObject = (id: string): AuthObject => ({ type: 'user', id, ownerId: id });
