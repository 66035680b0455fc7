import { and, asc, eq, sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import type { Subject } from '../../domain/subject.ts';
import { readableBy } from '../authorization-filter.ts';
import { type Db, preparedQuery } from '../client.ts';
import { organizationMembers, organizations, users } from '../schema/users.ts';

const memberColumns = {
  organizationId: organizationMembers.organizationId,
  userId: organizationMembers.userId,
  roles: organizationMembers.roles,
  createdAt: organizationMembers.createdAt,
  updatedAt: organizationMembers.updatedAt,
  username: users.username,
  name: users.name,
  email: users.email,
  avatarUrl: users.avatarUrl,
  siteRoles: users.rbacRoles,
  status: users.status,
  loginType: users.loginType,
  lastSeenAt: users.lastSeenAt,
  isSystem: users.isSystem,
  isServiceAccount: users.isServiceAccount,
};

/** One membership, of system users too: the owner of a prebuild must be shown (spec/07 §1). */
export async function findMember(db: Db, organizationId: string, userId: string): Promise<MemberRow | undefined> {
  const [row] = await memberships(db, { organizationId, userId });
  return row;
}
const selectMemberships = (db: Db) =>
  db
    .select(memberColumns)
    .from(organizationMembers)
    .innerJoin(users, and(eq(users.id, organizationMembers.userId), eq(users.deleted, false)))
    .where(
      and(
        eq(organizationMembers.organizationId, sql.placeholder('organizationId')),
        eq(organizationMembers.userId, sql.placeholder('userId')),
      ),
    );
export type MemberRow = Awaited<ReturnType<typeof selectMemberships>>[number];
const memberships = preparedQuery<{ organizationId: string; userId: string }, MemberRow>((db) =>
  selectMemberships(db).prepare('membership'),
);

export interface MemberFilter {
  readonly userId?: string;
  readonly includeSystem: boolean;
}

/** Readable members of an organization by username, with the number of all that match. */
export async function listMembers(
  db: Db,
  subject: Subject,
  options: { organizationId: string; filter: MemberFilter; limit: number; offset: number },
) {
  const where: SQL | undefined = and(
    readableBy(subject, 'organization_member', {
      id: organizationMembers.userId,
      organizationId: organizationMembers.organizationId,
      ownerId: organizationMembers.userId,
    }),
    eq(organizationMembers.organizationId, options.organizationId),
    eq(users.deleted, false),
    options.filter.includeSystem ? undefined : eq(users.isSystem, false),
    options.filter.userId === undefined ? undefined : eq(users.id, options.filter.userId),
  );
  const members = await db
    .select(memberColumns)
    .from(organizationMembers)
    .innerJoin(users, eq(users.id, organizationMembers.userId))
    .where(where)
    .orderBy(asc(sql`lower(${users.username})`), asc(users.id))
    .limit(options.limit)
    .offset(options.offset);
  const [counted] = await db
    .select({ count: sql<number>`count(*)::int` })
    .from(organizationMembers)
    .innerJoin(users, eq(users.id, organizationMembers.userId))
    .where(where);
  return { members, count: counted?.count ?? 0 };
}

/** Whether the user was not a member yet. */
export async function insertMember(
  tx: Db,
  member: { organizationId: string; userId: string; roles: string[]; now: Date },
): Promise<boolean> {
  const rows = await tx
    .insert(organizationMembers)
    .values({
      organizationId: member.organizationId,
      userId: member.userId,
      roles: member.roles,
      createdAt: member.now,
      updatedAt: member.now,
    })
    .onConflictDoNothing()
    .returning({ userId: organizationMembers.userId });
  return rows.length > 0;
}

export async function lockMember(tx: Db, organizationId: string, userId: string) {
  const [row] = await tx
    .select({
      organizationId: organizationMembers.organizationId,
      userId: organizationMembers.userId,
      roles: organizationMembers.roles,
    })
    .from(organizationMembers)
    .where(and(eq(organizationMembers.organizationId, organizationId), eq(organizationMembers.userId, userId)))
    .for('update');
  return row;
}

export async function updateMemberRoles(
  tx: Db,
  member: { organizationId: string; userId: string; roles: string[]; now: Date },
): Promise<void> {
  await tx
    .update(organizationMembers)
    .set({ roles: member.roles, updatedAt: member.now })
    .where(
      and(eq(organizationMembers.organizationId, member.organizationId), eq(organizationMembers.userId, member.userId)),
    );
}

/** The database removes the organization's groups of the user as well. */
export async function deleteMember(tx: Db, organizationId: string, userId: string): Promise<void> {
  await tx
    .delete(organizationMembers)
    .where(and(eq(organizationMembers.organizationId, organizationId), eq(organizationMembers.userId, userId)));
}

/** Organization id → stored roles of a user, in the organizations where the subject may read the membership. */
export async function findMembershipRoles(db: Db, subject: Subject, userId: string): Promise<Record<string, string[]>> {
  const rows = await db
    .select({ organizationId: organizationMembers.organizationId, roles: organizationMembers.roles })
    .from(organizationMembers)
    .innerJoin(
      organizations,
      and(eq(organizations.id, organizationMembers.organizationId), eq(organizations.deleted, false)),
    )
    .where(
      and(
        eq(organizationMembers.userId, userId),
        readableBy(subject, 'organization_member', {
          id: organizationMembers.userId,
          organizationId: organizationMembers.organizationId,
          ownerId: organizationMembers.userId,
        }),
      ),
    );
  return Object.fromEntries(rows.map((row) => [row.organizationId, row.roles]));
}
