import { z } from '@hono/zod-openapi';
import { knownMigrations } from '../../db/migrate.ts';
import { countMigrations } from '../../db/queries/deployment.ts';
import { authorize } from '../../domain/authorization.ts';
import type { App, AppDeps } from '../context.ts';
import { createHealthReport } from '../health-report.ts';
import { defineRoute } from '../route.ts';
import { json, queryBoolean } from '../schemas.ts';

const Section = z.object({
  healthy: z.boolean(),
  severity: z.enum(['ok', 'warning', 'error']),
  warnings: z.array(z.object({ code: z.string(), message: z.string() })),
  dismissed: z.boolean(),
  error: z.string().nullable(),
});
const HealthReport = z
  .object({
    time: z.string(),
    healthy: z.boolean(),
    severity: z.enum(['ok', 'warning', 'error']),
    access_url: Section,
    database: Section,
    websocket: Section,
    provisioner_daemons: Section,
    temporal: Section,
  })
  .openapi('HealthReport');
const Readiness = z
  .object({
    status: z.enum(['ok', 'unavailable']),
    checks: z.array(z.object({ name: z.string(), ok: z.boolean(), gating: z.boolean(), latency_ms: z.number() })),
  })
  .openapi('Readiness');

const probe = { method: 'get', root: true, access: 'public', rateLimit: 'none', tags: ['General'] } as const;

const healthz = defineRoute({
  ...probe,
  path: '/healthz',
  summary: 'Process is alive',
  responses: { 200: { description: 'Alive', content: { 'text/plain': { schema: z.string() } } } },
});
const readyz = defineRoute({
  ...probe,
  path: '/readyz',
  summary: 'Process can serve',
  responses: { 200: json(Readiness, 'Ready'), 503: json(Readiness, 'Not ready') },
});
const debugHealth = defineRoute({
  method: 'get',
  path: '/debug/health',
  access: { type: 'debug_info', action: 'read' },
  tags: ['General'],
  summary: 'Health of the deployment',
  request: { query: z.object({ force: queryBoolean().optional() }) },
  responses: { 200: json(HealthReport, 'Report, at most 10 minutes old unless forced') },
});

async function check(name: string, gating: boolean, probeIt: () => Promise<boolean>) {
  const startedAt = performance.now();
  const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 2000).unref());
  const ok = await Promise.race([probeIt().catch(() => false), late]);
  return { name, ok, gating, latency_ms: Math.round(performance.now() - startedAt) };
}

/** Probes for supervisors and the report for people. Source: spec/08 §6. */
export function registerHealthRoutes(app: App, deps: AppDeps): void {
  const report = createHealthReport(deps);
  app.openapi(healthz, (c) => c.text('OK', 200));
  app.openapi(readyz, async (c) => {
    const checks = await Promise.all([
      // A newer schema is fine: migrations only add, and the next release may already be starting beside this one.
      check('db', true, async () => (await countMigrations(deps.db)) >= knownMigrations),
      check('serving', true, async () => !deps.shutdown.aborted),
      // Reads work without Temporal and builds wait in the outbox, so it does not gate.
      check('temporal', false, () => deps.temporal.isReachable()),
    ]);
    const ready = checks.every(({ ok, gating }) => ok || !gating);
    return c.json({ status: ready ? ('ok' as const) : ('unavailable' as const), checks }, ready ? 200 : 503);
  });
  app.openapi(debugHealth, async (c) => {
    authorize(c.var.subject, 'read', { type: 'debug_info' });
    return c.json(await report(c.req.valid('query').force ?? false), 200);
  });
}
