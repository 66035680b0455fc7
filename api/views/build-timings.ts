import { z } from '@hono/zod-openapi';
import type { listTimings } from '../../db/queries/provisioner-jobs.ts';
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
    agent_script_timings: z.array(z.object({ display_name: z.string() })),
    agent_connection_timings: z.array(z.object({ workspace_agent_id: z.string() })),
  })
  .openapi('WorkspaceBuildTimings');

/** Timings of a build's job; agents report theirs once they run. Source: spec/08 §7. */
export function timingsView(rows: Awaited<ReturnType<typeof listTimings>>): z.infer<typeof BuildTimings> {
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
    agent_script_timings: [],
    agent_connection_timings: [],
  };
}
