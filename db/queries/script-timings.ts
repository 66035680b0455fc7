import { and, asc, eq, exists, isNotNull, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { workspaceAgentScriptTimings } from '../schema/agent-reports.ts';
import {
  liveWorkspaceAgents,
  workspaceAgentConnections,
  workspaceAgentScripts,
  workspaceResources,
} from '../schema/workspace-agents.ts';

export type ScriptTimingRow = typeof workspaceAgentScriptTimings.$inferSelect;

export const isScriptOf = async (db: Db, agentId: string, scriptId: string): Promise<boolean> =>
  (
    await db
      .select({ id: workspaceAgentScripts.id })
      .from(workspaceAgentScripts)
      .where(and(eq(workspaceAgentScripts.id, scriptId), eq(workspaceAgentScripts.workspaceAgentId, agentId)))
  ).length > 0;

/** False when this run is known already. */
export async function insertScriptTiming(tx: Db, timing: ScriptTimingRow): Promise<boolean> {
  const inserted = await tx
    .insert(workspaceAgentScriptTimings)
    .values(timing)
    .onConflictDoNothing()
    .returning({ scriptId: workspaceAgentScriptTimings.scriptId });
  return inserted.length > 0;
}

/** A script that runs every few seconds would fill the table: only its newest runs are kept. */
export async function trimCronTimings(tx: Db, scriptId: string, keep: number): Promise<void> {
  await tx.execute(sql`
    delete from workspace_agent_script_timings
    where script_id = ${scriptId} and stage = 'cron' and started_at < (
      select started_at from workspace_agent_script_timings where script_id = ${scriptId} and stage = 'cron'
      order by started_at desc offset ${keep - 1} limit 1)`);
}

/** The earliest run of a script of the outer statement. */
export const earliestRun = (db: Db) =>
  db
    .select({
      startedAt: workspaceAgentScriptTimings.startedAt,
      endedAt: workspaceAgentScriptTimings.endedAt,
      exitCode: workspaceAgentScriptTimings.exitCode,
      stage: workspaceAgentScriptTimings.stage,
      status: workspaceAgentScriptTimings.status,
    })
    .from(workspaceAgentScriptTimings)
    .where(sql`${workspaceAgentScriptTimings.scriptId} = ${workspaceAgentScripts.id}`)
    .orderBy(asc(workspaceAgentScriptTimings.startedAt))
    .limit(1)
    .as('earliest_run');

const agentOfJob = (db: Db, jobId: string) =>
  exists(
    db
      .select({ one: sql`1` })
      .from(workspaceResources)
      .where(and(eq(workspaceResources.id, liveWorkspaceAgents.resourceId), eq(workspaceResources.jobId, jobId))),
  );

/** What the agents of a build's job reported: the earliest run of each script, and how long until each agent connected. */
export async function listAgentTimings(db: Db, jobId: string) {
  const run = earliestRun(db);
  const [scripts, connections] = await Promise.all([
    db
      .select({
        displayName: workspaceAgentScripts.displayName,
        agentId: liveWorkspaceAgents.id,
        agentName: liveWorkspaceAgents.name,
        startedAt: run.startedAt,
        endedAt: run.endedAt,
        exitCode: run.exitCode,
        stage: run.stage,
        status: run.status,
      })
      .from(liveWorkspaceAgents)
      .innerJoin(workspaceAgentScripts, eq(workspaceAgentScripts.workspaceAgentId, liveWorkspaceAgents.id))
      .innerJoinLateral(run, sql`true`)
      .where(agentOfJob(db, jobId))
      .orderBy(run.startedAt, workspaceAgentScripts.id),
    db
      .select({
        agentId: liveWorkspaceAgents.id,
        agentName: liveWorkspaceAgents.name,
        startedAt: liveWorkspaceAgents.createdAt,
        endedAt: workspaceAgentConnections.firstConnectedAt,
      })
      .from(liveWorkspaceAgents)
      .innerJoin(workspaceAgentConnections, eq(workspaceAgentConnections.agentId, liveWorkspaceAgents.id))
      .where(and(agentOfJob(db, jobId), isNotNull(workspaceAgentConnections.firstConnectedAt)))
      .orderBy(liveWorkspaceAgents.createdAt, liveWorkspaceAgents.id),
  ]);
  return { scripts, connections };
}
export type AgentTimings = Awaited<ReturnType<typeof listAgentTimings>>;
export const noAgentTimings: AgentTimings = { scripts: [], connections: [] };
