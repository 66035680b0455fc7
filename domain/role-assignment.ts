import { organizationRoles, siteRoles } from './roles.ts';
import { isSiteOwner } from './subject.ts';
import type { Subject } from './subject.ts';

/**
 * Who may give and take which role, beside the assign/unassign action: owners every role, organization admins those of
 * their organization, user admins only what makes a plain member. Source: spec/07 §4.1 "Who may assign what".
 */
const memberClass: readonly string[] = ['organization-member', 'organization-workspace-access'];

export const mayAssignSiteRole = (subject: Subject, _role: string): boolean => isSiteOwner(subject);

export function mayAssignOrganizationRole(subject: Subject, organizationId: string, role: string): boolean {
  if (isSiteOwner(subject)) return true;
  const here = Object.hasOwn(subject.organizations, organizationId)
    ? (subject.organizations[organizationId] ?? [])
    : [];
  if (here.includes('organization-admin')) return true;
  return (
    memberClass.includes(role) && (subject.roles.includes('user-admin') || here.includes('organization-user-admin'))
  );
}

export interface AssignableRole {
  readonly name: string;
  readonly displayName: string;
  readonly assignable: boolean;
}

export const listSiteRoles = (subject: Subject): AssignableRole[] =>
  Object.entries(siteRoles).map(([name, { displayName }]) => ({
    name,
    displayName,
    assignable: mayAssignSiteRole(subject, name),
  }));

export const listOrganizationRoles = (subject: Subject, organizationId: string): AssignableRole[] =>
  Object.entries(organizationRoles).map(([name, { displayName }]) => ({
    name,
    displayName,
    assignable: mayAssignOrganizationRole(subject, organizationId, name),
  }));

/** Roles in one list but not in the other: what an assignment would change. */
export const changedRoles = (
  before: readonly string[],
  after: readonly string[],
): { added: string[]; removed: string[] } => ({
  added: after.filter((role) => !before.includes(role)),
  removed: before.filter((role) => !after.includes(role)),
});
