import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  smallint,
  text,
  uniqueIndex,
  uuid,
  varchar,
} from 'drizzle-orm/pg-core';
import type {
  ExternalAuthProvider,
  ParameterOption,
  ClaimDependencies,
  TemplateReferences,
} from '../../domain/provisioned.ts';
import { instant } from './columns.ts';
import {
  appSharingLevel,
  corsBehavior,
  parameterFormType,
  prebuildStatus,
  provisionerType,
  workspaceTransition,
} from './enums.ts';
import { files } from './files.ts';
import { provisionerJobs } from './provisioner-jobs.ts';
import { aclColumn, organizations, users } from './users.ts';

/** Templates, their versions and what an import writes. Source: spec/01 §2. */
const durationMs = (name: string) => bigint(name, { mode: 'number' }).notNull();

export const templates = pgTable(
  'templates',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    organizationId: uuid('organization_id')
      .notNull()
      .references(() => organizations.id),
    name: varchar('name', { length: 64 }).notNull(),
    displayName: varchar('display_name', { length: 64 }).notNull().default(''),
    description: varchar('description', { length: 128 }).notNull().default(''),
    icon: varchar('icon', { length: 256 }).notNull().default(''),
    provisioner: provisionerType('provisioner').notNull(),
    activeVersionId: uuid('active_version_id').notNull(),
    createdBy: uuid('created_by')
      .notNull()
      .references(() => users.id),
    deleted: boolean('deleted').notNull().default(false),
    /** Non-empty = the message shown; no new workspaces. */
    deprecated: text('deprecated').notNull().default(''),
    defaultTtlMs: durationMs('default_ttl_ms').default(604_800_000),
    activityBumpMs: durationMs('activity_bump_ms').default(3_600_000),
    allowUserAutostart: boolean('allow_user_autostart').notNull().default(true),
    allowUserAutostop: boolean('allow_user_autostop').notNull().default(true),
    allowUserCancelWorkspaceJobs: boolean('allow_user_cancel_workspace_jobs').notNull().default(true),
    /** Bitmap, Monday = bit 0. */
    autostopRequirementDaysOfWeek: smallint('autostop_requirement_days_of_week').notNull().default(0),
    autostopRequirementWeeks: smallint('autostop_requirement_weeks').notNull().default(1),
    /** Bitmap of days on which autostart is blocked; the API shows the complement. */
    autostartBlockDaysOfWeek: smallint('autostart_block_days_of_week').notNull().default(0),
    failureTtlMs: durationMs('failure_ttl_ms').default(0),
    timeTilAutostopNotifyMs: durationMs('time_til_autostop_notify_ms').default(0),
    timeTilDormantMs: durationMs('time_til_dormant_ms').default(0),
    timeTilDormantAutodeleteMs: durationMs('time_til_dormant_autodelete_ms').default(0),
    requireActiveVersion: boolean('require_active_version').notNull().default(false),
    maxPortSharingLevel: appSharingLevel('max_port_sharing_level').notNull().default('owner'),
    useClassicParameterFlow: boolean('use_classic_parameter_flow').notNull().default(false),
    corsBehavior: corsBehavior('cors_behavior').notNull().default('simple'),
    disableModuleCache: boolean('disable_module_cache').notNull().default(false),
    /** Ours: false = every claim waits for Terraform before its agent is handed over. */
    instantClaim: boolean('instant_claim').notNull().default(true),
    userAcl: aclColumn('user_acl'),
    groupAcl: aclColumn('group_acl'),
  },
  (t) => [
    uniqueIndex('templates_organization_name_idx')
      .on(t.organizationId, sql`lower(${t.name})`)
      .where(sql`deleted = false`),
    check('templates_autostop_days', sql`autostop_requirement_days_of_week between 0 and 127`),
    check('templates_autostart_days', sql`autostart_block_days_of_week between 0 and 127`),
    check('templates_autostop_weeks', sql`autostop_requirement_weeks between 0 and 16`),
  ],
);

export const templateVersions = pgTable(
  'template_versions',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    /** null until the first template is created from it. */
    templateId: uuid('template_id').references(() => templates.id, { onDelete: 'cascade' }),
    organizationId: uuid('organization_id')
      .notNull()
      .references(() => organizations.id),
    name: varchar('name', { length: 64 }).notNull(),
    message: varchar('message', { length: 1_048_576 }).notNull().default(''),
    readme: varchar('readme', { length: 1_048_576 }).notNull().default(''),
    jobId: uuid('job_id')
      .notNull()
      .references(() => provisionerJobs.id),
    createdBy: uuid('created_by')
      .notNull()
      .references(() => users.id),
    externalAuthProviders: jsonb('external_auth_providers').$type<ExternalAuthProvider[]>().notNull().default([]),
    archived: boolean('archived').notNull().default(false),
    sourceExampleId: text('source_example_id'),
    hasAiTask: boolean('has_ai_task'),
    hasExternalAgent: boolean('has_external_agent'),
  },
  (t) => [
    uniqueIndex('template_versions_template_name_idx').on(t.templateId, t.name),
    uniqueIndex('template_versions_job_idx').on(t.jobId),
    index('template_versions_list_idx').on(t.templateId, t.createdAt, t.id),
  ],
);

const versionId = () =>
  uuid('template_version_id')
    .notNull()
    .references(() => templateVersions.id, { onDelete: 'cascade' });

export const templateVersionParameters = pgTable(
  'template_version_parameters',
  {
    templateVersionId: versionId(),
    name: text('name').notNull(),
    displayName: text('display_name').notNull().default(''),
    description: text('description').notNull().default(''),
    type: text('type').notNull(),
    formType: parameterFormType('form_type').notNull().default(''),
    mutable: boolean('mutable').notNull(),
    defaultValue: text('default_value').notNull().default(''),
    icon: text('icon').notNull().default(''),
    options: jsonb('options').$type<readonly ParameterOption[]>().notNull().default([]),
    validationRegex: text('validation_regex').notNull().default(''),
    validationMin: integer('validation_min'),
    validationMax: integer('validation_max'),
    validationError: text('validation_error').notNull().default(''),
    validationMonotonic: text('validation_monotonic').$type<'' | 'increasing' | 'decreasing'>().notNull().default(''),
    required: boolean('required').notNull().default(true),
    displayOrder: integer('display_order').notNull().default(0),
    ephemeral: boolean('ephemeral').notNull().default(false),
  },
  (t) => [
    uniqueIndex('template_version_parameters_name_idx').on(t.templateVersionId, t.name),
    check('template_version_parameters_type', sql`type in ('string', 'number', 'bool', 'list(string)')`),
    check('template_version_parameters_monotonic', sql`validation_monotonic in ('increasing', 'decreasing', '')`),
  ],
);

export const templateVersionVariables = pgTable(
  'template_version_variables',
  {
    templateVersionId: versionId(),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    type: text('type').notNull(),
    value: text('value').notNull(),
    defaultValue: text('default_value').notNull().default(''),
    required: boolean('required').notNull(),
    sensitive: boolean('sensitive').notNull(),
    /** Key that encrypted `value`; empty = clear (spec/07 §10). */
    valueKeyId: text('value_key_id').notNull().default(''),
  },
  (t) => [uniqueIndex('template_version_variables_name_idx').on(t.templateVersionId, t.name)],
);

export const templateVersionPresets = pgTable(
  'template_version_presets',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    templateVersionId: versionId(),
    name: text('name').notNull(),
    description: varchar('description', { length: 128 }).notNull().default(''),
    icon: varchar('icon', { length: 256 }).notNull().default(''),
    createdAt: instant('created_at').notNull(),
    isDefault: boolean('is_default').notNull().default(false),
    desiredInstances: integer('desired_instances'),
    invalidateAfterSecs: integer('invalidate_after_secs'),
    prebuildStatus: prebuildStatus('prebuild_status').notNull().default('normal'),
    prebuildStatusDetail: text('prebuild_status_detail').notNull().default(''),
    schedulingTimezone: text('scheduling_timezone').notNull().default(''),
    lastInvalidatedAt: instant('last_invalidated_at'),
    failureResetAt: instant('failure_reset_at'),
  },
  (t) => [
    uniqueIndex('template_version_presets_name_idx').on(t.name, t.templateVersionId),
    uniqueIndex('template_version_presets_default_idx')
      .on(t.templateVersionId)
      .where(sql`is_default`),
    index('template_version_presets_version_idx').on(t.templateVersionId),
  ],
);

export const templateVersionPresetParameters = pgTable(
  'template_version_preset_parameters',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    templateVersionPresetId: uuid('template_version_preset_id').notNull(),
    name: text('name').notNull(),
    value: text('value').notNull(),
  },
  (t) => [
    uniqueIndex('template_version_preset_parameters_name_idx').on(t.templateVersionPresetId, t.name),
    foreignKey({
      name: 'template_version_preset_parameters_preset_fk',
      columns: [t.templateVersionPresetId],
      foreignColumns: [templateVersionPresets.id],
    }).onDelete('cascade'),
  ],
);

export const templateVersionPresetPrebuildSchedules = pgTable(
  'template_version_preset_prebuild_schedules',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    presetId: uuid('preset_id').notNull(),
    position: integer('position').notNull(),
    cronExpression: text('cron_expression').notNull(),
    desiredInstances: integer('desired_instances').notNull(),
  },
  (t) => [
    uniqueIndex('template_version_preset_prebuild_schedules_position_idx').on(t.presetId, t.position),
    foreignKey({
      name: 'template_version_preset_prebuild_schedules_preset_fk',
      columns: [t.presetId],
      foreignColumns: [templateVersionPresets.id],
    }).onDelete('cascade'),
  ],
);

/** What a build needs of the import and no ordinary query reads. */
export const templateVersionTerraformValues = pgTable('template_version_terraform_values', {
  templateVersionId: versionId().primaryKey(),
  updatedAt: instant('updated_at').notNull(),
  /** Start plan without variables, sensitive values and owner secrets. */
  cachedPlan: jsonb('cached_plan').notNull(),
  cachedModuleFiles: uuid('cached_module_files').references(() => files.id),
  provisionerdVersion: text('provisionerd_version').notNull().default(''),
  /** Ours: attribution of agents and metadata (design §3). */
  references: jsonb('template_references').$type<TemplateReferences>().notNull(),
  /** Ours: `.terraform.lock.hcl` of the import, so that provider versions are pinned too. */
  lockFile: text('lock_file').notNull().default(''),
  /** Ours: what a claim would change; null = imported before it was kept, so nothing is known. */
  claimDependencies: jsonb('claim_dependencies').$type<ClaimDependencies>(),
});

export const templateVersionWorkspaceTags = pgTable(
  'template_version_workspace_tags',
  { templateVersionId: versionId(), key: text('key').notNull(), value: text('value').notNull() },
  (t) => [uniqueIndex('template_version_workspace_tags_key_idx').on(t.templateVersionId, t.key)],
);

export const workspaceModules = pgTable(
  'workspace_modules',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    jobId: uuid('job_id')
      .notNull()
      .references(() => provisionerJobs.id, { onDelete: 'cascade' }),
    transition: workspaceTransition('transition').notNull(),
    source: text('source').notNull(),
    version: text('version').notNull(),
    key: text('key').notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [index('workspace_modules_job_idx').on(t.jobId)],
);
