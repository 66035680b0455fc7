import { and, asc, eq, inArray, sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import { authorize } from '../../domain/authorization.ts';
import { notFound } from '../../domain/errors.ts';
import type { Subject } from '../../domain/subject.ts';
import { readableBy } from '../authorization-filter.ts';
import type { Db } from '../client.ts';
import { groupMembers, groups, organizationMembers, organizations, users } from '../schema/users.ts';
import { groupObject } from './auth-rows.ts';

export interface GroupMember {
  readonly id: string;
  readonly username: string;
  readonly name: string;
  readonly avatar_url: string;
}

interface GroupOptions {
  /** Members who are system users as well: hidden everywhere else (spec/07 §1). */
  readonly includeSystem?: boolean;
}

/** Members of a group; the everyone group has the members of its organization, and no rows of its own. */
const membersOf = (includeSystem: boolean) => sql<GroupMember[]>`coalesce((
  select jsonb_agg(jsonb_build_object('id', u.id, 'username', u.username, 'name', u.name, 'avatar_url', u.avatar_url)
    order by lower(u.username))
  from users u
  where not u.deleted and (${includeSystem} or not u.is_system) and (
    (${groups.id} = ${groups.organizationId} and exists (select 1 from organization_members m
      where m.user_id = u.id and m.organization_id = ${groups.organizationId}))
    or exists (select 1 from group_members gm where gm.group_id = ${groups.id} and gm.user_id = u.id))), '[]'::jsonb)`;

const groupColumns = (options: GroupOptions) => ({
  id: groups.id,
  name: groups.name,
  displayName: groups.displayName,
  avatarUrl: groups.avatarUrl,
  quotaAllowance: groups.quotaAllowance,
  source: groups.source,
  organizationId: groups.organizationId,
  organizationName: organizations.name,
  organizationDisplayName: organizations.displayName,
  members: membersOf(options.includeSystem ?? false),
});
export type GroupRow = Awaited<ReturnType<typeof listGroups>>[number];

const select = (db: Db, where: SQL | undefined, options: GroupOptions = {}) =>
  db
    .select(groupColumns(options))
    .from(groups)
    .innerJoin(organizations, and(eq(organizations.id, groups.organizationId), eq(organizations.deleted, false)))
    .where(where);

/** Readable groups by organization and name: one's own, or all with group.read. */
export async function listGroups(db: Db, subject: Subject, options: { organizationId?: string } = {}) {
  return select(
    db,
    and(
      readableBy(subject, 'group', {
        id: groups.id,
        organizationId: groups.organizationId,
        groupAcl: sql`jsonb_build_object(${groups.id}::text, '["use"]'::jsonb)`,
      }),
      options.organizationId === undefined ? undefined : eq(groups.organizationId, options.organizationId),
    ),
  )
    .orderBy(asc(organizations.name), asc(sql`lower(${groups.name})`), asc(groups.id))
    .limit(1000);
}

/** Groups by name, whoever may read them: for lists that the caller may see as a whole (an ACL). */
export async function listGroupsByIds(db: Db, ids: readonly string[]): Promise<GroupRow[]> {
  if (ids.length === 0) return [];
  return select(db, inArray(groups.id, [...ids])).orderBy(asc(sql`lower(${groups.name})`), asc(groups.id));
}

/** A readable group, or NOT_FOUND; with system users only for those who may change it. */
export async function getGroup(db: Db, subject: Subject, id: string, options: GroupOptions = {}): Promise<GroupRow> {
  const [row] = await select(db, eq(groups.id, id), options);
  if (row === undefined) throw notFound();
  authorize(subject, 'read', groupObject(row));
  if (options.includeSystem === true) authorize(subject, 'update', groupObject(row));
  return row;
}

export async function lockGroup(tx: Db, id: string) {
  const [row] = await tx
    .select({
      id: groups.id,
      name: groups.name,
      displayName: groups.displayName,
      avatarUrl: groups.avatarUrl,
      quotaAllowance: groups.quotaAllowance,
      source: groups.source,
      organizationId: groups.organizationId,
    })
    .from(groups)
    .where(eq(groups.id, id))
    .for('update');
  if (row === undefined) throw notFound();
  return row;
}

export async function insertGroup(tx: Db, group: typeof groups.$inferInsert): Promise<void> {
  await tx.insert(groups).values(group);
}

export async function updateGroup(tx: Db, id: string, change: Partial<typeof groups.$inferInsert>): Promise<void> {
  if (Object.keys(change).length > 0) await tx.update(groups).set(change).where(eq(groups.id, id));
}

export async function deleteGroup(tx: Db, id: string): Promise<void> {
  await tx.delete(groups).where(eq(groups.id, id));
}

/** Those of the users who are live members of the organization. */
export async function listMemberIds(tx: Db, organizationId: string, userIds: readonly string[]): Promise<string[]> {
  if (userIds.length === 0) return [];
  const rows = await tx
    .select({ id: organizationMembers.userId })
    .from(organizationMembers)
    .innerJoin(users, and(eq(users.id, organizationMembers.userId), eq(users.deleted, false)))
    .where(
      and(eq(organizationMembers.organizationId, organizationId), inArray(organizationMembers.userId, [...userIds])),
    );
  return rows.map(({ id }) => id);
}

export async function changeGroupMembers(
  tx: Db,
  groupId: string,
  change: { add: readonly string[]; remove: readonly string[] },
): Promise<void> {
  if (change.add.length > 0)
    await tx
      .insert(groupMembers)
      .values(change.add.map((userId) => ({ userId, groupId })))
      .onConflictDoNothing();
  if (change.remove.length > 0)
    await tx
      .delete(groupMembers)
      .where(and(eq(groupMembers.groupId, groupId), inArray(groupMembers.userId, [...change.remove])));
}
