import { z } from '@hono/zod-openapi';
import { reportLifecycle, reportStartup } from '../../commands/agent-lifecycle.ts';
import { getManifest } from '../../commands/agent-manifest.ts';
import { agentLimits } from '../../domain/agent-limits.ts';
import { agentApiVersion, agentLifecycleStates } from '../../domain/agent-lifecycle.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, limitedText, timestamp } from '../schemas.ts';
import { AgentManifest, manifestView } from '../views/agent-manifest.ts';

const tags = ['Agents'];
const manifest = defineRoute({
  method: 'get',
  path: '/workspaceagents/me/manifest',
  access: 'agent',
  agentRate: 'secrets',
  freshAgent: true,
  tags,
  summary: 'What the agent runs by, secrets of its owner included',
  responses: { 200: json(AgentManifest, 'Manifest') },
});
const startup = defineRoute({
  method: 'post',
  path: '/workspaceagents/me/startup',
  access: 'agent',
  tags,
  summary: 'The agent has its manifest',
  request: jsonBody(
    z.object({
      version: limitedText(agentLimits.version),
      expanded_directory: limitedText(agentLimits.expandedDirectory).default(''),
      subsystems: z.array(z.string().max(64)).max(20).default([]),
    }),
  ),
  responses: { 200: { description: 'Stored' } },
});
const lifecycle = defineRoute({
  method: 'post',
  path: '/workspaceagents/me/report-lifecycle',
  access: 'agent',
  tags,
  summary: 'How far the agent is',
  request: jsonBody(z.object({ state: z.enum(agentLifecycleStates), changed_at: timestamp().optional() })),
  responses: { 204: { description: 'Stored' } },
});

/** An agent begins, and says how far it is. Source: spec/05 §3, §5. */
export function registerAgentManifestRoutes(app: App, deps: AppDeps): void {
  app.openapi(manifest, async (c) => {
    c.header('Cache-Control', 'no-store');
    return c.json(manifestView(await getManifest(deps, c.var.agent)), 200);
  });
  app.openapi(startup, async (c) => {
    const { version, expanded_directory: expandedDirectory, subsystems } = c.req.valid('json');
    await reportStartup(deps, c.var.agent, { version, expandedDirectory, subsystems, apiVersion: agentApiVersion });
    return c.body(null, 200);
  });
  app.openapi(lifecycle, async (c) => {
    const { state, changed_at: changedAt } = c.req.valid('json');
    const at = changedAt === undefined ? Number.NaN : Date.parse(changedAt);
    // A missing or zero time is now.
    await reportLifecycle(deps, c.var.agent, { state, changedAt: Number.isNaN(at) || at <= 0 ? null : new Date(at) });
    return c.body(null, 204);
  });
}
