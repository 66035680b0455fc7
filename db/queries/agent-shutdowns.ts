import { and, eq, inArray, isNotNull, notInArray, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { agentCommandsChannel } from '../notifications.ts';
import { liveWorkspaceAgents, workspaceAgentConnections } from '../schema/workspace-agents.ts';

const over = ['off', 'shutdown_timeout', 'shutdown_error'] as const;

/** Of these agents those that were asked to shut down and have not done so. */
export async function listShutdowns(db: Db, agentIds: readonly string[]) {
  if (agentIds.length === 0) return [];
  return db
    .select({ agentId: liveWorkspaceAgents.id, reason: liveWorkspaceAgents.shutdownReason })
    .from(liveWorkspaceAgents)
    .where(
      and(
        inArray(liveWorkspaceAgents.id, [...agentIds]),
        isNotNull(liveWorkspaceAgents.shutdownRequestedAt),
        notInArray(liveWorkspaceAgents.lifecycleState, [...over]),
      ),
    );
}

export interface Draining {
  readonly agentId: string;
  readonly name: string;
  readonly lifecycleState: string;
  readonly requestedAt: Date;
  readonly createdAt: Date;
  readonly connectionTimeoutSeconds: number;
  readonly firstConnectedAt: Date | null;
  readonly lastConnectedAt: Date | null;
  readonly disconnectedAt: Date | null;
}

/**
 * Asks the agents of the workspace's last start that have stop scripts to run them; one that was asked already is not asked again.
 * Answers all that were asked. Source: spec/05 §6.
 */
export async function requestShutdowns(
  db: Db,
  request: { workspaceId: string; buildNumber: number; reason: string; seenWithinMs: number },
): Promise<string[]> {
  const rows = await db.execute<{ id: string }>(sql`
    with candidate as (
      select a.id from live_workspace_agents a
      join workspace_resources r on r.id = a.resource_id
      join workspace_builds b on b.job_id = r.job_id
      join workspace_agent_connections c on c.agent_id = a.id
      where b.workspace_id = ${request.workspaceId} and b.build_number = ${request.buildNumber}::int - 1
        and b.transition = 'start'
        and c.last_connected_at > now() - ${request.seenWithinMs}::int * interval '1 millisecond'
        and (c.disconnected_at is null or c.disconnected_at <= c.last_connected_at)
        and exists (select 1 from workspace_agent_scripts s where s.workspace_agent_id = a.id and s.run_on_stop)
    ), asked as (
      update workspace_agents a set shutdown_requested_at = coalesce(a.shutdown_requested_at, now()),
        shutdown_reason = coalesce(a.shutdown_reason, ${request.reason})
      from candidate where a.id = candidate.id
      returning a.id
    )
    select id, pg_notify(${agentCommandsChannel}, id::text) from asked`);
  return rows.map(({ id }) => id);
}

/** How far the stop scripts of these agents are; those that are through are left out. */
export async function listDraining(db: Db, agentIds: readonly string[]): Promise<Draining[]> {
  return db
    .select({
      agentId: liveWorkspaceAgents.id,
      name: liveWorkspaceAgents.name,
      lifecycleState: liveWorkspaceAgents.lifecycleState,
      requestedAt: sql<Date>`coalesce(${liveWorkspaceAgents.shutdownRequestedAt}, now())`.mapWith(
        liveWorkspaceAgents.createdAt,
      ),
      createdAt: liveWorkspaceAgents.createdAt,
      connectionTimeoutSeconds: liveWorkspaceAgents.connectionTimeoutSeconds,
      firstConnectedAt: workspaceAgentConnections.firstConnectedAt,
      lastConnectedAt: workspaceAgentConnections.lastConnectedAt,
      disconnectedAt: workspaceAgentConnections.disconnectedAt,
    })
    .from(liveWorkspaceAgents)
    .innerJoin(workspaceAgentConnections, eq(workspaceAgentConnections.agentId, liveWorkspaceAgents.id))
    .where(inArray(liveWorkspaceAgents.id, [...agentIds]));
}
