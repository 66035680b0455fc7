import { sql } from 'drizzle-orm';
import type { Db } from '../client.ts';

export interface ConnectionChange {
  readonly agentId: string;
  /** Last sign of life; null = none in this change. */
  readonly seenAt: Date | null;
  /** The socket ended; null = it did not. */
  readonly disconnectedAt: Date | null;
  /** A pong came: an older end is over. */
  readonly alive: boolean;
}

/**
 * Connection times of many agents in one statement. A later time is never replaced by an earlier one, so processes may write
 * in any order. Answers workspaces whose agent came for the first time. Source: spec/05 §7.
 */
export async function writeConnections(db: Db, replicaId: string, changes: readonly ConnectionChange[]): Promise<void> {
  const seconds = (instant: Date | null) => (instant === null ? null : instant.getTime() / 1_000);
  const rows = JSON.stringify(
    changes
      .toSorted((a, b) => (a.agentId < b.agentId ? -1 : 1))
      .map(({ agentId, seenAt, disconnectedAt, alive }) => ({
        agent_id: agentId,
        seen_at: seconds(seenAt),
        disconnected_at: seconds(disconnectedAt),
        alive,
      })),
  );
  await db.execute(sql`
    update workspace_agent_connections c set
      first_connected_at = coalesce(c.first_connected_at, to_timestamp(r.seen_at)),
      last_connected_at = greatest(c.last_connected_at, to_timestamp(r.seen_at)),
      disconnected_at = case
        when r.disconnected_at is not null and not coalesce(c.last_connected_at > to_timestamp(r.disconnected_at), false)
          then to_timestamp(r.disconnected_at)
        when r.alive then null
        else c.disconnected_at end,
      replica_id = case when r.disconnected_at is null then ${replicaId}::uuid else c.replica_id end
    from json_to_recordset(${rows}::text::json) as r(agent_id uuid, seen_at float8, disconnected_at float8, alive boolean)
    where c.agent_id = r.agent_id`);
}
