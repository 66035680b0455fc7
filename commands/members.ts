import { transaction } from '../db/client.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { deleteMember, findMember, insertMember, lockMember, updateMemberRoles } from '../db/queries/members.ts';
import type { MemberRow } from '../db/queries/members.ts';
import { lockOrganization } from '../db/queries/organizations.ts';
import { findUserById } from '../db/queries/users.ts';
import { authorize } from '../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import { changedRoles, mayAssignOrganizationRole } from '../domain/role-assignment.ts';
import { isOrganizationRole } from '../domain/roles.ts';
import type { AccessDeps, Caller } from './caller.ts';

interface Place {
  readonly organizationId: string;
  readonly userId: string;
}
type Roles = { organizationId: string; userId: string; roles: string[] };

const memberObject = ({ organizationId, userId }: Place) => ({
  type: 'organization_member' as const,
  id: userId,
  organizationId,
  ownerId: userId,
});

const auditMember = (
  caller: Caller,
  member: { place: Place; username: string },
  change: { action: 'create' | 'write' | 'delete'; before: Roles | null; after: Roles | null; now: Date },
) => ({
  origin: caller.origin,
  time: change.now,
  resourceType: 'organization_member',
  resourceId: member.place.userId,
  resourceTarget: member.username,
  organizationId: member.place.organizationId,
  action: change.action,
  diff: auditDiff(
    'organization_member',
    change.before as Record<string, unknown> | null,
    change.after as Record<string, unknown> | null,
  ),
});

/** System users too: the prebuilds user must be a member where prebuilds stand. Throws CONFLICT for a member. */
export async function addMember(deps: AccessDeps, caller: Caller, place: Place): Promise<MemberRow> {
  return transaction(deps.db, async (tx) => {
    await lockOrganization(tx, place.organizationId);
    authorize(caller.subject, 'create', { type: 'organization_member', organizationId: place.organizationId });
    const user = await findUserById(tx, place.userId, { includeSystem: true });
    if (user === undefined) throw notFound();
    const now = deps.now();
    if (!(await insertMember(tx, { ...place, roles: [], now })))
      throw new DomainError('CONFLICT', 'The user is already a member');
    await insertAudit(
      tx,
      auditMember(
        caller,
        { place, username: user.username },
        { action: 'create', before: null, after: { ...place, roles: [] }, now },
      ),
    );
    const member = await findMember(tx, place.organizationId, place.userId);
    if (member === undefined) throw notFound();
    return member;
  });
}

/** The user's groups of that organization go with the membership. */
export async function removeMember(deps: AccessDeps, caller: Caller, place: Place): Promise<void> {
  await transaction(deps.db, async (tx) => {
    const member = await lockMember(tx, place.organizationId, place.userId);
    const user = await findUserById(tx, place.userId, { includeSystem: true });
    if (member === undefined || user === undefined) throw notFound();
    authorize(caller.subject, 'delete', memberObject(place));
    if (place.userId === caller.subject.id) throw new DomainError('INVALID_INPUT', 'You cannot remove yourself');
    const now = deps.now();
    await deleteMember(tx, place.organizationId, place.userId);
    await insertAudit(
      tx,
      auditMember(caller, { place, username: user.username }, { action: 'delete', before: member, after: null, now }),
    );
  });
}

/**
 * Roles of a member; the implied `organization-member` is accepted and not stored. System users have none. Source: spec/07 §4.1,
 * §1.
 */
export async function setMemberRoles(
  deps: AccessDeps,
  caller: Caller,
  input: Place & { roles: readonly string[] },
): Promise<MemberRow> {
  const { subject } = caller;
  const { organizationId, userId } = input;
  const place = { organizationId, userId };
  const wanted = [...new Set(input.roles)]
    .map((role) => role.replace(new RegExp(`:${organizationId}$`, 'i'), ''))
    .filter((role) => role !== 'organization-member');
  const unknown = wanted.find((role) => !isOrganizationRole(role));
  if (unknown !== undefined) throw invalidField('roles', `"${unknown}" is not a role of an organization`);
  return transaction(deps.db, async (tx) => {
    await lockOrganization(tx, organizationId);
    const before = await lockMember(tx, organizationId, userId);
    const user = await findUserById(tx, userId, { includeSystem: true });
    if (before === undefined || user === undefined) throw notFound();
    authorize(subject, 'read', memberObject(place));
    authorize(subject, 'assign', { type: 'assign_org_role', organizationId });
    if (user.isSystem) throw new DomainError('INVALID_INPUT', 'A system user has no roles');
    const { added, removed } = changedRoles(before.roles, wanted);
    if (removed.length > 0) authorize(subject, 'unassign', { type: 'assign_org_role', organizationId });
    if (userId === subject.id) throw new DomainError('INVALID_INPUT', 'You cannot change your own roles');
    const refused = [...added, ...removed].find((role) => !mayAssignOrganizationRole(subject, organizationId, role));
    if (refused !== undefined) throw new DomainError('FORBIDDEN', `You may not assign the role ${refused}`);
    const now = deps.now();
    await updateMemberRoles(tx, { ...place, roles: wanted, now });
    await insertAudit(
      tx,
      auditMember(
        caller,
        { place, username: user.username },
        { action: 'write', before, after: { ...before, roles: wanted }, now },
      ),
    );
    const member = await findMember(tx, organizationId, userId);
    if (member === undefined) throw notFound();
    return member;
  });
}
