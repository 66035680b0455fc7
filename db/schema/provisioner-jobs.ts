import { type SQL, sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  check,
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
import { instant } from './columns.ts';
import {
  logLevel,
  logSource,
  provisionerJobStatus,
  provisionerJobTimingStage,
  provisionerJobType,
  provisionerStorageMethod,
  provisionerType,
} from './enums.ts';
import { files } from './files.ts';
import { organizations, users } from './users.ts';

export interface JobInput {
  template_version_id?: string;
  workspace_build_id?: string;
  log_level?: 'debug';
  /** Names of user variables given with the request; their values live in template_version_variables. */
  user_variable_names?: string[];
  workspace_name?: string;
  rich_parameter_values?: { name: string; value: string }[];
  /** Variables that a dry run sets instead of the version's, each value encrypted (base64): secrets never stand here in clear. */
  sealed_variables?: { name: string; value: string; key_id: string }[];
}

/** One row = one workflow. Source: spec/01 §3.1, spec/02 §1. */
export const provisionerJobs = pgTable(
  'provisioner_jobs',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    createdAt: instant('created_at')
      .notNull()
      .default(sql`now()`),
    updatedAt: instant('updated_at')
      .notNull()
      .default(sql`now()`),
    organizationId: uuid('organization_id')
      .notNull()
      .references(() => organizations.id),
    initiatorId: uuid('initiator_id')
      .notNull()
      .references(() => users.id),
    provisioner: provisionerType('provisioner').notNull(),
    storageMethod: provisionerStorageMethod('storage_method').notNull().default('file'),
    type: provisionerJobType('type').notNull(),
    input: jsonb('input').$type<JobInput>().notNull(),
    fileId: uuid('file_id')
      .notNull()
      .references(() => files.id),
    tags: jsonb('tags').$type<Record<string, string>>().notNull().default({ scope: 'organization', owner: '' }),
    startedAt: instant('started_at'),
    canceledAt: instant('canceled_at'),
    completedAt: instant('completed_at'),
    error: text('error'),
    errorCode: text('error_code'),
    workerId: uuid('worker_id'),
    jobStatus: provisionerJobStatus('job_status')
      .notNull()
      .generatedAlwaysAs(
        (): SQL => sql`case
          when completed_at is not null then case
            when error <> '' then 'failed'::provisioner_job_status
            when canceled_at is not null then 'canceled'::provisioner_job_status
            else 'succeeded'::provisioner_job_status end
          else case
            when error <> '' then 'failed'::provisioner_job_status
            when canceled_at is not null then 'canceling'::provisioner_job_status
            when started_at is null then 'pending'::provisioner_job_status
            else 'running'::provisioner_job_status end
        end`,
      ),
    logsLength: integer('logs_length').notNull().default(0),
    logsOverflowed: boolean('logs_overflowed').notNull().default(false),
    traceMetadata: jsonb('trace_metadata'),
    workflowId: text('workflow_id').notNull(),
    /** Set once `startOnce` succeeded; null + pending is what the sweep looks for. */
    workflowStartedAt: instant('workflow_started_at'),
    /** 1 interactive, 2 import and dry run, 3 automatic, 4 prebuild pool. */
    priority: smallint('priority').notNull(),
    /** Number of takes; the fencing token of every write of a run. */
    attempt: integer('attempt').notNull().default(0),
    /** Number of the Terraform run that the two offsets belong to. */
    logRun: integer('log_run').notNull().default(0),
    /** Bytes of its standard output already turned into rows, and of its standard error. */
    logOffset: bigint('log_offset', { mode: 'number' }).notNull().default(0),
    logErrorOffset: bigint('log_error_offset', { mode: 'number' }).notNull().default(0),
    /** How often a new Terraform went on from what a lost one had left. */
    continuations: smallint('continuations').notNull().default(0),
    /**
     * Addresses that the apply in progress creates and that are not known to stand in a stored state: what may exist unrecorded
     * if its host is lost. Null = no apply has begun.
     */
    unsettled: jsonb('unsettled').$type<string[]>(),
    hostId: text('host_id'),
    leaseUntil: instant('lease_until'),
    /** Drawn anew by a trigger whenever the status changes: the place in the stream of all status changes. */
    updateSequence: bigint('update_sequence', { mode: 'number' }).notNull().default(0),
  },
  (t) => [
    index('provisioner_jobs_status_idx').on(t.jobStatus),
    index('provisioner_jobs_queue_idx')
      .on(t.priority, t.createdAt, t.id)
      .where(sql`started_at is null and completed_at is null`),
    index('provisioner_jobs_unstarted_idx')
      .on(t.createdAt)
      .where(sql`workflow_started_at is null and completed_at is null`),
    index('provisioner_jobs_lease_idx')
      .on(t.leaseUntil)
      .where(sql`started_at is not null and completed_at is null`),
    index('provisioner_jobs_organization_idx').on(t.organizationId, t.createdAt.desc()),
    index('provisioner_jobs_worker_idx').on(t.workerId, t.organizationId, t.completedAt.desc()),
    index('provisioner_jobs_update_idx')
      .on(t.updateSequence)
      .where(sql`type = 'workspace_build'`),
    check('provisioner_jobs_logs_length', sql`logs_length <= 1048576`),
    check('provisioner_jobs_error_not_empty', sql`error is null or error <> ''`),
  ],
);

export const provisionerJobLogs = pgTable(
  'provisioner_job_logs',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    jobId: uuid('job_id')
      .notNull()
      .references(() => provisionerJobs.id, { onDelete: 'cascade' }),
    createdAt: instant('created_at').notNull(),
    source: logSource('source').notNull(),
    level: logLevel('level').notNull(),
    stage: varchar('stage', { length: 128 }).notNull(),
    output: varchar('output', { length: 1024 }).notNull(),
  },
  (t) => [index('provisioner_job_logs_job_idx').on(t.jobId, t.id)],
);

export const provisionerJobTimings = pgTable(
  'provisioner_job_timings',
  {
    jobId: uuid('job_id')
      .notNull()
      .references(() => provisionerJobs.id, { onDelete: 'cascade' }),
    startedAt: instant('started_at').notNull(),
    endedAt: instant('ended_at').notNull(),
    stage: provisionerJobTimingStage('stage').notNull(),
    source: text('source').notNull(),
    action: text('action').notNull(),
    resource: text('resource').notNull(),
  },
  (t) => [
    uniqueIndex('provisioner_job_timings_key_idx').on(t.jobId, t.stage, t.resource, t.action),
    check('provisioner_job_timings_order', sql`ended_at >= started_at`),
    check('provisioner_job_timings_real', sql`started_at > '1970-01-02'::timestamptz`),
  ],
);

/** One row per live worker process; its heartbeat. Shown as offline after 90 s (spec/01 §5). */
export const provisionerDaemons = pgTable('provisioner_daemons', {
  id: uuid('id').primaryKey(),
  createdAt: instant('created_at').notNull(),
  name: varchar('name', { length: 64 }).notNull(),
  provisioners: provisionerType('provisioners').array().notNull(),
  replicaId: uuid('replica_id'),
  tags: jsonb('tags').$type<Record<string, string>>().notNull(),
  lastSeenAt: instant('last_seen_at').notNull(),
  version: text('version').notNull(),
  apiVersion: text('api_version').notNull().default('1.0'),
  organizationId: uuid('organization_id')
    .notNull()
    .references(() => organizations.id, { onDelete: 'cascade' }),
  keyId: uuid('key_id'),
  /** Ours: the distinct task queues the process polls, so that a job without a worker is told from one that waits. */
  taskQueues: text('task_queues')
    .array()
    .notNull()
    .default(sql`'{}'::text[]`),
  /** Ours: Terraform runs that the process takes at once. */
  slots: integer('slots').notNull().default(1),
});
