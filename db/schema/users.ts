import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
  uniqueIndex,
  uuid,
  varchar,
} from 'drizzle-orm/pg-core';
import { bytea, inet, instant } from './columns.ts';
import { groupSource, loginType, shareableWorkspaceOwners, userStatus } from './enums.ts';

/** Identity: organizations, users, memberships, groups, keys. Source: spec/01 §1. */
export const organizations = pgTable(
  'organizations',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    name: text('name').notNull(),
    displayName: text('display_name').notNull(),
    description: text('description').notNull().default(''),
    icon: text('icon').notNull().default(''),
    isDefault: boolean('is_default').notNull().default(false),
    deleted: boolean('deleted').notNull().default(false),
    shareableWorkspaceOwners: shareableWorkspaceOwners('shareable_workspace_owners').notNull().default('everyone'),
    defaultOrgMemberRoles: text('default_org_member_roles')
      .array()
      .notNull()
      .default(sql`'{organization-workspace-access}'::text[]`),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('organizations_name_idx')
      .on(sql`lower(${t.name})`)
      .where(sql`deleted = false`),
    uniqueIndex('organizations_single_default_idx')
      .on(t.isDefault)
      .where(sql`is_default`),
  ],
);

export const users = pgTable(
  'users',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    email: text('email').notNull(),
    username: text('username').notNull(),
    name: text('name').notNull().default(''),
    /** PHC-style scrypt string; empty when `login_type <> 'password'`. */
    hashedPassword: text('hashed_password').notNull().default(''),
    status: userStatus('status').notNull().default('dormant'),
    rbacRoles: text('rbac_roles')
      .array()
      .notNull()
      .default(sql`'{}'::text[]`),
    loginType: loginType('login_type').notNull().default('password'),
    avatarUrl: text('avatar_url').notNull().default(''),
    deleted: boolean('deleted').notNull().default(false),
    lastSeenAt: instant('last_seen_at'),
    quietHoursSchedule: text('quiet_hours_schedule').notNull().default(''),
    themePreference: text('theme_preference').notNull().default(''),
    isSystem: boolean('is_system').notNull().default(false),
    isServiceAccount: boolean('is_service_account').notNull().default(false),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('users_email_lower_idx')
      .on(sql`lower(${t.email})`)
      .where(sql`deleted = false and email <> ''`),
    uniqueIndex('users_username_lower_idx')
      .on(sql`lower(${t.username})`)
      .where(sql`deleted = false`),
    // Their running workspaces are stopped (spec/04 §5.4).
    index('users_suspended_idx')
      .on(t.id)
      .where(sql`status = 'suspended' and deleted = false`),
    check('users_username_not_empty', sql`length(username) >= 1`),
    check('users_email_empty_only_for_service_accounts', sql`(email = '') = is_service_account`),
  ],
);

export const userStatusChanges = pgTable('user_status_changes', {
  id: uuid('id').primaryKey().defaultRandom(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id),
  newStatus: userStatus('new_status').notNull(),
  changedAt: instant('changed_at').notNull(),
});

export const userDeleted = pgTable('user_deleted', {
  id: uuid('id').primaryKey().defaultRandom(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id),
  deletedAt: instant('deleted_at').notNull(),
});

export const organizationMembers = pgTable(
  'organization_members',
  {
    organizationId: uuid('organization_id')
      .notNull()
      .references(() => organizations.id, { onDelete: 'cascade' }),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    roles: text('roles')
      .array()
      .notNull()
      .default(sql`'{}'::text[]`),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.organizationId, t.userId] }), index('organization_members_user_idx').on(t.userId)],
);

export const groups = pgTable(
  'groups',
  {
    /** The everyone group has the organization's id and no membership rows (spec/07 §2). */
    id: uuid('id').primaryKey().defaultRandom(),
    name: text('name').notNull(),
    organizationId: uuid('organization_id')
      .notNull()
      .references(() => organizations.id, { onDelete: 'cascade' }),
    displayName: text('display_name').notNull().default(''),
    avatarUrl: text('avatar_url').notNull().default(''),
    quotaAllowance: integer('quota_allowance').notNull().default(0),
    source: groupSource('source').notNull().default('user'),
  },
  (t) => [uniqueIndex('groups_name_idx').on(t.organizationId, sql`lower(${t.name})`)],
);

export const groupMembers = pgTable(
  'group_members',
  {
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    groupId: uuid('group_id')
      .notNull()
      .references(() => groups.id, { onDelete: 'cascade' }),
  },
  (t) => [primaryKey({ columns: [t.userId, t.groupId] }), index('group_members_group_idx').on(t.groupId)],
);

export const apiKeys = pgTable(
  'api_keys',
  {
    id: varchar('id', { length: 10 }).primaryKey(),
    hashedSecret: bytea('hashed_secret').notNull(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    lastUsed: instant('last_used').notNull(),
    expiresAt: instant('expires_at').notNull(),
    lifetimeSeconds: bigint('lifetime_seconds', { mode: 'number' }).notNull().default(86_400),
    loginType: loginType('login_type').notNull(),
    ipAddress: inet('ip_address').notNull().default('0.0.0.0'),
    tokenName: text('token_name').notNull().default(''),
    scopes: text('scopes').array().notNull(),
    allowList: text('allow_list').array().notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    index('api_keys_user_idx').on(t.userId),
    index('api_keys_last_used_idx').on(t.lastUsed.desc()),
    uniqueIndex('api_keys_token_name_idx')
      .on(t.userId, t.tokenName)
      .where(sql`login_type = 'token' and token_name <> ''`),
    check('api_keys_scopes_not_empty', sql`cardinality(scopes) >= 1`),
    check('api_keys_allow_list_not_empty', sql`cardinality(allow_list) >= 1`),
  ],
);

/** Brute-force wait per account and per address (spec/07 §7). */
export const loginFailures = pgTable('login_failures', {
  key: text('key').primaryKey(),
  failures: integer('failures').notNull(),
  lastFailureAt: instant('last_failure_at').notNull(),
});

export const gitsshkeys = pgTable('gitsshkeys', {
  userId: uuid('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  privateKey: text('private_key').notNull(),
  publicKey: text('public_key').notNull(),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
});

export const userConfigs = pgTable(
  'user_configs',
  {
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    key: varchar('key', { length: 256 }).notNull(),
    value: text('value').notNull(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.key] })],
);

export const siteConfigs = pgTable('site_configs', {
  key: varchar('key', { length: 256 }).primaryKey(),
  value: text('value').notNull(),
});

/** First result of a keyed POST, written in the command's transaction (spec/06 §1). */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    key: varchar('key', { length: 128 }).notNull(),
    route: text('route').notNull(),
    requestHash: text('request_hash').notNull(),
    resourceId: uuid('resource_id').notNull(),
    statusCode: smallint('status_code').notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.key] }), index('idempotency_keys_created_idx').on(t.createdAt)],
);

export type AclEntry = Record<string, string[]>;
export const aclColumn = (name: string) => jsonb(name).$type<AclEntry>().notNull().default({});
