import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  doublePrecision,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uuid,
} from 'drizzle-orm/pg-core';
import { instant } from './columns.ts';
import { aiSeatEvent, appStatusState, scriptTimingStage, scriptTimingStatus } from './enums.ts';
import { users } from './users.ts';
import { workspaceAgentScripts, workspaceAgents, workspaceApps } from './workspace-agents.ts';
import { workspaces } from './workspaces.ts';

/** What agents report beside logs and metadata. Source: spec/01 §4.3, spec/05. */
export const workspaceAgentScriptTimings = pgTable(
  'workspace_agent_script_timings',
  {
    scriptId: uuid('script_id').notNull(),
    startedAt: instant('started_at').notNull(),
    endedAt: instant('ended_at').notNull(),
    exitCode: integer('exit_code').notNull(),
    stage: scriptTimingStage('stage').notNull(),
    status: scriptTimingStatus('status').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.scriptId, t.startedAt] }),
    foreignKey({
      name: 'workspace_agent_script_timings_script_fk',
      columns: [t.scriptId],
      foreignColumns: [workspaceAgentScripts.id],
    }).onDelete('cascade'),
  ],
);

/** No foreign keys: rows outlive what they count. */
export const workspaceAgentStats = pgTable(
  'workspace_agent_stats',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    createdAt: instant('created_at').notNull(),
    userId: uuid('user_id').notNull(),
    agentId: uuid('agent_id').notNull(),
    workspaceId: uuid('workspace_id').notNull(),
    templateId: uuid('template_id').notNull(),
    connectionsByProto: jsonb('connections_by_proto').$type<Record<string, number>>().notNull().default({}),
    connectionCount: bigint('connection_count', { mode: 'number' }).notNull().default(0),
    rxPackets: bigint('rx_packets', { mode: 'number' }).notNull().default(0),
    rxBytes: bigint('rx_bytes', { mode: 'number' }).notNull().default(0),
    txPackets: bigint('tx_packets', { mode: 'number' }).notNull().default(0),
    txBytes: bigint('tx_bytes', { mode: 'number' }).notNull().default(0),
    connectionMedianLatencyMs: doublePrecision('connection_median_latency_ms').notNull().default(-1),
    sessionCountVscode: bigint('session_count_vscode', { mode: 'number' }).notNull().default(0),
    sessionCountJetbrains: bigint('session_count_jetbrains', { mode: 'number' }).notNull().default(0),
    sessionCountReconnectingPty: bigint('session_count_reconnecting_pty', { mode: 'number' }).notNull().default(0),
    sessionCountSsh: bigint('session_count_ssh', { mode: 'number' }).notNull().default(0),
    sessionCounts: jsonb('session_counts').$type<Record<string, number>>().notNull().default({}),
    /** The report is activity (domain/agent-stats.ts). */
    usage: boolean('usage').notNull().default(false),
  },
  (t) => [
    // Whom a template has and on which days, from entry to entry: however often their agents reported.
    index('workspace_agent_stats_people_idx')
      .on(t.templateId, t.userId, t.createdAt)
      .where(sql`usage`),
    index('workspace_agent_stats_created_idx').on(t.createdAt),
  ],
);

export const workspaceAppStatuses = pgTable(
  'workspace_app_statuses',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    createdAt: instant('created_at').notNull(),
    agentId: uuid('agent_id')
      .notNull()
      .references(() => workspaceAgents.id, { onDelete: 'cascade' }),
    appId: uuid('app_id')
      .notNull()
      .references(() => workspaceApps.id, { onDelete: 'cascade' }),
    workspaceId: uuid('workspace_id')
      .notNull()
      .references(() => workspaces.id, { onDelete: 'cascade' }),
    state: appStatusState('state').notNull(),
    message: text('message').notNull(),
    uri: text('uri'),
  },
  (t) => [
    index('workspace_app_statuses_workspace_idx').on(t.workspaceId, t.createdAt.desc()),
    index('workspace_app_statuses_app_idx').on(t.appId, t.createdAt.desc()),
  ],
);

/** Source: spec/07 §13. */
export const aiSeatState = pgTable('ai_seat_state', {
  userId: uuid('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  firstUsedAt: instant('first_used_at').notNull(),
  lastUsedAt: instant('last_used_at').notNull(),
  lastEventType: aiSeatEvent('last_event_type').notNull(),
  lastEventDescription: text('last_event_description').notNull(),
  updatedAt: instant('updated_at').notNull(),
});

/** A question to an agent that waits for its answer, wherever the agent's socket is (spec/05 §7). */
export const workspaceAgentRequests = pgTable(
  'workspace_agent_requests',
  {
    id: uuid('id').primaryKey(),
    agentId: uuid('agent_id')
      .notNull()
      .references(() => workspaceAgents.id, { onDelete: 'cascade' }),
    createdAt: instant('created_at').notNull(),
    method: text('method').notNull(),
    params: jsonb('params').$type<Record<string, unknown>>().notNull().default({}),
    answeredAt: instant('answered_at'),
    result: jsonb('result'),
    error: text('error'),
  },
  (t) => [
    index('workspace_agent_requests_agent_idx').on(t.agentId),
    index('workspace_agent_requests_created_idx').on(t.createdAt),
  ],
);
