import { sql } from 'drizzle-orm';
import { type Db, transaction } from '../client.ts';
import { agentStatusSql } from './workspace-filter.ts';

/** What the metrics page shows of agents, read as the actor `metrics-reader`: counts, and names where they are asked for. */

/** Far below the driver's: a page of metrics must not hold a connection for long (spec/08 §1). */
const statementTimeout = sql`set local statement_timeout = '10s'`;

export interface AgentNames extends Record<string, string> {
  readonly agent_name: string;
  readonly template_name: string;
  readonly username: string;
  readonly workspace_name: string;
}

/** Of live agents of workspaces, by agent id. */
export async function readAgentNames(db: Db, agentIds: readonly string[]): Promise<Map<string, AgentNames>> {
  if (agentIds.length === 0) return new Map();
  const rows = await transaction(db, async (tx) => {
    await tx.execute(statementTimeout);
    return tx.execute<AgentNames & { id: string }>(sql`
      select a.id, a.name as agent_name, t.name as template_name, u.username, w.name as workspace_name
      from json_array_elements_text(${JSON.stringify(agentIds)}::text::json) as asked(id)
      join live_workspace_agents a on a.id = asked.id::uuid
      join workspace_resources r on r.id = a.resource_id
      join workspace_builds b on b.job_id = r.job_id
      join workspaces w on w.id = b.workspace_id and not w.deleted
      join users u on u.id = w.owner_id
      join templates t on t.id = w.template_id`);
  });
  return new Map(rows.map(({ id, ...names }) => [id, names]));
}

/** Agents of the latest builds of live workspaces, counted by status and lifecycle state. */
export async function countAgentsByStatus(db: Db) {
  const rows = await transaction(db, async (tx) => {
    await tx.execute(statementTimeout);
    return tx.execute<{ status: string; lifecycle_state: string; count: number }>(sql`
      select ${agentStatusSql} as status, a.lifecycle_state, count(*)::int as count
      from workspace_builds b
      join workspaces w on w.id = b.workspace_id and not w.deleted
      join workspace_resources r on r.job_id = b.job_id
      join live_workspace_agents a on a.resource_id = r.id
      left join workspace_agent_connections c on c.agent_id = a.id
      where b.is_latest group by 1, 2`);
  });
  return rows.map(({ status, lifecycle_state: lifecycleState, count }) => ({ status, lifecycleState, count }));
}
