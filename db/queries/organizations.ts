import { and, asc, eq, inArray, ne, sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import { authorize, organizationObject } from '../../domain/authorization.ts';
import { notFound } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import type { Subject } from '../../domain/subject.ts';
import { readableBy } from '../authorization-filter.ts';
import type { Db } from '../client.ts';
import { templates } from '../schema/templates.ts';
import { groups, organizationMembers, organizations, users } from '../schema/users.ts';
import { workspaces } from '../schema/workspaces.ts';

const organizationColumns = {
  id: organizations.id,
  name: organizations.name,
  displayName: organizations.displayName,
  description: organizations.description,
  icon: organizations.icon,
  isDefault: organizations.isDefault,
  shareableWorkspaceOwners: organizations.shareableWorkspaceOwners,
  defaultOrgMemberRoles: organizations.defaultOrgMemberRoles,
  createdAt: organizations.createdAt,
  updatedAt: organizations.updatedAt,
};
export type OrganizationRow = Awaited<ReturnType<typeof findOne>> & object;

async function findOne(db: Db, where: SQL | undefined) {
  const [row] = await db
    .select(organizationColumns)
    .from(organizations)
    .where(and(eq(organizations.deleted, false), where));
  return row;
}

/** `{organization}` of a path: uuid, name (any case) or `default`. No permission is checked. */
export async function findOrganizationByRef(db: Db, ref: string): Promise<OrganizationRow | undefined> {
  if (ref.toLowerCase() === 'default') return findOne(db, eq(organizations.isDefault, true));
  return findOne(db, isUuid(ref) ? eq(organizations.id, ref) : sql`lower(${organizations.name}) = lower(${ref})`);
}

/** The same for those who may read it; who is not a member gets NOT_FOUND. */
export async function getOrganizationByRef(db: Db, subject: Subject, ref: string): Promise<OrganizationRow> {
  const organization = await findOrganizationByRef(db, ref);
  if (organization === undefined) throw notFound();
  authorize(subject, 'read', organizationObject(organization.id));
  return organization;
}

export async function getDefaultOrganization(db: Db): Promise<OrganizationRow> {
  const organization = await findOne(db, eq(organizations.isDefault, true));
  if (organization === undefined) throw notFound();
  return organization;
}

const readable = (subject: Subject) =>
  readableBy(subject, 'organization', { id: organizations.id, organizationId: organizations.id });

/** Readable organizations by name; with `memberId` only those that this user belongs to. */
export async function listOrganizations(db: Db, subject: Subject, options: { memberId?: string } = {}) {
  return db
    .select(organizationColumns)
    .from(organizations)
    .where(
      and(
        eq(organizations.deleted, false),
        readable(subject),
        options.memberId === undefined
          ? undefined
          : inArray(
              organizations.id,
              db
                .select({ id: organizationMembers.organizationId })
                .from(organizationMembers)
                .where(eq(organizationMembers.userId, options.memberId)),
            ),
      ),
    )
    .orderBy(asc(sql`lower(${organizations.name})`), asc(organizations.id))
    .limit(1000);
}

/** Which of the ids exist. */
export async function listOrganizationsByIds(db: Db, ids: readonly string[]) {
  if (ids.length === 0) return [];
  return db
    .select(organizationColumns)
    .from(organizations)
    .where(and(inArray(organizations.id, [...ids]), eq(organizations.deleted, false)));
}

export async function lockOrganization(tx: Db, id: string) {
  const [row] = await tx
    .select({ ...organizationColumns, deleted: organizations.deleted })
    .from(organizations)
    .where(and(eq(organizations.id, id), eq(organizations.deleted, false)))
    .for('update');
  if (row === undefined) throw notFound();
  return row;
}

/** The organization with its everyone group, which has the same id. */
export async function insertOrganization(tx: Db, organization: typeof organizations.$inferInsert & { id: string }) {
  await tx.insert(organizations).values(organization);
  await tx.insert(groups).values({ id: organization.id, name: 'Everyone', organizationId: organization.id });
}

export async function updateOrganization(
  tx: Db,
  id: string,
  change: Partial<typeof organizations.$inferInsert>,
): Promise<void> {
  await tx.update(organizations).set(change).where(eq(organizations.id, id));
}

/** What still stands in the way of a deletion (spec/01 §1.1); the everyone group and `exceptUserId` do not count. */
export async function countOrganizationContents(tx: Db, id: string, exceptUserId: string) {
  const count = sql<number>`count(*)::int`;
  const [inWorkspaces] = await tx
    .select({ count })
    .from(workspaces)
    .where(and(eq(workspaces.organizationId, id), eq(workspaces.deleted, false)));
  const [inTemplates] = await tx
    .select({ count })
    .from(templates)
    .where(and(eq(templates.organizationId, id), eq(templates.deleted, false)));
  const [inGroups] = await tx
    .select({ count })
    .from(groups)
    .where(and(eq(groups.organizationId, id), ne(groups.id, id)));
  const [inMembers] = await tx
    .select({ count })
    .from(organizationMembers)
    .innerJoin(users, eq(users.id, organizationMembers.userId))
    .where(
      and(
        eq(organizationMembers.organizationId, id),
        eq(users.deleted, false),
        eq(users.isSystem, false),
        ne(users.id, exceptUserId),
      ),
    );
  return {
    workspaces: inWorkspaces?.count ?? 0,
    templates: inTemplates?.count ?? 0,
    groups: inGroups?.count ?? 0,
    members: inMembers?.count ?? 0,
  };
}
