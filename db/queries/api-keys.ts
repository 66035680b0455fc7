import { and, eq, gt, inArray, ne, sql } from 'drizzle-orm';
import { DomainError } from '../../domain/errors.ts';
import { type Db, preparedQuery, violatedConstraint } from '../client.ts';
import { apiKeys, users } from '../schema/users.ts';
import type { Subject } from '../../domain/subject.ts';
import { readableBy } from '../authorization-filter.ts';

export interface Membership {
  readonly roles: string[];
  /** `default_org_member_roles` of the organization, held by each member implicitly. */
  readonly defaults: string[];
  readonly sharing: string;
}

export interface KeyWithUser {
  readonly key: {
    id: string;
    hashedSecret: Buffer;
    lastUsed: Date;
    expiresAt: Date;
    lifetimeSeconds: number;
    loginType: string;
    tokenName: string;
    scopes: string[];
    allowList: string[];
  };
  readonly user: {
    id: string;
    username: string;
    status: 'active' | 'suspended' | 'dormant';
    rbacRoles: string[];
    isSystem: boolean;
    deleted: boolean;
    lastSeenAt: Date | null;
  };
  readonly organizations: Record<string, Membership>;
  readonly groups: string[];
}

const membershipsOf = sql<Record<string, Membership>>`coalesce((
  select jsonb_object_agg(m.organization_id, jsonb_build_object(
    'roles', to_jsonb(m.roles), 'defaults', to_jsonb(o.default_org_member_roles), 'sharing', o.shareable_workspace_owners))
  from organization_members m join organizations o on o.id = m.organization_id and not o.deleted
  where m.user_id = users.id), '{}'::jsonb)`;
const groupsOf = sql<string[]>`coalesce((
  select array_agg(gm.group_id::text) from group_members gm where gm.user_id = users.id), '{}')`;
const subjectUser = {
  id: users.id,
  username: users.username,
  status: users.status,
  rbacRoles: users.rbacRoles,
  isSystem: users.isSystem,
  deleted: users.deleted,
  lastSeenAt: users.lastSeenAt,
};

/** Key, user, roles, memberships and groups in one query, including keys and users that are no longer usable. */
export async function findKeyWithUser(db: Db, keyId: string): Promise<KeyWithUser | undefined> {
  const [row] = await keysWithUser(db, { keyId });
  return row;
}
/** Of these keys those that open the door: not expired, of a person who may sign in. */
export async function listUsableKeys(db: Db, keyIds: readonly string[], now: Date) {
  return db
    .select({ id: apiKeys.id, lastUsed: apiKeys.lastUsed, lastSeenAt: users.lastSeenAt })
    .from(apiKeys)
    .innerJoin(users, eq(users.id, apiKeys.userId))
    .where(
      and(
        inArray(apiKeys.id, [...keyIds]),
        gt(apiKeys.expiresAt, now),
        eq(users.deleted, false),
        eq(users.isSystem, false),
        ne(users.status, 'suspended'),
      ),
    );
}

const keysWithUser = preparedQuery<{ keyId: string }, KeyWithUser>((db) =>
  db
    .select({
      key: {
        id: apiKeys.id,
        hashedSecret: apiKeys.hashedSecret,
        lastUsed: apiKeys.lastUsed,
        expiresAt: apiKeys.expiresAt,
        lifetimeSeconds: apiKeys.lifetimeSeconds,
        loginType: apiKeys.loginType,
        tokenName: apiKeys.tokenName,
        scopes: apiKeys.scopes,
        allowList: apiKeys.allowList,
      },
      user: subjectUser,
      organizations: membershipsOf,
      groups: groupsOf,
    })
    .from(apiKeys)
    .innerJoin(users, eq(users.id, apiKeys.userId))
    .where(eq(apiKeys.id, sql.placeholder('keyId')))
    .prepare('key_with_user'),
);

/** The same for a user without a key: who would act if this user signed in. */
export async function findSubjectUser(db: Db, userId: string): Promise<Omit<KeyWithUser, 'key'> | undefined> {
  const [row] = await db
    .select({ user: subjectUser, organizations: membershipsOf, groups: groupsOf })
    .from(users)
    .where(eq(users.id, userId));
  return row;
}

/** Use of a key and its user, in one statement. */
export async function touchKey(
  tx: Db,
  touch: { keyId: string; userId: string; now: Date; expiresAt: Date; ip: string | null },
): Promise<void> {
  const now = touch.now.toISOString();
  await tx.execute(sql`
    with touched as (
      update api_keys set last_used = ${now}::timestamptz, updated_at = ${now}::timestamptz,
        expires_at = ${touch.expiresAt.toISOString()}::timestamptz,
        ip_address = coalesce(${touch.ip}::inet, ip_address)
      where id = ${touch.keyId} returning user_id)
    update users set last_seen_at = ${now}::timestamptz where id = ${touch.userId}`);
}

const keyColumns = {
  id: apiKeys.id,
  userId: apiKeys.userId,
  lastUsed: apiKeys.lastUsed,
  expiresAt: apiKeys.expiresAt,
  createdAt: apiKeys.createdAt,
  updatedAt: apiKeys.updatedAt,
  loginType: apiKeys.loginType,
  scopes: apiKeys.scopes,
  allowList: apiKeys.allowList,
  tokenName: apiKeys.tokenName,
  lifetimeSeconds: apiKeys.lifetimeSeconds,
  username: users.username,
};
export type ApiKeyRow = Awaited<ReturnType<typeof listTokens>>[number];

/** Named tokens that the subject may read: of one user, or of everybody when `userId` is absent. Newest first. */
export async function listTokens(
  db: Db,
  subject: Subject,
  options: { userId?: string; includeExpired: boolean; now: Date },
) {
  return db
    .select(keyColumns)
    .from(apiKeys)
    .innerJoin(users, eq(users.id, apiKeys.userId))
    .where(
      and(
        readableBy(subject, 'api_key', { id: sql`null::uuid`, ownerId: apiKeys.userId }),
        eq(apiKeys.loginType, 'token'),
        options.userId === undefined ? undefined : eq(apiKeys.userId, options.userId),
        options.includeExpired ? undefined : gt(apiKeys.expiresAt, options.now),
      ),
    )
    .orderBy(sql`${apiKeys.createdAt} desc`, apiKeys.id)
    .limit(1000);
}

const findOne = async (db: Db, where: ReturnType<typeof and>): Promise<ApiKeyRow | undefined> => {
  const [row] = await db.select(keyColumns).from(apiKeys).innerJoin(users, eq(users.id, apiKeys.userId)).where(where);
  return row;
};

export const findKey = (db: Db, userId: string, keyId: string) =>
  findOne(db, and(eq(apiKeys.id, keyId), eq(apiKeys.userId, userId)));
export const findTokenByName = (db: Db, userId: string, name: string) =>
  findOne(db, and(eq(apiKeys.userId, userId), eq(apiKeys.tokenName, name), eq(apiKeys.loginType, 'token')));

export const keyRefused = (): DomainError => new DomainError('FORBIDDEN', 'This user cannot have API keys');

/** The database refuses keys of system and deleted users, whoever asks: FORBIDDEN. Source: spec/03 §2. */
export async function insertKey(tx: Db, key: typeof apiKeys.$inferInsert): Promise<void> {
  await tx
    .insert(apiKeys)
    .values(key)
    .catch((err: unknown) => {
      throw violatedConstraint(err) === 'api_keys_owner_usable' ? keyRefused() : err;
    });
}

/** Whether there was such a key. */
export async function deleteKey(tx: Db, keyId: string): Promise<boolean> {
  return (await tx.delete(apiKeys).where(eq(apiKeys.id, keyId)).returning({ id: apiKeys.id })).length > 0;
}

export async function expireKey(tx: Db, keyId: string, now: Date): Promise<void> {
  await tx.update(apiKeys).set({ expiresAt: now, updatedAt: now }).where(eq(apiKeys.id, keyId));
}

/** Ends every session and token of the user. */
export async function deleteKeysOf(tx: Db, userId: string): Promise<number> {
  return (await tx.delete(apiKeys).where(eq(apiKeys.userId, userId)).returning({ id: apiKeys.id })).length;
}
