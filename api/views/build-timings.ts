import { z } from '@hono/zod-openapi';
import type { listTimings } from '../../db/queries/job-timings.ts';
import type { AgentTimings } from '../../db/queries/script-timings.ts';
import { timestamp } from '../schemas.ts';

export const BuildTimings = z
  .object({
    provisioner_timings: z.array(
      z.object({
        job_id: z.string(),
        started_at: timestamp(),
        ended_at: timestamp(),
        stage: z.enum(['init', 'plan', 'graph', 'apply']),
        source: z.string(),
        action: z.string(),
        resource: z.string(),
      }),
    ),
    agent_script_timings: z
      .array(
        z.object({
          started_at: timestamp(),
          ended_at: timestamp(),
          exit_code: z.number().int(),
          stage: z.enum(['start', 'stop', 'cron']),
          status: z.enum(['ok', 'exit_failure', 'timed_out', 'pipes_left_open']),
          display_name: z.string(),
          workspace_agent_id: z.string(),
          workspace_agent_name: z.string(),
        }),
      )
      .openapi({ description: 'the first run of each script' }),
    agent_connection_timings: z.array(
      z.object({
        started_at: timestamp(),
        ended_at: timestamp(),
        stage: z.literal('connect'),
        workspace_agent_id: z.string(),
        workspace_agent_name: z.string(),
      }),
    ),
  })
  .openapi('WorkspaceBuildTimings');

/** A start after its end is shown as the end: clocks of two machines differ. */
const span = (startedAt: Date, endedAt: Date) => ({
  started_at: (startedAt > endedAt ? endedAt : startedAt).toISOString(),
  ended_at: endedAt.toISOString(),
});

/** Timings of a build's job, and what its agents reported. Source: spec/08 §7. */
export function timingsView(
  rows: Awaited<ReturnType<typeof listTimings>>,
  agents: AgentTimings,
): z.infer<typeof BuildTimings> {
  return {
    provisioner_timings: rows.map((row) => ({
      job_id: row.jobId,
      started_at: row.startedAt.toISOString(),
      ended_at: row.endedAt.toISOString(),
      stage: row.stage,
      source: row.source,
      action: row.action,
      resource: row.resource,
    })),
    agent_script_timings: agents.scripts.map((run) => ({
      ...span(run.startedAt, run.endedAt),
      exit_code: run.exitCode,
      stage: run.stage,
      status: run.status,
      display_name: run.displayName,
      workspace_agent_id: run.agentId,
      workspace_agent_name: run.agentName,
    })),
    agent_connection_timings: agents.connections.flatMap(({ agentId, agentName, startedAt, endedAt }) =>
      endedAt === null
        ? []
        : [
            {
              ...span(startedAt, endedAt),
              stage: 'connect' as const,
              workspace_agent_id: agentId,
              workspace_agent_name: agentName,
            },
          ],
    ),
  };
}
