import { sql } from 'drizzle-orm';
import {
  type AnyPgColumn,
  bigint,
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
  varchar,
} from 'drizzle-orm/pg-core';
import { bytea, instant } from './columns.ts';
import { automaticUpdates, buildReason, prebuildStage, stateSource, workspaceTransition } from './enums.ts';
import { provisionerJobs } from './provisioner-jobs.ts';
import { templateVersionPresets, templateVersions, templates } from './templates.ts';
import { aclColumn, organizations, users } from './users.ts';
import { workspaceApps } from './workspace-agents.ts';

/** Source: spec/01 §4.1. */
export const workspaces = pgTable(
  'workspaces',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    ownerId: uuid('owner_id')
      .notNull()
      .references(() => users.id),
    organizationId: uuid('organization_id')
      .notNull()
      .references(() => organizations.id),
    templateId: uuid('template_id')
      .notNull()
      .references(() => templates.id),
    name: varchar('name', { length: 64 }).notNull(),
    deleted: boolean('deleted').notNull().default(false),
    autostartSchedule: text('autostart_schedule'),
    ttlMs: bigint('ttl_ms', { mode: 'number' }),
    nextStartAt: instant('next_start_at'),
    lastUsedAt: instant('last_used_at').notNull(),
    dormantAt: instant('dormant_at'),
    deletingAt: instant('deleting_at'),
    automaticUpdates: automaticUpdates('automatic_updates').notNull().default('never'),
    favorite: boolean('favorite').notNull().default(false),
    userAcl: aclColumn('user_acl'),
    groupAcl: aclColumn('group_acl'),
    failedAt: instant('failed_at'),
    lifecycleRetryAfter: instant('lifecycle_retry_after'),
    lifecycleAttempts: integer('lifecycle_attempts').notNull().default(0),
    claimedAt: instant('claimed_at'),
    /** Moved by every build insert, so that the workspace's row lock covers it. */
    latestBuildId: uuid('latest_build_id'),
  },
  (t) => [
    uniqueIndex('workspaces_owner_name_idx')
      .on(t.ownerId, sql`lower(${t.name})`)
      .where(sql`deleted = false`),
    index('workspaces_template_idx')
      .on(t.templateId)
      .where(sql`deleted = false`),
    // The pools: few rows beside all workspaces (spec/03 §6.2).
    index('workspaces_prebuilds_idx')
      .on(t.templateId)
      .where(sql`owner_id = 'c42fdf75-3097-471c-8c33-fb52454d81c0' and deleted = false`),
    index('workspaces_next_start_idx')
      .on(t.nextStartAt)
      .where(sql`deleted = false and next_start_at is not null`),
    index('workspaces_deleting_idx')
      .on(t.deletingAt)
      .where(sql`deleted = false and deleting_at is not null`),
    index('workspaces_dormancy_idx')
      .on(t.templateId, t.lastUsedAt)
      .where(sql`deleted = false and dormant_at is null`),
    index('workspaces_failed_idx')
      .on(t.templateId, t.failedAt)
      .where(sql`deleted = false and failed_at is not null`),
    index('workspaces_lifecycle_retry_idx')
      .on(t.lifecycleRetryAfter)
      .where(sql`deleted = false and lifecycle_retry_after is not null`),
    index('workspaces_dormant_idx')
      .on(t.dormantAt)
      .where(sql`deleted = false and dormant_at is not null`),
    // Rows that ought to have an instant; nearly none.
    index('workspaces_unscheduled_idx')
      .on(t.id)
      .where(sql`deleted = false and autostart_schedule is not null and next_start_at is null and dormant_at is null`),
    index('workspaces_organization_idx')
      .on(t.organizationId)
      .where(sql`deleted = false`),
    check('workspaces_deleting_needs_dormant', sql`deleting_at is null or dormant_at is not null`),
    // An unclaimed prebuild has no automatic life of its own (spec/01 §4.1 invariant 1).
    check(
      'workspaces_prebuild_has_no_schedule',
      sql`owner_id <> 'c42fdf75-3097-471c-8c33-fb52454d81c0' or (autostart_schedule is null and ttl_ms is null and next_start_at is null and dormant_at is null and deleting_at is null)`,
    ),
  ],
);

/** Source: spec/01 §4.2. Terraform state is not here: see workspace_build_states. */
export const workspaceBuilds = pgTable(
  'workspace_builds',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    workspaceId: uuid('workspace_id')
      .notNull()
      .references(() => workspaces.id, { onDelete: 'cascade' }),
    buildNumber: integer('build_number').notNull(),
    templateVersionId: uuid('template_version_id')
      .notNull()
      .references(() => templateVersions.id),
    transition: workspaceTransition('transition').notNull(),
    reason: buildReason('reason').notNull().default('initiator'),
    initiatorId: uuid('initiator_id')
      .notNull()
      .references(() => users.id),
    jobId: uuid('job_id')
      .notNull()
      .references(() => provisionerJobs.id),
    deadline: instant('deadline'),
    maxDeadline: instant('max_deadline'),
    dailyCost: integer('daily_cost').notNull().default(0),
    templateVersionPresetId: uuid('template_version_preset_id').references(() => templateVersionPresets.id, {
      onDelete: 'set null',
    }),
    hasAiTask: boolean('has_ai_task'),
    hasExternalAgent: boolean('has_external_agent'),
    isLatest: boolean('is_latest').notNull().default(true),
    /** false once the job completed; at most one true per workspace. */
    active: boolean('active').notNull().default(true),
    possibleOrphans: jsonb('possible_orphans').$type<string[]>().notNull().default([]),
    aiTaskAppId: uuid('ai_task_app_id').references((): AnyPgColumn => workspaceApps.id, { onDelete: 'set null' }),
    notifiedAutostopDeadline: instant('notified_autostop_deadline'),
    prebuildStage: prebuildStage('prebuild_stage').notNull().default('none'),
    resourceReplacements: jsonb('resource_replacements').$type<Record<string, string[]>>(),
    /** Ours: a claim that handed its agent over at once, before Terraform (docs/adr/0020). */
    handedOver: boolean('handed_over').notNull().default(false),
    /** Addresses that a claim handed over at once did change after all; null = not looked at. */
    claimDrift: jsonb('claim_drift').$type<string[]>(),
    /** Ours: reads the world into the state and changes nothing. */
    refreshOnly: boolean('refresh_only').notNull().default(false),
  },
  (t) => [
    uniqueIndex('workspace_builds_number_idx').on(t.workspaceId, t.buildNumber),
    uniqueIndex('workspace_builds_job_idx').on(t.jobId),
    uniqueIndex('workspace_builds_latest_idx')
      .on(t.workspaceId)
      .where(sql`is_latest`),
    uniqueIndex('workspace_builds_active_idx')
      .on(t.workspaceId)
      .where(sql`active`),
    index('workspace_builds_initiator_idx').on(t.initiatorId),
    index('workspace_builds_preset_idx')
      .on(t.templateVersionPresetId)
      .where(sql`template_version_preset_id is not null`),
    // What pools ever made and gave away, for their counters (spec/03 §16).
    index('workspace_builds_prebuilt_idx')
      .on(t.templateVersionPresetId)
      .where(sql`build_number = 1 and prebuild_stage = 'create'`),
    index('workspace_builds_claims_idx')
      .on(t.templateVersionPresetId)
      .where(sql`prebuild_stage = 'claim'`),
    index('workspace_builds_deadline_idx')
      .on(t.deadline)
      .where(sql`is_latest and transition = 'start' and deadline is not null`),
    check(
      'workspace_builds_deadline_below_max_deadline',
      sql`max_deadline is null or (deadline is not null and deadline <= max_deadline)`,
    ),
  ],
);

/**
 * Versions of a workspace's Terraform state: one per build that stored any, and one for each state that an operator gave,
 * restored or edited. The newest version of the newest build is the current one. Contents beyond the last ten are dropped,
 * their rows stay (`state` null). Read and written by db/queries/workspace-build-states.ts only (spec/01 §4.2 "Rule").
 */
export const workspaceBuildStates = pgTable(
  'workspace_build_states',
  {
    workspaceId: uuid('workspace_id')
      .notNull()
      .references(() => workspaces.id, { onDelete: 'cascade' }),
    /** 1, 2, 3, … within the workspace. */
    version: integer('version').notNull(),
    workspaceBuildId: uuid('workspace_build_id')
      .notNull()
      .references(() => workspaceBuilds.id, { onDelete: 'cascade' }),
    source: stateSource('source').notNull(),
    /** Who gave it; null for a build's own. */
    createdBy: uuid('created_by').references(() => users.id),
    createdAt: instant('created_at').notNull(),
    /** Null once the content is no longer kept. */
    state: bytea('state'),
    stateKeyId: text('state_key_id').notNull().default(''),
    encoding: text('encoding').$type<'raw' | 'gzip'>().notNull().default('raw'),
    serial: bigint('serial', { mode: 'number' }).notNull(),
    lineage: text('lineage').notNull(),
    /** Hex sha256 of the plain state; empty = stored before there were checksums. */
    checksum: text('checksum').notNull(),
    /** Bytes of the plain state; 0 = stored before sizes were, or an empty state. */
    size: integer('size').notNull().default(0),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.workspaceId, t.version] }),
    index('workspace_build_states_build_idx').on(t.workspaceBuildId),
    // A run overwrites its own row as its apply goes on, and no other.
    uniqueIndex('workspace_build_states_run_idx')
      .on(t.workspaceBuildId)
      .where(sql`source = 'build'`),
  ],
);

export const workspaceBuildParameters = pgTable(
  'workspace_build_parameters',
  {
    workspaceBuildId: uuid('workspace_build_id')
      .notNull()
      .references(() => workspaceBuilds.id, { onDelete: 'cascade' }),
    name: text('name').notNull(),
    value: text('value').notNull(),
  },
  (t) => [primaryKey({ columns: [t.workspaceBuildId, t.name] })],
);
