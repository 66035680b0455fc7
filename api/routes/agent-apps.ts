import { z } from '@hono/zod-openapi';
import { createRecordAiUse } from '../../commands/ai-seats.ts';
import { createReportAppHealth } from '../../commands/report-app-health.ts';
import { createReportAppStatus } from '../../commands/report-app-status.ts';
import { appStatusStates } from '../../domain/app-status.ts';
import { invalidField } from '../../domain/errors.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, uuid } from '../schemas.ts';

const Healths = z
  .record(uuid(), z.enum(['disabled', 'initializing', 'healthy', 'unhealthy']))
  .refine((healths) => Object.keys(healths).length <= 100, { message: 'must be at most 100 apps' });
const AppHealthReport = z
  .object({ Healths: Healths.optional(), healths: Healths.optional() })
  .openapi('AppHealthReport', { description: 'App id → health; either spelling of the key' });
const AppStatusReport = z
  .object({
    app_slug: z.string(),
    state: z.enum(appStatusStates),
    message: z.string().max(16_384).default(''),
    uri: z.string().default(''),
  })
  .openapi('PatchAppStatus');

const tags = ['Agents'];
const reportHealth = defineRoute({
  method: 'post',
  path: '/workspaceagents/me/app-health',
  access: 'agent',
  tags,
  summary: 'Health of apps as their agent finds it',
  request: jsonBody(AppHealthReport),
  responses: { 200: json(MessageResponse, 'Stored') },
});
const reportStatus = defineRoute({
  method: 'patch',
  path: '/workspaceagents/me/app-status',
  access: 'agent',
  agentRate: 'app-status',
  tags,
  summary: 'What an app works on',
  request: jsonBody(AppStatusReport),
  responses: { 200: json(MessageResponse, 'Stored') },
});

/** What agents say of their apps. Source: spec/05 §10. */
export function registerAgentAppRoutes(app: App, deps: AppDeps): void {
  const reportAppHealth = createReportAppHealth(deps);
  const reportAppStatus = createReportAppStatus({
    db: deps.db,
    now: deps.now,
    recordAiUse: createRecordAiUse(deps),
    onActivity: (workspaceId, at) => {
      deps.agents.usage.used(workspaceId, at);
      deps.agents.usage.active(workspaceId, at);
    },
  });
  app.openapi(reportHealth, async (c) => {
    const body = c.req.valid('json');
    const healths = body.Healths ?? body.healths ?? {};
    if (Object.keys(healths).length === 0) throw invalidField('Healths', 'must not be empty');
    await reportAppHealth(c.var.agent, healths);
    return c.json({ message: 'Stored' }, 200);
  });
  app.openapi(reportStatus, async (c) => {
    const { app_slug: slug, state, message, uri } = c.req.valid('json');
    await reportAppStatus(c.var.agent, { slug, state, message, uri });
    return c.json({ message: 'Stored' }, 200);
  });
}
