import { z } from '@hono/zod-openapi';
import { createReportScriptTiming } from '../../commands/report-script-timing.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { jsonBody, uuid } from '../schemas.ts';

const instant = () =>
  z.iso
    .datetime({ offset: true })
    .transform((text) => new Date(text))
    .openapi({ type: 'string', format: 'date-time' });
const report = defineRoute({
  method: 'post',
  path: '/workspaceagents/me/script-timings',
  access: 'agent',
  tags: ['Agents'],
  summary: 'One run of a script',
  request: jsonBody(
    z
      .object({
        script_id: uuid(),
        started_at: instant(),
        ended_at: instant(),
        exit_code: z.number().int().min(-2_147_483_648).max(2_147_483_647),
        stage: z.enum(['start', 'stop', 'cron']),
        status: z.enum(['ok', 'exit_failure', 'timed_out', 'pipes_left_open']),
      })
      .openapi('ScriptTiming'),
  ),
  responses: { 204: { description: 'Stored, now or before' } },
});

/** How long scripts took and how they ended. Source: spec/05 §11. */
export function registerAgentScriptTimingRoutes(app: App, deps: AppDeps): void {
  const reportScriptTiming = createReportScriptTiming(deps);
  app.openapi(report, async (c) => {
    const { script_id: scriptId, started_at: startedAt, ended_at: endedAt, ...rest } = c.req.valid('json');
    const { exit_code: exitCode, stage, status } = rest;
    await reportScriptTiming(c.var.agent, { scriptId, startedAt, endedAt, exitCode, stage, status });
    return c.body(null, 204);
  });
}
