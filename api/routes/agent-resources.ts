import { z } from '@hono/zod-openapi';
import { createReportResourceUsage } from '../../commands/report-resource-usage.ts';
import { listMonitors } from '../../db/queries/resource-monitors.ts';
import { agentLimits } from '../../domain/agent-limits.ts';
import { monitoringConfig } from '../../domain/resource-monitors.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, limitedText, timestamp } from '../schemas.ts';

const Monitoring = z
  .object({
    config: z.object({ num_datapoints: z.number().int(), collection_interval_seconds: z.number().int() }),
    memory: z.object({ enabled: z.boolean() }).optional(),
    volumes: z.array(z.object({ enabled: z.boolean(), path: z.string() })),
  })
  .openapi('ResourcesMonitoring');
const usage = { used: z.number().nullish(), total: z.number().nullish() };
const Report = z
  .object({
    datapoints: z
      .array(
        z.object({
          collected_at: timestamp().optional(),
          memory: z.object(usage).nullish(),
          volumes: z
            .array(z.object({ volume: limitedText(agentLimits.volumePath), ...usage }))
            .max(agentLimits.volumeMonitors.max)
            .default([]),
        }),
      )
      .max(monitoringConfig.num_datapoints),
  })
  .openapi('ResourcesMonitoringReport');

const path = '/workspaceagents/me/resources-monitoring';
const get = defineRoute({
  method: 'get',
  path,
  access: 'agent',
  tags: ['Agents'],
  summary: 'What an agent measures',
  responses: { 200: json(Monitoring, 'Configuration') },
});
const report = defineRoute({
  method: 'post',
  path,
  access: 'agent',
  tags: ['Agents'],
  summary: 'The last measurements, oldest first',
  request: jsonBody(Report),
  responses: { 204: { description: 'Judged' } },
});

/** Memory and disks that the template wants watched. Source: spec/05 §12. */
export function registerAgentResourceRoutes(app: App, deps: AppDeps): void {
  const reportResourceUsage = createReportResourceUsage(deps);
  app.openapi(get, async (c) => {
    const { memory, volumes } = await listMonitors(deps.db, c.var.agent.agentId);
    return c.json(
      {
        config: monitoringConfig,
        ...(memory !== undefined && { memory: { enabled: memory.enabled } }),
        volumes: volumes.map((volume) => ({ enabled: volume.enabled, path: volume.path })),
      },
      200,
    );
  });
  app.openapi(report, async (c) => {
    await reportResourceUsage(c.var.agent, c.req.valid('json').datapoints);
    return c.body(null, 204);
  });
}
