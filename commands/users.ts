import { randomUUID } from 'node:crypto';
import { transaction } from '../db/client.ts';
import type { Db } from '../db/client.ts';
import { lifecycleChannel, notify } from '../db/notifications.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { insertMember } from '../db/queries/members.ts';
import { listOrganizationsByIds } from '../db/queries/organizations.ts';
import {
  countLiveWorkspaces,
  countOtherOwners,
  deleteSessionsOf,
  findUserById,
  insertUser,
  lockOwners,
  lockUser,
  softDeleteUser,
  updateUser,
} from '../db/queries/users.ts';
import type { UserChange, UserRow } from '../db/queries/users.ts';
import { authorize, organizationObject, userObject } from '../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import { displayNameProblem, nameProblem } from '../domain/names.ts';
import { passwordProblem } from '../domain/passwords.ts';
import { parseQuietHours, quietHoursText } from '../domain/quiet-hours.ts';
import { changedRoles, mayAssignSiteRole } from '../domain/role-assignment.ts';
import { isSiteRole } from '../domain/roles.ts';
import { requireValid, withConflicts } from './caller.ts';
import type { AccessDeps, Caller } from './caller.ts';
import type { PasswordHasher } from './password-hash.ts';
import { requireEmail } from './user-input.ts';

const conflicts = { users_email_lower_idx: 'email', users_username_lower_idx: 'username' };
type LockedUser = Awaited<ReturnType<typeof lockUser>>;

export interface NewUser {
  readonly email: string;
  readonly username: string;
  readonly name: string;
  readonly password: string;
  readonly loginType: 'password' | 'none' | 'github' | 'oidc';
  readonly status: 'active' | 'dormant';
  readonly organizationIds: readonly string[];
  readonly serviceAccount: boolean;
}

async function afterChange(db: Db, id: string): Promise<UserRow> {
  const user = await findUserById(db, id);
  if (user === undefined) throw notFound();
  return user;
}

const auditUser = (
  caller: Caller,
  change: {
    action: 'create' | 'write' | 'delete';
    before: LockedUser | null;
    after: Record<string, unknown> | null;
    now: Date;
  },
  user: { id: string; username: string },
) => ({
  origin: caller.origin,
  time: change.now,
  resourceType: 'user',
  resourceId: user.id,
  resourceTarget: user.username,
  action: change.action,
  statusCode: change.action === 'create' ? 201 : 200,
  diff: auditDiff('user', change.before, change.after),
});

/** Checks everything that needs no hash, so that refused requests cost nothing. Returns the address to store. */
function requireUser(input: NewUser): string {
  requireValid('username', nameProblem('user', input.username));
  requireValid('name', displayNameProblem(input.name, 128));
  if (input.organizationIds.length === 0)
    throw invalidField('organization_ids', 'a user belongs to at least one organization');
  if (input.serviceAccount) {
    if (input.email !== '') throw invalidField('email', 'service accounts have no e-mail address');
    if (input.password !== '') throw invalidField('password', 'service accounts have no password');
    return '';
  }
  const email = requireEmail(input.email);
  if (input.loginType === 'password') requireValid('password', passwordProblem(input.password, { ...input, email }));
  else if (input.password !== '') throw invalidField('password', `login type ${input.loginType} has no password`);
  return email;
}

/** Needs user.create, and organization_member.create in each organization. Source: spec/06 §3, spec/07 §1. */
export async function createUser(
  deps: AccessDeps & { passwords: PasswordHasher },
  caller: Caller,
  input: NewUser,
): Promise<UserRow> {
  const { subject } = caller;
  authorize(subject, 'create', { type: 'user' });
  const email = requireUser(input);
  const organizationIds = [...new Set(input.organizationIds)];
  const known = await listOrganizationsByIds(deps.db, organizationIds);
  for (const id of organizationIds) {
    if (!known.some((organization) => organization.id === id))
      throw invalidField('organization_ids', `there is no organization ${id}`);
    authorize(subject, 'read', organizationObject(id));
    authorize(subject, 'create', { type: 'organization_member', organizationId: id });
  }
  const loginType = input.serviceAccount ? ('none' as const) : input.loginType;
  const hashedPassword = loginType === 'password' ? await deps.passwords.hash(input.password) : '';
  const now = deps.now();
  const user = {
    id: randomUUID(),
    email,
    username: input.username,
    name: input.name,
    hashedPassword,
    status: input.status,
    loginType,
    isServiceAccount: input.serviceAccount,
    createdAt: now,
    updatedAt: now,
  };
  return withConflicts(conflicts, () =>
    transaction(deps.db, async (tx) => {
      await insertUser(tx, user);
      for (const organizationId of organizationIds)
        await insertMember(tx, { organizationId, userId: user.id, roles: [], now });
      await insertAudit(tx, auditUser(caller, { action: 'create', before: null, after: user, now }, user));
      return afterChange(tx, user.id);
    }),
  );
}

/** Soft delete; name and address become free again. Source: spec/07 §1. */
export async function deleteUser(deps: AccessDeps, caller: Caller, userId: string): Promise<void> {
  const { subject } = caller;
  await transaction(deps.db, async (tx) => {
    await lockOwners(tx);
    const user = await lockUser(tx, userId);
    authorize(subject, 'delete', userObject(user.id));
    if (user.id === subject.id) throw new DomainError('INVALID_INPUT', 'You cannot delete yourself');
    await requireAnotherOwner(tx, user, 'deleted');
    const workspaces = await countLiveWorkspaces(tx, user.id);
    if (workspaces > 0)
      throw new DomainError('USER_HAS_WORKSPACES', `The user still owns ${workspaces} workspaces; delete them first`);
    const now = deps.now();
    await softDeleteUser(tx, user.id, now);
    await insertAudit(
      tx,
      auditUser(caller, { action: 'delete', before: user, after: { ...user, deleted: true }, now }, user),
    );
  });
}

async function requireAnotherOwner(tx: Db, user: LockedUser, what: string): Promise<void> {
  if (user.rbacRoles.includes('owner') && (await countOtherOwners(tx, user.id)) === 0)
    throw new DomainError('INVALID_INPUT', `The last owner cannot be ${what}`);
}

/** Locked row → authorization → change → audit, in one transaction. */
async function changeUser(
  deps: AccessDeps,
  caller: Caller,
  step: {
    userId: string;
    action: 'update' | 'update_personal';
    decide: (tx: Db, user: LockedUser) => Promise<UserChange> | UserChange;
  },
): Promise<UserRow> {
  return withConflicts(conflicts, () =>
    transaction(deps.db, async (tx) => {
      await lockOwners(tx);
      const user = await lockUser(tx, step.userId);
      authorize(caller.subject, step.action, userObject(user.id));
      const change = await step.decide(tx, user);
      const now = deps.now();
      await updateUser(tx, user.id, { ...change, updatedAt: now });
      await insertAudit(
        tx,
        auditUser(caller, { action: 'write', before: user, after: { ...user, ...change }, now }, user),
      );
      return afterChange(tx, user.id);
    }),
  );
}

export function updateProfile(
  deps: AccessDeps,
  caller: Caller,
  input: { userId: string; username: string; name: string },
): Promise<UserRow> {
  const { userId, username, name } = input;
  requireValid('username', nameProblem('user', username));
  requireValid('name', displayNameProblem(name, 128));
  return changeUser(deps, caller, { userId, action: 'update_personal', decide: () => ({ username, name }) });
}

/** A suspended user's sessions end; tokens sleep until the activation. Source: spec/07 §1 "Status rules". */
export function setUserStatus(
  deps: AccessDeps,
  caller: Caller,
  input: { userId: string; status: 'active' | 'suspended' },
): Promise<UserRow> {
  return changeUser(deps, caller, {
    userId: input.userId,
    action: 'update',
    async decide(tx, user) {
      if (input.status === 'suspended') {
        if (user.id === caller.subject.id) throw new DomainError('INVALID_INPUT', 'You cannot suspend yourself');
        if (user.rbacRoles.includes('owner'))
          throw new DomainError('INVALID_INPUT', 'Owners cannot be suspended; take away the role first');
        await deleteSessionsOf(tx, user.id);
        // What runs of his is stopped at once.
        await notify(tx, lifecycleChannel, user.id);
      }
      return { status: input.status };
    },
  });
}

/** Site roles; who may give and take which: domain/role-assignment.ts. Source: spec/07 §4.1. */
export function setSiteRoles(
  deps: AccessDeps,
  caller: Caller,
  input: { userId: string; roles: readonly string[] },
): Promise<UserRow> {
  const { subject } = caller;
  const wanted = [...new Set(input.roles)].filter((role) => role !== 'member');
  const unknown = wanted.find((role) => !isSiteRole(role));
  if (unknown !== undefined) throw invalidField('roles', `"${unknown}" is not a site role`);
  return withConflicts(conflicts, () =>
    transaction(deps.db, async (tx) => {
      await lockOwners(tx);
      const user = await lockUser(tx, input.userId);
      authorize(subject, 'read', userObject(user.id));
      const { added, removed } = changedRoles(user.rbacRoles, wanted);
      authorize(subject, 'assign', { type: 'assign_role' });
      if (removed.length > 0) authorize(subject, 'unassign', { type: 'assign_role' });
      if (user.id === subject.id) throw new DomainError('INVALID_INPUT', 'You cannot change your own roles');
      const refused = [...added, ...removed].find((role) => !mayAssignSiteRole(subject, role));
      if (refused !== undefined) throw new DomainError('FORBIDDEN', `You may not assign the role ${refused}`);
      if (removed.includes('owner')) await requireAnotherOwner(tx, user, 'stripped of the role');
      const now = deps.now();
      await updateUser(tx, user.id, { rbacRoles: wanted, updatedAt: now });
      await insertAudit(
        tx,
        auditUser(caller, { action: 'write', before: user, after: { ...user, rbacRoles: wanted }, now }, user),
      );
      return afterChange(tx, user.id);
    }),
  );
}

/** Empty = the deployment's again. What runs now keeps its deadlines, else an edit would put every stop off. Source: spec/04 §6.2. */
export function setQuietHours(
  deps: AccessDeps,
  caller: Caller,
  input: { userId: string; schedule: string },
): Promise<UserRow> {
  return changeUser(deps, caller, {
    userId: input.userId,
    action: 'update_personal',
    decide: () => {
      if (!deps.config.CODER_ALLOW_CUSTOM_QUIET_HOURS)
        throw new DomainError('FORBIDDEN', 'This deployment does not allow quiet hours of users');
      const schedule = input.schedule.trim();
      return { quietHoursSchedule: schedule === '' ? '' : quietHoursText(parseQuietHours(schedule)) };
    },
  });
}
