import { z } from '@hono/zod-openapi';
import { type AppProblem, type SubAgentApp, createSubAgents } from '../../commands/sub-agents.ts';
import { agentLimits, characters } from '../../domain/agent-limits.ts';
import { NIL_UUID } from '../../domain/ids.ts';
import { maxSubAgentApps, sharingLevels } from '../../domain/sub-agents.ts';
import type { App, AppDeps } from '../context.ts';
import { zodValidations } from '../errors.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, limitedText, uuid } from '../schemas.ts';

const AppSpec = z
  .object({
    slug: limitedText(characters(1_024)),
    display_name: limitedText(agentLimits.appDisplayName).nullish(),
    icon: limitedText(agentLimits.appIcon).nullish(),
    command: limitedText(agentLimits.appCommand).nullish(),
    url: limitedText(agentLimits.appUrl).nullish(),
    external: z.boolean().nullish(),
    subdomain: z.boolean().nullish(),
    share: z.enum(sharingLevels).nullish(),
    healthcheck: z
      .object({
        url: limitedText(agentLimits.appUrl).default(''),
        interval: z.number().int().max(agentLimits.healthcheckIntervalSeconds.max).default(0),
        threshold: z.number().int().max(agentLimits.healthcheckThreshold.max).default(0),
      })
      .nullish(),
    order: z.number().int().min(-2_147_483_648).max(2_147_483_647).nullish(),
    group: limitedText(agentLimits.appGroup).nullish(),
    hidden: z.boolean().nullish(),
    open_in: z.enum(['slim-window', 'tab']).nullish(),
    tooltip: limitedText(agentLimits.appTooltip).nullish(),
  })
  .openapi('SubAgentApp');

const CreateSubAgent = z
  .object({
    id: uuid().optional().openapi({ description: 'a sub-agent that the template declares' }),
    name: z.string().default(''),
    directory: limitedText(agentLimits.directory).default(''),
    architecture: limitedText(agentLimits.architecture).default(''),
    operating_system: limitedText(agentLimits.operatingSystem).default(''),
    display_apps: z
      .array(z.enum(['vscode', 'vscode_insiders', 'web_terminal', 'ssh_helper', 'port_forwarding_helper']))
      .default([])
      .transform((apps) => [...new Set(apps)]),
    apps: z
      .array(z.record(z.string(), z.unknown()))
      .max(maxSubAgentApps)
      .default([])
      .openapi({ type: 'array', items: { $ref: '#/components/schemas/SubAgentApp' } }),
  })
  .openapi('CreateSubAgentRequest');
const SubAgent = z.object({ id: z.string(), name: z.string(), auth_token: z.string() }).openapi('SubAgent');
const Created = z
  .object({
    agent: SubAgent,
    app_creation_errors: z.array(
      z.object({ index: z.number().int(), field: z.string().optional(), error: z.string() }),
    ),
  })
  .openapi('CreateSubAgentResponse');

const path = '/workspaceagents/me/sub-agents';
const route = { access: 'agent', agentRate: 'sub-agents', freshAgent: true, tags: ['Agents'] } as const;
const create = defineRoute({
  ...route,
  method: 'post',
  path,
  summary: 'Register the agent of a dev container',
  request: jsonBody(CreateSubAgent),
  responses: {
    200: json(Created, 'The declared one'),
    201: json(Created, 'Created'),
    409: { description: 'Name taken' },
  },
});
const list = defineRoute({
  ...route,
  agentRate: 'secrets',
  method: 'get',
  path,
  summary: 'Sub-agents with their tokens',
  responses: { 200: json(z.object({ agents: z.array(SubAgent) }), 'Live ones') },
});
const remove = defineRoute({
  ...route,
  method: 'delete',
  path: `${path}/{subagent}`,
  summary: 'End a sub-agent',
  request: { params: z.object({ subagent: uuid() }) },
  responses: { 204: { description: 'Ended, now or before' } },
});

/** One app of a request; a bad one is reported and the others are made. */
function readApp(raw: Record<string, unknown>): SubAgentApp | AppProblem {
  const parsed = AppSpec.safeParse(raw);
  if (!parsed.success) {
    const [first] = zodValidations(parsed.error);
    return { field: first?.field ?? '', error: first?.detail ?? 'is not valid' };
  }
  const app = parsed.data;
  return {
    slug: app.slug,
    displayName: app.display_name ?? '',
    icon: app.icon ?? '',
    command: app.command ?? null,
    url: app.url ?? null,
    external: app.external ?? false,
    subdomain: app.subdomain ?? false,
    share: app.share ?? 'owner',
    healthcheck: app.healthcheck ?? { url: '', interval: 0, threshold: 0 },
    order: app.order ?? 0,
    group: app.group ?? null,
    hidden: app.hidden ?? false,
    openIn: app.open_in ?? 'slim-window',
    tooltip: app.tooltip ?? '',
  };
}

const toBody = ({ id, name, authToken }: { id: string; name: string; authToken: string }) => ({
  id,
  name,
  auth_token: authToken,
});

/** Agents inside dev containers, through the agent around them. Source: spec/05 §13. */
export function registerSubAgentRoutes(app: App, deps: AppDeps): void {
  const subAgents = createSubAgents(deps);
  // Named in the document only through `apps`, whose elements are read one by one.
  app.openAPIRegistry.register('SubAgentApp', AppSpec);
  app.openapi(create, async (c) => {
    const { id, name, directory, ...body } = c.req.valid('json');
    const displayApps = body.display_apps;
    const declared = id !== undefined && id !== NIL_UUID;
    const made = declared
      ? await subAgents.update(c.var.agent, { id, directory, displayApps })
      : await subAgents.create(c.var.agent, {
          name,
          directory,
          architecture: body.architecture,
          operatingSystem: body.operating_system,
          displayApps,
          apps: body.apps.map(readApp),
        });
    return c.json({ agent: toBody(made.agent), app_creation_errors: [...made.appErrors] }, declared ? 200 : 201);
  });
  app.openapi(list, async (c) => c.json({ agents: (await subAgents.list(c.var.agent)).map(toBody) }, 200));
  app.openapi(remove, async (c) => {
    await subAgents.remove(c.var.agent, c.req.valid('param').subagent);
    return c.body(null, 204);
  });
}
