import { and, eq, inArray, ne, sql } from 'drizzle-orm';
import type { BumpInput } from '../../domain/activity-bump.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type Db, pipelined, transaction } from '../client.ts';
import { agentStatesChannel } from '../notifications.ts';
import type { workspaceAgentStats } from '../schema/agent-reports.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templates } from '../schema/templates.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

export type NewAgentStats = Omit<typeof workspaceAgentStats.$inferInsert, 'id'>;

export async function insertAgentStats(db: Db, rows: readonly NewAgentStats[]): Promise<void> {
  const columns = rows.map((row) => ({ ...row, createdAt: row.createdAt.getTime() / 1_000 }));
  // One parameter however many rows: PostgreSQL takes 65,535 at most.
  await db.execute(sql`
    insert into workspace_agent_stats (created_at, user_id, agent_id, workspace_id, template_id, connections_by_proto,
      connection_count, connection_median_latency_ms, rx_packets, rx_bytes, tx_packets, tx_bytes, session_count_vscode,
      session_count_jetbrains, session_count_reconnecting_pty, session_count_ssh, session_counts, usage)
    select to_timestamp(r."createdAt"), r."userId", r."agentId", r."workspaceId", r."templateId", r."connectionsByProto",
      r."connectionCount", r."connectionMedianLatencyMs", r."rxPackets", r."rxBytes", r."txPackets", r."txBytes",
      r."sessionCountVscode", r."sessionCountJetbrains", r."sessionCountReconnectingPty", r."sessionCountSsh",
      r."sessionCounts", r."usage"
    from json_to_recordset(${JSON.stringify(columns)}::text::json) as r("createdAt" float8, "userId" uuid, "agentId" uuid,
      "workspaceId" uuid, "templateId" uuid, "connectionsByProto" jsonb, "connectionCount" bigint,
      "connectionMedianLatencyMs" float8, "rxPackets" bigint, "rxBytes" bigint, "txPackets" bigint, "txBytes" bigint,
      "sessionCountVscode" bigint, "sessionCountJetbrains" bigint, "sessionCountReconnectingPty" bigint,
      "sessionCountSsh" bigint, "sessionCounts" jsonb, "usage" boolean)`);
}

/** A gathering process waits no longer for rows that somebody holds: it has them still, and tries again. */
const statementTimeout = sql`set local statement_timeout = '10s'`;

/** Moves `last_used_at` forward, never back, and never of a prebuild. Ids in one order: no deadlocks between processes. */
export async function touchWorkspaces(db: Db, uses: readonly { workspaceId: string; at: Date }[]): Promise<void> {
  const rows = uses
    .toSorted((a, b) => (a.workspaceId < b.workspaceId ? -1 : 1))
    .map(({ workspaceId, at }) => ({ id: workspaceId, at: at.getTime() / 1_000 }));
  const update = sql`
    with used as (
      select w.id, to_timestamp(r.at) as at
      from json_to_recordset(${JSON.stringify(rows)}::text::json) as r(id uuid, at float8) join workspaces w on w.id = r.id
      where w.owner_id <> ${PREBUILDS_SYSTEM_USER_ID}::uuid and w.last_used_at < to_timestamp(r.at)
      order by w.id for update of w
    )
    update workspaces w set last_used_at = greatest(w.last_used_at, used.at) from used where w.id = used.id`;
  await transaction(db, (tx) => pipelined([tx.execute(statementTimeout), tx.execute(update)]));
}

export interface BumpCandidate extends BumpInput {
  readonly buildId: string;
  readonly workspaceId: string;
}

/** Running workspaces with a deadline that activity may move. */
export async function listBumpCandidates(db: Db, workspaceIds: readonly string[]): Promise<BumpCandidate[]> {
  return db
    .select({
      workspaceId: workspaces.id,
      buildId: workspaceBuilds.id,
      deadline: workspaceBuilds.deadline,
      maxDeadline: workspaceBuilds.maxDeadline,
      activityBumpMs: templates.activityBumpMs,
      nextStartAt: workspaces.nextStartAt,
      ttlMs: workspaces.ttlMs,
      defaultTtlMs: templates.defaultTtlMs,
      allowUserAutostop: templates.allowUserAutostop,
    })
    .from(workspaces)
    .innerJoin(workspaceBuilds, and(eq(workspaceBuilds.workspaceId, workspaces.id), eq(workspaceBuilds.isLatest, true)))
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .where(
      and(
        inArray(workspaces.id, [...workspaceIds]),
        ne(workspaces.ownerId, PREBUILDS_SYSTEM_USER_ID),
        eq(workspaces.deleted, false),
        sql`${workspaces.dormantAt} is null`,
        sql`${workspaceBuilds.deadline} is not null`,
        eq(workspaceBuilds.transition, 'start'),
        eq(provisionerJobs.jobStatus, 'succeeded'),
      ),
    );
}

/** A deadline that somebody moved meanwhile stays as he wants it; a hard limit that came meanwhile holds. */
export async function moveDeadlines(
  db: Db,
  moves: readonly { buildId: string; from: Date; to: Date }[],
): Promise<void> {
  if (moves.length === 0) return;
  const rows = moves
    .toSorted((a, b) => (a.buildId < b.buildId ? -1 : 1))
    .map(({ buildId, from, to }) => ({ id: buildId, old: from.toISOString(), new: to.toISOString() }));
  const update = sql`
    with due as (
      select b.id, least(r.new, b.max_deadline) as deadline
      from json_to_recordset(${JSON.stringify(rows)}::text::json) as r(id uuid, old timestamptz, new timestamptz)
      join workspace_builds b on b.id = r.id
      where date_trunc('milliseconds', b.deadline) = r.old and b.is_latest and least(r.new, b.max_deadline) > b.deadline
      order by b.id for update of b
    ), moved as (
      update workspace_builds b set deadline = due.deadline, updated_at = now() from due where b.id = due.id
      returning b.workspace_id
    )
    select pg_notify(${agentStatesChannel}, workspace_id::text) from moved`;
  await transaction(db, (tx) => pipelined([tx.execute(statementTimeout), tx.execute(update)]));
}
