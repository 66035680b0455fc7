import { eq, sql } from 'drizzle-orm';
import {
  type AnyPgColumn,
  bigserial,
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  pgView,
  primaryKey,
  smallint,
  text,
  uniqueIndex,
  uuid,
  varchar,
} from 'drizzle-orm/pg-core';
import { bytea, instant } from './columns.ts';
import {
  agentKeyScope,
  agentLifecycleState,
  agentMonitorState,
  agentSubsystem,
  appSharingLevel,
  displayApp,
  logLevel,
  workspaceAppHealth,
  workspaceAppOpenIn,
  workspaceTransition,
} from './enums.ts';
import { provisionerJobs } from './provisioner-jobs.ts';

/** Resources, agents and what hangs on them. Source: spec/01 §4.3. */
export const workspaceResources = pgTable(
  'workspace_resources',
  {
    id: uuid('id').primaryKey(),
    createdAt: instant('created_at').notNull(),
    jobId: uuid('job_id')
      .notNull()
      .references(() => provisionerJobs.id, { onDelete: 'cascade' }),
    transition: workspaceTransition('transition').notNull(),
    type: varchar('type', { length: 192 }).notNull(),
    name: varchar('name', { length: 64 }).notNull(),
    hide: boolean('hide').notNull().default(false),
    icon: varchar('icon', { length: 256 }).notNull().default(''),
    instanceType: varchar('instance_type', { length: 256 }),
    dailyCost: integer('daily_cost').notNull().default(0),
    modulePath: text('module_path'),
  },
  (t) => [index('workspace_resources_job_idx').on(t.jobId)],
);

export const workspaceResourceMetadata = pgTable(
  'workspace_resource_metadata',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    workspaceResourceId: uuid('workspace_resource_id').notNull(),
    key: varchar('key', { length: 1024 }).notNull(),
    value: varchar('value', { length: 65_536 }),
    sensitive: boolean('sensitive').notNull(),
  },
  (t) => [
    uniqueIndex('workspace_resource_metadata_key_idx').on(t.workspaceResourceId, t.key),
    foreignKey({
      name: 'workspace_resource_metadata_resource_fk',
      columns: [t.workspaceResourceId],
      foreignColumns: [workspaceResources.id],
    }).onDelete('cascade'),
  ],
);

export const workspaceAgents = pgTable(
  'workspace_agents',
  {
    id: uuid('id').primaryKey(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    resourceId: uuid('resource_id')
      .notNull()
      .references(() => workspaceResources.id, { onDelete: 'cascade' }),
    name: varchar('name', { length: 64 }).notNull(),
    authTokenHash: bytea('auth_token_hash').notNull(),
    authTokenEnc: bytea('auth_token_enc').notNull(),
    authTokenEncKeyId: text('auth_token_enc_key_id').notNull().default(''),
    authInstanceId: varchar('auth_instance_id'),
    architecture: varchar('architecture', { length: 64 }).notNull(),
    operatingSystem: varchar('operating_system', { length: 64 }).notNull(),
    environmentVariables: jsonb('environment_variables').$type<Record<string, string>>(),
    directory: varchar('directory', { length: 4096 }).notNull().default(''),
    expandedDirectory: varchar('expanded_directory', { length: 4096 }).notNull().default(''),
    version: text('version').notNull().default(''),
    apiVersion: text('api_version').notNull().default(''),
    connectionTimeoutSeconds: integer('connection_timeout_seconds').notNull().default(120),
    troubleshootingUrl: text('troubleshooting_url').notNull().default(''),
    motdFile: text('motd_file').notNull().default(''),
    lifecycleState: agentLifecycleState('lifecycle_state').notNull().default('created'),
    /** When the agent says that it changed: an older report that comes late is ignored. */
    lifecycleChangedAt: instant('lifecycle_changed_at'),
    startedAt: instant('started_at'),
    readyAt: instant('ready_at'),
    /** Stop or delete asked the agent to run its stop scripts (spec/05 §6). */
    shutdownRequestedAt: instant('shutdown_requested_at'),
    shutdownReason: text('shutdown_reason'),
    subsystems: agentSubsystem('subsystems')
      .array()
      .notNull()
      .default(sql`'{}'::workspace_agent_subsystem[]`),
    displayApps: displayApp('display_apps').array().notNull(),
    displayOrder: integer('display_order').notNull().default(0),
    logsLength: integer('logs_length').notNull().default(0),
    logsOverflowed: boolean('logs_overflowed').notNull().default(false),
    parentId: uuid('parent_id').references((): AnyPgColumn => workspaceAgents.id, { onDelete: 'cascade' }),
    apiKeyScope: agentKeyScope('api_key_scope').notNull().default('all'),
    deleted: boolean('deleted').notNull().default(false),
  },
  (t) => [
    index('workspace_agents_resource_idx').on(t.resourceId),
    index('workspace_agents_token_idx').on(t.authTokenHash),
    index('workspace_agents_instance_idx').on(t.authInstanceId, t.deleted),
    index('workspace_agents_parent_idx')
      .on(t.parentId)
      .where(sql`parent_id is not null`),
    check('workspace_agents_logs_length', sql`logs_length <= 1048576`),
  ],
);

/** What every read goes through: deleted agents stay for their statistics only (spec/05 §1 rule 3). */
export const liveWorkspaceAgents = pgView('live_workspace_agents').as((query) =>
  query.select().from(workspaceAgents).where(eq(workspaceAgents.deleted, false)),
);

const agentId = (name = 'workspace_agent_id') =>
  uuid(name)
    .notNull()
    .references(() => workspaceAgents.id, { onDelete: 'cascade' });

/** Split from the wide agent row: connection reports are the hottest writes (spec/05 §1). */
export const workspaceAgentConnections = pgTable('workspace_agent_connections', {
  agentId: agentId('agent_id').primaryKey(),
  firstConnectedAt: instant('first_connected_at'),
  lastConnectedAt: instant('last_connected_at'),
  disconnectedAt: instant('disconnected_at'),
  replicaId: uuid('replica_id'),
});

export const workspaceApps = pgTable(
  'workspace_apps',
  {
    id: uuid('id').primaryKey(),
    createdAt: instant('created_at').notNull(),
    agentId: agentId('agent_id'),
    slug: text('slug').notNull(),
    displayName: varchar('display_name', { length: 64 }).notNull(),
    icon: varchar('icon', { length: 256 }).notNull().default(''),
    command: text('command'),
    url: text('url'),
    healthcheckUrl: text('healthcheck_url').notNull().default(''),
    healthcheckInterval: integer('healthcheck_interval').notNull().default(0),
    healthcheckThreshold: integer('healthcheck_threshold').notNull().default(0),
    health: workspaceAppHealth('health').notNull().default('disabled'),
    subdomain: boolean('subdomain').notNull().default(false),
    sharingLevel: appSharingLevel('sharing_level').notNull().default('owner'),
    external: boolean('external').notNull().default(false),
    displayOrder: integer('display_order').notNull().default(0),
    displayGroup: text('display_group'),
    hidden: boolean('hidden').notNull().default(false),
    openIn: workspaceAppOpenIn('open_in').notNull().default('slim-window'),
    tooltip: varchar('tooltip', { length: 2048 }).notNull().default(''),
  },
  (t) => [uniqueIndex('workspace_apps_agent_slug_idx').on(t.agentId, t.slug)],
);

export const workspaceAgentScripts = pgTable(
  'workspace_agent_scripts',
  {
    id: uuid('id').primaryKey(),
    workspaceAgentId: agentId(),
    logSourceId: uuid('log_source_id').notNull(),
    logPath: text('log_path').notNull(),
    createdAt: instant('created_at').notNull(),
    script: text('script').notNull(),
    cron: text('cron').notNull(),
    startBlocksLogin: boolean('start_blocks_login').notNull(),
    runOnStart: boolean('run_on_start').notNull(),
    runOnStop: boolean('run_on_stop').notNull(),
    timeoutSeconds: integer('timeout_seconds').notNull(),
    displayName: text('display_name').notNull(),
  },
  (t) => [index('workspace_agent_scripts_agent_idx').on(t.workspaceAgentId)],
);

export const workspaceAgentLogSources = pgTable(
  'workspace_agent_log_sources',
  {
    workspaceAgentId: agentId(),
    id: uuid('id').notNull(),
    createdAt: instant('created_at').notNull(),
    displayName: varchar('display_name', { length: 127 }).notNull(),
    icon: text('icon').notNull().default(''),
  },
  (t) => [primaryKey({ columns: [t.workspaceAgentId, t.id] })],
);

export const workspaceAgentLogs = pgTable(
  'workspace_agent_logs',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    agentId: agentId('agent_id'),
    createdAt: instant('created_at').notNull(),
    level: logLevel('level').notNull().default('info'),
    output: varchar('output', { length: 1024 }).notNull(),
    logSourceId: uuid('log_source_id').notNull(),
  },
  (t) => [index('workspace_agent_logs_agent_idx').on(t.agentId, t.id)],
);

/** What a template wants to know of a workspace. */
export const workspaceAgentMetadata = pgTable(
  'workspace_agent_metadata',
  {
    workspaceAgentId: agentId(),
    key: varchar('key', { length: 127 }).notNull(),
    displayName: varchar('display_name', { length: 127 }).notNull(),
    script: text('script').notNull(),
    /** Seconds, as the template states them. */
    timeoutSeconds: integer('timeout').notNull(),
    intervalSeconds: integer('interval').notNull(),
    displayOrder: integer('display_order').notNull().default(0),
  },
  (t) => [primaryKey({ columns: [t.workspaceAgentId, t.key] })],
);

/** Written all the time and lost in a crash of the database, until the agent collects again (unlogged, in the migration). */
export const workspaceAgentMetadataValues = pgTable(
  'workspace_agent_metadata_values',
  {
    workspaceAgentId: uuid('workspace_agent_id').notNull(),
    key: varchar('key', { length: 127 }).notNull(),
    value: varchar('value', { length: 2_048 }).notNull(),
    error: varchar('error', { length: 2_048 }).notNull(),
    collectedAt: instant('collected_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.workspaceAgentId, t.key] }),
    foreignKey({
      name: 'workspace_agent_metadata_values_definition_fk',
      columns: [t.workspaceAgentId, t.key],
      foreignColumns: [workspaceAgentMetadata.workspaceAgentId, workspaceAgentMetadata.key],
    }).onDelete('cascade'),
  ],
);

export const workspaceAgentDevcontainers = pgTable(
  'workspace_agent_devcontainers',
  {
    id: uuid('id').primaryKey(),
    workspaceAgentId: agentId(),
    createdAt: instant('created_at').notNull(),
    workspaceFolder: text('workspace_folder').notNull(),
    configPath: text('config_path').notNull(),
    name: text('name').notNull(),
    subagentId: uuid('subagent_id').references((): AnyPgColumn => workspaceAgents.id, { onDelete: 'set null' }),
  },
  (t) => [index('workspace_agent_devcontainers_agent_idx').on(t.workspaceAgentId)],
);

export const workspaceAgentMemoryResourceMonitors = pgTable('workspace_agent_memory_resource_monitors', {
  agentId: agentId('agent_id').primaryKey(),
  enabled: boolean('enabled').notNull(),
  threshold: smallint('threshold').notNull(),
  state: agentMonitorState('state').notNull().default('OK'),
  debouncedUntil: instant('debounced_until'),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
});

export const workspaceAgentVolumeResourceMonitors = pgTable(
  'workspace_agent_volume_resource_monitors',
  {
    agentId: agentId('agent_id'),
    path: text('path').notNull(),
    enabled: boolean('enabled').notNull(),
    threshold: smallint('threshold').notNull(),
    state: agentMonitorState('state').notNull().default('OK'),
    debouncedUntil: instant('debounced_until'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.agentId, t.path] })],
);
