import { type SQL, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';

/** What the actor `purger` may delete: rows beyond their retention, so many per statement. Source: spec/05 §8, spec/01 §4.3. */

export interface LogOwner extends Record<string, unknown> {
  readonly id: string;
  /** Not in its workspace's latest build, and not seen since. */
  readonly old: boolean;
}

/**
 * Agents that have logs, by id. Skips from agent to agent in the index of logs: one look per agent that has any, however many
 * lines and however many agents there were.
 */
export async function listAgentsWithLogs(
  db: Db,
  page: { after: string; notSeenSince: Date; limit: number },
): Promise<LogOwner[]> {
  const next = (after: SQL) =>
    sql`select l.agent_id from workspace_agent_logs l where l.agent_id > ${after} order by l.agent_id limit 1`;
  const rows = await db.execute<LogOwner>(sql`
    with recursive owner as (
      select (${next(sql`${page.after}::uuid`)}) as id, 1 as position
      union all
      select (${next(sql`owner.id`)}), position + 1 from owner where owner.id is not null and position < ${page.limit}::int
    )
    select owner.id, coalesce(coalesce(c.last_connected_at, a.created_at) < ${page.notSeenSince.toISOString()}::timestamptz
      and not exists (select 1 from workspace_resources r join workspace_builds b on b.job_id = r.job_id
        where r.id = a.resource_id and b.is_latest), false) as old
    from owner left join workspace_agents a on a.id = owner.id left join workspace_agent_connections c on c.agent_id = a.id
    where owner.id is not null order by owner.id`);
  return [...rows];
}

/** At most `limit` lines. How many were deleted. */
export async function deleteLogsOfAgents(db: Db, agentIds: readonly string[], limit: number): Promise<number> {
  const { count } = await db.execute(sql`
    delete from workspace_agent_logs where id = any(array(
      select l.id from json_array_elements_text(${JSON.stringify(agentIds)}::text::json) as owner(id)
      join workspace_agent_logs l on l.agent_id = owner.id::uuid limit ${limit}::int))`);
  return count;
}

/** The oldest first, at most `limit`. How many were deleted. */
export async function deleteAgentStats(db: Db, before: Date, limit: number): Promise<number> {
  const { count } = await db.execute(sql`
    delete from workspace_agent_stats where id = any(array(
      select id from workspace_agent_stats where created_at < ${before.toISOString()}::timestamptz
      order by created_at limit ${limit}::int))`);
  return count;
}

/** The oldest first, at most `limit`. How many were deleted. */
export async function deleteAgentRequests(db: Db, before: Date, limit: number): Promise<number> {
  const { count } = await db.execute(sql`
    delete from workspace_agent_requests where id = any(array(
      select id from workspace_agent_requests where created_at < ${before.toISOString()}::timestamptz
      order by created_at limit ${limit}::int))`);
  return count;
}
