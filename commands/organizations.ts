import { randomUUID } from 'node:crypto';
import { transaction } from '../db/client.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { insertMember } from '../db/queries/members.ts';
import {
  countOrganizationContents,
  findOrganizationByRef,
  insertOrganization,
  lockOrganization,
  updateOrganization,
} from '../db/queries/organizations.ts';
import type { OrganizationRow } from '../db/queries/organizations.ts';
import { authorize, organizationObject } from '../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import { displayNameProblem, nameProblem } from '../domain/names.ts';
import { requireValid, withConflicts } from './caller.ts';
import type { AccessDeps, Caller } from './caller.ts';

const nameTaken = { organizations_name_idx: 'name' };
const maxText = 512;

export interface OrganizationChange {
  readonly name?: string | undefined;
  readonly displayName?: string | undefined;
  readonly description?: string | undefined;
  readonly icon?: string | undefined;
  readonly defaultOrgMemberRoles?: readonly string[] | undefined;
}

function requireOrganization(change: OrganizationChange): void {
  if (change.name !== undefined) requireValid('name', nameProblem('organization', change.name));
  if (change.displayName !== undefined) requireValid('display_name', displayNameProblem(change.displayName));
  for (const field of ['description', 'icon'] as const)
    if ((change[field]?.length ?? 0) > maxText) throw invalidField(field, `must have at most ${maxText} characters`);
  const foreign = change.defaultOrgMemberRoles?.find((role) => role !== 'organization-workspace-access');
  if (foreign !== undefined) throw invalidField('default_org_member_roles', `"${foreign}" cannot be a default role`);
}

const auditOrganization = (
  caller: Caller,
  organization: { id: string; name: string },
  change: { action: 'create' | 'write' | 'delete'; before: object | null; after: object; now: Date },
) => ({
  origin: caller.origin,
  time: change.now,
  resourceType: 'organization',
  resourceId: organization.id,
  resourceTarget: organization.name,
  organizationId: organization.id,
  action: change.action,
  statusCode: change.action === 'create' ? 201 : 200,
  diff: auditDiff(
    'organization',
    change.before as Record<string, unknown> | null,
    change.after as Record<string, unknown>,
  ),
});

/** With its everyone group; who makes it administers it. */
export async function createOrganization(
  deps: AccessDeps,
  caller: Caller,
  input: OrganizationChange & { name: string },
): Promise<OrganizationRow> {
  authorize(caller.subject, 'create', { type: 'organization' });
  requireOrganization(input);
  const now = deps.now();
  const organization = {
    id: randomUUID(),
    name: input.name,
    displayName: input.displayName === undefined || input.displayName === '' ? input.name : input.displayName,
    description: input.description ?? '',
    icon: input.icon ?? '',
    createdAt: now,
    updatedAt: now,
  };
  return withConflicts(nameTaken, () =>
    transaction(deps.db, async (tx) => {
      await insertOrganization(tx, organization);
      await insertMember(tx, {
        organizationId: organization.id,
        userId: caller.subject.id,
        roles: ['organization-admin'],
        now,
      });
      await insertAudit(
        tx,
        auditOrganization(caller, organization, { action: 'create', before: null, after: organization, now }),
      );
      const created = await findOrganizationByRef(tx, organization.id);
      if (created === undefined) throw notFound();
      return created;
    }),
  );
}

export async function changeOrganization(
  deps: AccessDeps,
  caller: Caller,
  input: OrganizationChange & { id: string },
): Promise<OrganizationRow> {
  return withConflicts(nameTaken, () =>
    transaction(deps.db, async (tx) => {
      const before = await lockOrganization(tx, input.id);
      authorize(caller.subject, 'update', organizationObject(before.id));
      // A name that stays is not checked: it may be older than the rules.
      requireOrganization({ ...input, name: input.name === before.name ? undefined : input.name });
      const now = deps.now();
      const change = {
        ...(input.name !== undefined && { name: input.name }),
        ...(input.displayName !== undefined && { displayName: input.displayName }),
        ...(input.description !== undefined && { description: input.description }),
        ...(input.icon !== undefined && { icon: input.icon }),
        ...(input.defaultOrgMemberRoles !== undefined && { defaultOrgMemberRoles: [...input.defaultOrgMemberRoles] }),
      };
      await updateOrganization(tx, before.id, { ...change, updatedAt: now });
      await insertAudit(
        tx,
        auditOrganization(caller, before, { action: 'write', before, after: { ...before, ...change }, now }),
      );
      return { ...before, ...change, updatedAt: now };
    }),
  );
}

/** Refused for the default one (400) and while anything stands in it (409 with counts). Source: spec/01 §1.1. */
export async function deleteOrganization(deps: AccessDeps, caller: Caller, id: string): Promise<void> {
  await transaction(deps.db, async (tx) => {
    const organization = await lockOrganization(tx, id);
    authorize(caller.subject, 'delete', organizationObject(organization.id));
    if (organization.isDefault) throw new DomainError('INVALID_INPUT', 'The default organization cannot be deleted');
    const contents = await countOrganizationContents(tx, id, caller.subject.id);
    const left = Object.entries(contents).filter(([, count]) => count > 0);
    if (left.length > 0)
      throw new DomainError('CONFLICT', 'The organization is not empty', {
        detail: left.map(([what, count]) => `${count} ${what}`).join(', '),
      });
    const now = deps.now();
    await updateOrganization(tx, id, { deleted: true, updatedAt: now });
    await insertAudit(
      tx,
      auditOrganization(caller, organization, {
        action: 'delete',
        before: organization,
        after: { ...organization, deleted: true },
        now,
      }),
    );
  });
}
