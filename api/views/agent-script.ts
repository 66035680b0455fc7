import { z } from '@hono/zod-openapi';
import type { AgentTree } from '../../db/queries/workspace-resources.ts';

export const AgentScript = z.object({
  id: z.string(),
  log_source_id: z.string(),
  log_path: z.string(),
  script: z.string(),
  cron: z.string(),
  run_on_start: z.boolean(),
  run_on_stop: z.boolean(),
  start_blocks_login: z.boolean(),
  timeout: z.number().int().openapi({ description: 'nanoseconds' }),
  display_name: z.string(),
});

/** A script may run for 90 days at most: the number of nanoseconds stays exact in JSON (2^53 ns are 104 days). */
const nanoseconds = (seconds: number): number => Math.min(seconds, 90 * 86_400) * 1_000_000_000;

export const scriptView = (
  script: Omit<AgentTree['scripts'][number], 'agentId' | 'firstRun'>,
): z.infer<typeof AgentScript> => ({
  id: script.id,
  log_source_id: script.logSourceId,
  log_path: script.logPath,
  script: script.script,
  cron: script.cron,
  run_on_start: script.runOnStart,
  run_on_stop: script.runOnStop,
  start_blocks_login: script.startBlocksLogin,
  timeout: nanoseconds(script.timeoutSeconds),
  display_name: script.displayName,
});
