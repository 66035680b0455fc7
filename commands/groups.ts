import { randomUUID } from 'node:crypto';
import { transaction } from '../db/client.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { groupObject } from '../db/queries/auth-rows.ts';
import {
  changeGroupMembers,
  deleteGroup as deleteGroupRow,
  getGroup,
  insertGroup,
  listMemberIds,
  lockGroup,
  updateGroup,
} from '../db/queries/groups.ts';
import type { GroupRow } from '../db/queries/groups.ts';
import { authorize } from '../domain/authorization.ts';
import { DomainError, invalidField } from '../domain/errors.ts';
import { displayNameProblem, nameProblem } from '../domain/names.ts';
import { requireValid, withConflicts } from './caller.ts';
import type { AccessDeps, Caller } from './caller.ts';

const nameTaken = { groups_name_idx: 'name' };

export interface GroupChange {
  readonly name?: string | undefined;
  readonly displayName?: string | undefined;
  readonly avatarUrl?: string | undefined;
  readonly quotaAllowance?: number | undefined;
}

function requireGroup(change: GroupChange): void {
  if (change.name !== undefined) {
    requireValid('name', nameProblem('group', change.name));
    if (change.name.toLowerCase() === 'everyone') throw invalidField('name', '"Everyone" is reserved');
  }
  if (change.displayName !== undefined) requireValid('display_name', displayNameProblem(change.displayName, 255));
  if ((change.avatarUrl?.length ?? 0) > 2048) throw invalidField('avatar_url', 'must have at most 2048 characters');
  if (change.quotaAllowance !== undefined && change.quotaAllowance < 0)
    throw invalidField('quota_allowance', 'must not be negative');
}

const auditGroup = (
  caller: Caller,
  group: { id: string; name: string; organizationId: string },
  change: {
    action: 'create' | 'write' | 'delete';
    before: object | null;
    after: object | null;
    now: Date;
    members?: { added: readonly string[]; removed: readonly string[] };
  },
) => ({
  origin: caller.origin,
  time: change.now,
  resourceType: 'group',
  resourceId: group.id,
  resourceTarget: group.name,
  organizationId: group.organizationId,
  action: change.action,
  statusCode: change.action === 'create' ? 201 : 200,
  diff: {
    ...auditDiff(
      'group',
      change.before as Record<string, unknown> | null,
      change.after as Record<string, unknown> | null,
    ),
    ...(change.members !== undefined &&
      change.members.added.length + change.members.removed.length > 0 && {
        members: { old: change.members.removed, new: change.members.added, secret: false },
      }),
  },
});

export async function createGroup(
  deps: AccessDeps,
  caller: Caller,
  input: GroupChange & { name: string; organizationId: string },
): Promise<GroupRow> {
  authorize(caller.subject, 'create', { type: 'group', organizationId: input.organizationId });
  requireGroup(input);
  const now = deps.now();
  const group = {
    id: randomUUID(),
    name: input.name,
    organizationId: input.organizationId,
    displayName: input.displayName ?? '',
    avatarUrl: input.avatarUrl ?? '',
    quotaAllowance: input.quotaAllowance ?? 0,
  };
  return withConflicts(nameTaken, () =>
    transaction(deps.db, async (tx) => {
      await insertGroup(tx, group);
      await insertAudit(tx, auditGroup(caller, group, { action: 'create', before: null, after: group, now }));
      return getGroup(tx, caller.subject, group.id);
    }),
  );
}

/** The everyone group keeps its name and its implicit members; its quota may change. Source: spec/07 §2. */
export async function changeGroup(
  deps: AccessDeps,
  caller: Caller,
  input: GroupChange & { id: string; addUsers: readonly string[]; removeUsers: readonly string[] },
): Promise<GroupRow> {
  return withConflicts(nameTaken, () =>
    transaction(deps.db, async (tx) => {
      const before = await lockGroup(tx, input.id);
      authorize(caller.subject, 'update', groupObject(before));
      const everyone = before.id === before.organizationId;
      const renamed = input.name !== undefined && input.name !== '' && input.name !== before.name;
      if (everyone && renamed) throw invalidField('name', 'the everyone group cannot be renamed');
      if (everyone && input.addUsers.length + input.removeUsers.length > 0)
        throw new DomainError('INVALID_INPUT', 'Everybody in the organization belongs to the everyone group');
      requireGroup({ ...input, name: renamed ? input.name : undefined });
      const members = await listMemberIds(tx, before.organizationId, input.addUsers);
      const stranger = input.addUsers.find((id) => !members.includes(id));
      if (stranger !== undefined) throw invalidField('add_users', `${stranger} is not a member of the organization`);
      const change = {
        ...(renamed && input.name !== undefined && { name: input.name }),
        ...(input.displayName !== undefined && { displayName: input.displayName }),
        ...(input.avatarUrl !== undefined && { avatarUrl: input.avatarUrl }),
        ...(input.quotaAllowance !== undefined && { quotaAllowance: input.quotaAllowance }),
      };
      await updateGroup(tx, before.id, change);
      await changeGroupMembers(tx, before.id, { add: input.addUsers, remove: input.removeUsers });
      await insertAudit(
        tx,
        auditGroup(caller, before, {
          action: 'write',
          before,
          after: { ...before, ...change },
          now: deps.now(),
          members: { added: input.addUsers, removed: input.removeUsers },
        }),
      );
      return getGroup(tx, caller.subject, before.id);
    }),
  );
}

export async function deleteGroup(deps: AccessDeps, caller: Caller, id: string): Promise<void> {
  await transaction(deps.db, async (tx) => {
    const group = await lockGroup(tx, id);
    authorize(caller.subject, 'delete', groupObject(group));
    if (group.id === group.organizationId)
      throw new DomainError('INVALID_INPUT', 'The everyone group cannot be deleted');
    await deleteGroupRow(tx, group.id);
    await insertAudit(tx, auditGroup(caller, group, { action: 'delete', before: group, after: null, now: deps.now() }));
  });
}
