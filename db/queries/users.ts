import { and, asc, eq, gte, inArray, isNull, lte, ne, or, sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import { authorize, userObject } from '../../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import type { Subject } from '../../domain/subject.ts';
import { readableBy } from '../authorization-filter.ts';
import { type Db, preparedQuery } from '../client.ts';
import { apiKeys, gitsshkeys, groupMembers, organizationMembers, userConfigs, users } from '../schema/users.ts';
import { workspaces } from '../schema/workspaces.ts';

const userColumns = {
  id: users.id,
  email: users.email,
  username: users.username,
  name: users.name,
  status: users.status,
  rbacRoles: users.rbacRoles,
  loginType: users.loginType,
  avatarUrl: users.avatarUrl,
  lastSeenAt: users.lastSeenAt,
  quietHoursSchedule: users.quietHoursSchedule,
  themePreference: users.themePreference,
  isSystem: users.isSystem,
  isServiceAccount: users.isServiceAccount,
  createdAt: users.createdAt,
  updatedAt: users.updatedAt,
  organizationIds: sql<
    string[]
  >`coalesce((select array_agg(m.organization_id::text order by m.created_at, m.organization_id)
    from organization_members m join organizations o on o.id = m.organization_id and not o.deleted
    where m.user_id = users.id), '{}')`,
};
/** Those that are not deleted; system users only when the placeholder `includeSystem` says so. */
const selectVisible = (db: Db, where: SQL) =>
  db
    .select(userColumns)
    .from(users)
    .where(
      and(
        eq(users.deleted, false),
        sql`(not ${users.isSystem} or ${sql.placeholder('includeSystem')}::boolean)`,
        where,
      ),
    );
export type UserRow = Awaited<ReturnType<typeof selectVisible>>[number];
const usersById = preparedQuery<{ id: string; includeSystem: boolean }, UserRow>((db) =>
  selectVisible(db, eq(users.id, sql.placeholder('id'))).prepare('user'),
);
const usersByUsername = preparedQuery<{ username: string; includeSystem: boolean }, UserRow>((db) =>
  selectVisible(db, sql`lower(${users.username}) = lower(${sql.placeholder('username')})`).prepare('user_by_name'),
);

interface FindOptions {
  /** Also system users, who are hidden everywhere else (spec/07 §1). */
  readonly includeSystem?: boolean;
}

export const findUserById = async (
  db: Db,
  id: string,
  { includeSystem = false }: FindOptions = {},
): Promise<UserRow | undefined> => (await usersById(db, { id, includeSystem }))[0];
export const findUserByUsername = async (
  db: Db,
  username: string,
  { includeSystem = false }: FindOptions = {},
): Promise<UserRow | undefined> => (await usersByUsername(db, { username, includeSystem }))[0];

/** `{user}` of a path: uuid, username (any case) or `me`. No permission is checked. */
export async function findUserByRef(
  db: Db,
  subject: Subject,
  ref: string,
  options: FindOptions = {},
): Promise<UserRow | undefined> {
  if (ref === 'me') return findUserById(db, subject.id, options);
  return isUuid(ref) ? findUserById(db, ref, options) : findUserByUsername(db, ref, options);
}

/** The same for those who may read the user; NOT_FOUND otherwise. */
export async function getUserByRef(db: Db, subject: Subject, ref: string, options: FindOptions = {}): Promise<UserRow> {
  const user = await findUserByRef(db, subject, ref, options);
  if (user === undefined) throw notFound();
  authorize(subject, 'read', userObject(user.id));
  return user;
}

/** The same for a change: system users are found, and never changed (INVALID_INPUT). Source: spec/03 §2, spec/07 §1. */
export async function getUserToChange(db: Db, subject: Subject, ref: string): Promise<UserRow> {
  const user = await getUserByRef(db, subject, ref, { includeSystem: true });
  if (user.isSystem) throw new DomainError('INVALID_INPUT', 'A system user cannot be changed');
  return user;
}

/** Live people among the ids, by username. */
export async function listUsersByIds(db: Db, ids: readonly string[]): Promise<UserRow[]> {
  if (ids.length === 0) return [];
  return db
    .select(userColumns)
    .from(users)
    .where(and(inArray(users.id, [...ids]), eq(users.deleted, false), eq(users.isSystem, false)))
    .orderBy(asc(sql`lower(${users.username})`), asc(users.id));
}

/** Including deleted and system users: for lists that name people of the past. */
export async function listUsersByIdsIncludingDeleted(db: Db, ids: readonly string[]): Promise<UserRow[]> {
  if (ids.length === 0) return [];
  return db
    .select(userColumns)
    .from(users)
    .where(inArray(users.id, [...ids]));
}

/** Locks the live row for a change and returns it whole, for the audit diff. System users are not found. */
export async function lockUser(tx: Db, id: string) {
  const [row] = await tx
    .select({ ...userColumns, hashedPassword: users.hashedPassword, deleted: users.deleted })
    .from(users)
    .where(and(eq(users.id, id), eq(users.deleted, false), eq(users.isSystem, false)))
    .for('update');
  if (row === undefined) throw notFound();
  return row;
}

/** For login: the account with its hash, whatever its status. */
export async function findLoginAccount(db: Db, email: string) {
  const [row] = await db
    .select({
      id: users.id,
      username: users.username,
      hashedPassword: users.hashedPassword,
      status: users.status,
      loginType: users.loginType,
    })
    .from(users)
    .where(
      and(
        sql`lower(${users.email}) = lower(${email})`,
        ne(users.email, ''),
        eq(users.deleted, false),
        eq(users.isSystem, false),
      ),
    );
  return row;
}

export async function hasHumanUser(db: Db): Promise<boolean> {
  const rows = await db
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.isSystem, false), eq(users.deleted, false)))
    .limit(1);
  return rows.length > 0;
}

export const userStatuses = users.status.enumValues;
export const loginTypes = users.loginType.enumValues;

export interface UserFilter {
  readonly search?: string;
  readonly name?: string;
  readonly statuses?: readonly (typeof userStatuses)[number][];
  readonly roles?: readonly string[];
  readonly loginTypes?: readonly (typeof loginTypes)[number][];
  readonly lastSeenAfter?: Date;
  readonly lastSeenBefore?: Date;
  readonly createdAfter?: Date;
  readonly createdBefore?: Date;
  readonly serviceAccount?: boolean;
}

/** Substring match in which the user's `%` and `_` mean themselves. */
export const contains = (column: SQL | Parameters<typeof eq>[0], text: string): SQL =>
  sql`lower(${column}) like ${`%${text.toLowerCase().replace(/[\\%_]/g, (char) => `\\${char}`)}%`}`;

const userConditions = (subject: Subject, filter: UserFilter) => {
  const given = <T>(value: T | undefined, condition: (value: T) => SQL | undefined) =>
    value === undefined ? undefined : condition(value);
  return and(
    readableBy(subject, 'user', { id: users.id, ownerId: users.id }),
    eq(users.deleted, false),
    eq(users.isSystem, false),
    given(filter.search, (text) => or(contains(users.username, text), contains(users.email, text))),
    given(filter.name, (text) => contains(users.name, text)),
    given(filter.statuses, (list) => inArray(users.status, [...list])),
    given(filter.loginTypes, (list) => inArray(users.loginType, [...list])),
    // Everybody is a member; the role itself is never stored.
    given(filter.roles, (list) =>
      list.includes('member')
        ? undefined
        : sql`${users.rbacRoles} && array[${sql.join(
            list.map((role) => sql`${role}`),
            sql`, `,
          )}]::text[]`,
    ),
    given(filter.lastSeenAfter, (at) => gte(users.lastSeenAt, at)),
    given(filter.lastSeenBefore, (at) => or(isNull(users.lastSeenAt), lte(users.lastSeenAt, at))),
    given(filter.createdAfter, (at) => gte(users.createdAt, at)),
    given(filter.createdBefore, (at) => lte(users.createdAt, at)),
    given(filter.serviceAccount, (is) => eq(users.isServiceAccount, is)),
  );
};

/** Readable users by name, with the number of all that match. Unknown `afterId` → INVALID_INPUT. */
export async function listUsers(
  db: Db,
  subject: Subject,
  options: { filter: UserFilter; limit: number; offset?: number | undefined; afterId?: string | undefined },
) {
  const where = userConditions(subject, options.filter);
  let after: SQL | undefined;
  if (options.afterId !== undefined) {
    const cursor = await findUserById(db, options.afterId);
    if (cursor === undefined) throw invalidField('after_id', 'no such user');
    after = sql`(lower(${users.username}), ${users.id}) > (lower(${cursor.username}), ${cursor.id}::uuid)`;
  }
  const rows = await db
    .select(userColumns)
    .from(users)
    .where(and(where, after))
    .orderBy(asc(sql`lower(${users.username})`), asc(users.id))
    .limit(options.limit)
    .offset(options.offset ?? 0);
  const [counted] = await db
    .select({ count: sql<number>`count(*)::int` })
    .from(users)
    .where(where);
  return { users: rows, count: counted?.count ?? 0 };
}

/** A taken name or address as CONFLICT naming the field. */
export function userConflict(constraint: string | undefined): DomainError | undefined {
  const field =
    constraint === 'users_email_lower_idx'
      ? 'email'
      : constraint === 'users_username_lower_idx'
        ? 'username'
        : undefined;
  return field === undefined
    ? undefined
    : new DomainError('CONFLICT', `This ${field} is already taken`, {
        validations: [{ field, detail: 'is already taken' }],
      });
}

export async function insertUser(tx: Db, user: typeof users.$inferInsert): Promise<void> {
  await tx.insert(users).values(user);
}

export type UserChange = Partial<
  Pick<
    typeof users.$inferInsert,
    'username' | 'name' | 'hashedPassword' | 'status' | 'rbacRoles' | 'quietHoursSchedule' | 'themePreference'
  >
>;
export async function updateUser(tx: Db, id: string, change: UserChange & { updatedAt: Date }): Promise<void> {
  await tx.update(users).set(change).where(eq(users.id, id));
}

/** Dormant → active; whether this call did it. */
export async function activateDormantUser(tx: Db, id: string, now: Date): Promise<boolean> {
  const rows = await tx
    .update(users)
    .set({ status: 'active', updatedAt: now })
    .where(and(eq(users.id, id), eq(users.status, 'dormant')))
    .returning({ id: users.id });
  return rows.length > 0;
}

export async function countLiveWorkspaces(tx: Db, ownerId: string): Promise<number> {
  const [row] = await tx
    .select({ count: sql<number>`count(*)::int` })
    .from(workspaces)
    .where(and(eq(workspaces.ownerId, ownerId), eq(workspaces.deleted, false)));
  return row?.count ?? 0;
}

/** Serializes every change that could take away the last owner, until the transaction ends. */
export async function lockOwners(tx: Db): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtext('berth-site-owners'))`);
}

/** Users who could still administer the site if `exceptId` could not. */
export async function countOtherOwners(tx: Db, exceptId: string): Promise<number> {
  const [row] = await tx
    .select({ count: sql<number>`count(*)::int` })
    .from(users)
    .where(
      and(
        sql`'owner' = any(${users.rbacRoles})`,
        ne(users.id, exceptId),
        ne(users.status, 'suspended'),
        eq(users.deleted, false),
      ),
    );
  return row?.count ?? 0;
}

/** Soft delete; the database ends the keys, everything else that hangs on the person goes here. */
export async function softDeleteUser(tx: Db, id: string, now: Date): Promise<void> {
  await tx.delete(groupMembers).where(eq(groupMembers.userId, id));
  await tx.delete(organizationMembers).where(eq(organizationMembers.userId, id));
  await tx.delete(gitsshkeys).where(eq(gitsshkeys.userId, id));
  await tx.delete(userConfigs).where(eq(userConfigs.userId, id));
  await tx.update(users).set({ deleted: true, updatedAt: now }).where(eq(users.id, id));
}

/** Ends browser and CLI sessions; named tokens stay and work again after an activation. */
export async function deleteSessionsOf(tx: Db, userId: string): Promise<void> {
  await tx.delete(apiKeys).where(and(eq(apiKeys.userId, userId), ne(apiKeys.loginType, 'token')));
}
