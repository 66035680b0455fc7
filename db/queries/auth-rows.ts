import { and, eq } from 'drizzle-orm';
import { organizationObject, templateObject, userObject } from '../../domain/authorization.ts';
import type { AuthObject, ResourceType, WorkspaceAuthRow } from '../../domain/authorization.ts';
import type { Db } from '../client.ts';
import { templates } from '../schema/templates.ts';
import { groups, organizations, users } from '../schema/users.ts';
import { workspaces } from '../schema/workspaces.ts';

export type AuthRow =
  { kind: 'workspace'; row: WorkspaceAuthRow } | { kind: 'object'; object: AuthObject } | { kind: 'missing' };

/** WorkspaceAuthRow. */
export const workspaceAuthColumns = {
  id: workspaces.id,
  ownerId: workspaces.ownerId,
  organizationId: workspaces.organizationId,
  dormantAt: workspaces.dormantAt,
  userAcl: workspaces.userAcl,
  groupAcl: workspaces.groupAcl,
};

/** A group is readable by its members: as if its ACL named itself. */
export const groupObject = (row: { id: string; organizationId: string }): AuthObject => ({
  type: 'group',
  id: row.id,
  organizationId: row.organizationId,
  groupAcl: { [row.id]: ['use'] },
});

/** What decides about a live row of a type that can be looked up by id; undefined for other types. */
export async function findAuthRow(db: Db, type: ResourceType, id: string): Promise<AuthRow | undefined> {
  const asObject = <T>(row: T | undefined, object: (row: T) => AuthObject): AuthRow =>
    row === undefined ? { kind: 'missing' } : { kind: 'object', object: object(row) };
  if (type === 'workspace' || type === 'workspace_dormant' || type === 'prebuilt_workspace') {
    const [row] = await db
      .select(workspaceAuthColumns)
      .from(workspaces)
      .where(and(eq(workspaces.id, id), eq(workspaces.deleted, false)));
    return row === undefined ? { kind: 'missing' } : { kind: 'workspace', row };
  }
  if (type === 'template') {
    const [row] = await db
      .select({
        id: templates.id,
        organizationId: templates.organizationId,
        userAcl: templates.userAcl,
        groupAcl: templates.groupAcl,
      })
      .from(templates)
      .where(and(eq(templates.id, id), eq(templates.deleted, false)));
    return asObject(row, templateObject);
  }
  if (type === 'group') {
    const [row] = await db
      .select({ id: groups.id, organizationId: groups.organizationId })
      .from(groups)
      .where(eq(groups.id, id));
    return asObject(row, groupObject);
  }
  if (type === 'user') {
    const [row] = await db
      .select({ id: users.id })
      .from(users)
      .where(and(eq(users.id, id), eq(users.deleted, false)));
    return asObject(row, (user) => userObject(user.id));
  }
  if (type === 'organization') {
    const [row] = await db
      .select({ id: organizations.id })
      .from(organizations)
      .where(and(eq(organizations.id, id), eq(organizations.deleted, false)));
    return asObject(row, (organization) => organizationObject(organization.id));
  }
  return undefined;
}
