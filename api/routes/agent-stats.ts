import { z } from '@hono/zod-openapi';
import { type ReportedStats, planStats } from '../../domain/agent-stats.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json } from '../schemas.ts';
import { statsIntervalSeconds } from '../views/agent-manifest.ts';

const count = z.number().default(0);
const Stats = z.object({
  connections_by_proto: z.record(z.string().max(64), z.number()).default({}),
  connection_count: count,
  connection_median_latency_ms: z.number().default(-1),
  rx_packets: count,
  rx_bytes: count,
  tx_packets: count,
  tx_bytes: count,
  session_count_vscode: count,
  session_count_jetbrains: count,
  session_count_reconnecting_pty: count,
  session_count_ssh: count,
  session_counts: z.record(z.string(), z.number()).default({}),
  metrics: z
    .array(
      z.object({
        name: z.string().max(128),
        type: z.enum(['counter', 'gauge']),
        value: z.number(),
        labels: z.array(z.object({ name: z.string().max(128), value: z.string().max(512) })).default([]),
      }),
    )
    .max(200)
    .default([]),
});

const report = defineRoute({
  method: 'post',
  path: '/workspaceagents/me/report-stats',
  access: 'agent',
  tags: ['Agents'],
  summary: 'Connections of the agent; an empty body only asks how often to report',
  request: { body: { required: false, content: { 'application/json': { schema: Stats } } } },
  responses: {
    200: json(
      z.object({ report_interval: z.number().int().openapi({ description: 'nanoseconds' }) }),
      'How often to report',
    ),
  },
});

/** Source: spec/05 §9. */
export function registerAgentStatsRoutes(app: App, { agents, agentMetrics, now }: AppDeps): void {
  app.openapi(report, async (c) => {
    const body = c.req.valid('json');
    if ((await c.req.text()) !== '') {
      agents.stats.take(c.var.agent, planStats(statsOf(body)), now());
      agentMetrics.take(c.var.agent.agentId, body.metrics);
    }
    return c.json({ report_interval: statsIntervalSeconds * 1_000_000_000 }, 200);
  });
}

const statsOf = (body: z.infer<typeof Stats>): ReportedStats => ({
  connectionsByProto: body.connections_by_proto,
  connectionCount: body.connection_count,
  connectionMedianLatencyMs: body.connection_median_latency_ms,
  rxPackets: body.rx_packets,
  rxBytes: body.rx_bytes,
  txPackets: body.tx_packets,
  txBytes: body.tx_bytes,
  sessionCountVscode: body.session_count_vscode,
  sessionCountJetbrains: body.session_count_jetbrains,
  sessionCountReconnectingPty: body.session_count_reconnecting_pty,
  sessionCountSsh: body.session_count_ssh,
  sessionCounts: body.session_counts,
});
