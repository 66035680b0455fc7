import { and, asc, eq, gt, lt, sql } from 'drizzle-orm';
import type { AgentLogLine } from '../../domain/agent-logs.ts';
import { maxLogBytes } from '../../domain/agent-logs.ts';
import { type Db, preparedQuery } from '../client.ts';
import { liveWorkspaceAgents, workspaceAgentLogSources, workspaceAgentLogs } from '../schema/workspace-agents.ts';

export interface AgentLogInsert extends AgentLogLine {
  readonly agentId: string;
  readonly sourceId: string;
}

export interface AgentLogOutcome extends Record<string, unknown> {
  readonly agent_id: string;
  /** Nothing was stored of this agent before. */
  readonly first: boolean;
  readonly was_overflowed: boolean;
  readonly overflowed: boolean;
}

/**
 * Stores lines of many agents in one statement, in the order given: of each agent what fits below the limit, the rest sets its
 * flag. Agents that are gone are left out of the answer. Agents are locked in one order, and rows of one agent get rising ids in
 * commit order. Source: spec/05 §8.
 */
export async function appendAgentLogs(db: Db, lines: readonly AgentLogInsert[]): Promise<AgentLogOutcome[]> {
  const rows = JSON.stringify(
    lines.map((line) => ({
      agent_id: line.agentId,
      created_at: line.createdAt.getTime() / 1_000,
      level: line.level,
      output: line.output,
      source_id: line.sourceId,
    })),
  );
  return db.execute<AgentLogOutcome>(sql`
    with line as (
      select * from rows from (json_to_recordset(${rows}::text::json)
        as (agent_id uuid, created_at float8, level text, output text, source_id uuid)) with ordinality
        as line(agent_id, created_at, level, output, source_id, position)
    ), locked as materialized (
      select id, logs_length, logs_overflowed from workspace_agents
      where id in (select agent_id from line) and not deleted order by id for update
    ), placed as (
      select line.*, locked.logs_overflowed,
        locked.logs_length + sum(octet_length(line.output)) over (partition by line.agent_id order by line.position) as reaches
      from line join locked on locked.id = line.agent_id
    ), inserted as (
      insert into workspace_agent_logs (agent_id, created_at, level, output, log_source_id)
      select agent_id, to_timestamp(created_at), level::log_level, output, source_id from placed
      where not logs_overflowed and reaches <= ${maxLogBytes}::int order by position
    ), total as (
      select agent_id, coalesce(sum(octet_length(output)) filter (where reaches <= ${maxLogBytes}::int), 0) as bytes,
        bool_or(reaches > ${maxLogBytes}::int) as beyond
      from placed where not logs_overflowed group by agent_id
    ), counted as (
      update workspace_agents set logs_length = logs_length + total.bytes, logs_overflowed = total.beyond
      from total where id = total.agent_id
    )
    select locked.id as agent_id, locked.logs_length = 0 and coalesce(total.bytes, 0) > 0 as first,
      locked.logs_overflowed as was_overflowed, locked.logs_overflowed or coalesce(total.beyond, false) as overflowed
    from locked left join total on total.agent_id = locked.id`);
}

/** Ids of the sources that an agent may write under. */
export async function listLogSourceIds(db: Db, agentId: string): Promise<string[]> {
  const rows = await db
    .select({ id: workspaceAgentLogSources.id })
    .from(workspaceAgentLogSources)
    .where(eq(workspaceAgentLogSources.workspaceAgentId, agentId));
  return rows.map(({ id }) => id);
}

export interface NewLogSource {
  readonly agentId: string;
  readonly id: string;
  readonly displayName: string;
  readonly icon: string;
  readonly now: Date;
}

/** The source with this id; an existing one stays as it is. `undefined`: the agent has as many as it may. */
export async function putLogSource(db: Db, source: NewLogSource, atMost: number) {
  const { agentId, id, displayName, icon, now } = source;
  await db.execute(sql`
    insert into workspace_agent_log_sources (workspace_agent_id, id, created_at, display_name, icon)
    select ${agentId}, ${id}, ${now.toISOString()}::timestamptz, ${displayName}, ${icon}
    where (select count(*) from workspace_agent_log_sources where workspace_agent_id = ${agentId}) < ${atMost}::int
    on conflict do nothing`);
  const [row] = await db
    .select({
      agentId: workspaceAgentLogSources.workspaceAgentId,
      id: workspaceAgentLogSources.id,
      createdAt: workspaceAgentLogSources.createdAt,
      displayName: workspaceAgentLogSources.displayName,
      icon: workspaceAgentLogSources.icon,
    })
    .from(workspaceAgentLogSources)
    .where(and(eq(workspaceAgentLogSources.workspaceAgentId, agentId), eq(workspaceAgentLogSources.id, id)));
  return row;
}

const logColumns = {
  id: workspaceAgentLogs.id,
  createdAt: workspaceAgentLogs.createdAt,
  output: workspaceAgentLogs.output,
  level: workspaceAgentLogs.level,
  sourceId: workspaceAgentLogs.logSourceId,
};

/** Rows of an agent in order, `after` and `before` exclusive. */
export async function listAgentLogs(
  db: Db,
  input: { agentId: string; after?: number | undefined; before?: number | undefined; limit?: number },
) {
  return db
    .select({ ...logColumns, sourceName: workspaceAgentLogSources.displayName })
    .from(workspaceAgentLogs)
    .leftJoin(
      workspaceAgentLogSources,
      and(
        eq(workspaceAgentLogSources.workspaceAgentId, workspaceAgentLogs.agentId),
        eq(workspaceAgentLogSources.id, workspaceAgentLogs.logSourceId),
      ),
    )
    .where(
      and(
        eq(workspaceAgentLogs.agentId, input.agentId),
        input.after === undefined ? undefined : gt(workspaceAgentLogs.id, input.after),
        input.before === undefined ? undefined : lt(workspaceAgentLogs.id, input.before),
      ),
    )
    .orderBy(asc(workspaceAgentLogs.id))
    .limit(input.limit ?? 50_000);
}
export type AgentLogRow = Omit<Awaited<ReturnType<typeof listAgentLogs>>[number], 'sourceName'>;

/**
 * The next rows of an agent and whether its build is still the workspace's newest, from one snapshot: when it is not, what
 * comes later is of no interest to followers any more.
 */
export async function readAgentLog(
  db: Db,
  input: { agentId: string; after: number; limit: number },
): Promise<{ current: boolean; rows: AgentLogRow[] }> {
  const rows = await logsWithState(db, input);
  return {
    current: rows[0]?.current === true,
    rows: rows.flatMap(({ current: _current, ...row }) => (row.id === null ? [] : [row as AgentLogRow])),
  };
}
const logsWithState = preparedQuery<
  { agentId: string; after: number; limit: number },
  { current: boolean } & ({ [K in keyof AgentLogRow]: null } | AgentLogRow)
>((db) => {
  const page = db
    .select(logColumns)
    .from(workspaceAgentLogs)
    .where(
      and(eq(workspaceAgentLogs.agentId, liveWorkspaceAgents.id), gt(workspaceAgentLogs.id, sql.placeholder('after'))),
    )
    .orderBy(asc(workspaceAgentLogs.id))
    .limit(sql.placeholder('limit'))
    .as('page');
  return (
    db
      .select({
        current: sql<boolean>`exists (select 1 from workspace_resources r join workspace_builds b on b.job_id = r.job_id
          where r.id = ${liveWorkspaceAgents.resourceId} and (b.is_latest or not exists (
            select 1 from workspace_builds l where l.workspace_id = b.workspace_id and l.is_latest and not l.active)))`,
        id: page.id,
        createdAt: page.createdAt,
        output: page.output,
        level: page.level,
        sourceId: page.sourceId,
      })
      .from(liveWorkspaceAgents)
      .leftJoinLateral(page, sql`true`)
      .where(eq(liveWorkspaceAgents.id, sql.placeholder('agentId')))
      .orderBy(asc(page.id))
      // Its types do not say that the columns of a page are null together.
      .prepare('agent_log') as never
  );
});

/** Whether lines of this agent were not kept. */
export async function isLogTruncated(db: Db, agentId: string): Promise<boolean> {
  const [row] = await db
    .select({ overflowed: liveWorkspaceAgents.logsOverflowed })
    .from(liveWorkspaceAgents)
    .where(eq(liveWorkspaceAgents.id, agentId));
  return row?.overflowed === true;
}
