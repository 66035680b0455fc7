import { z } from '@hono/zod-openapi';
import { createAskAgent } from '../../commands/ask-agent.ts';
import { findAgentTree } from '../../db/queries/workspace-resources.ts';
import { isWorkspaceAllowed } from '../../domain/authorization.ts';
import { DomainError, notFound } from '../../domain/errors.ts';
import { agentPlaceFor, connectedAgentFor } from '../agent-place.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, uuid } from '../schemas.ts';
import { WorkspaceAgent, agentView, resourceViewOptions } from '../views/workspace-resource.ts';

const ListeningPorts = z
  .object({
    ports: z.array(z.object({ process_name: z.string(), network: z.string(), port: z.number().int() })),
  })
  .openapi('WorkspaceAgentListeningPortsResponse');

const read = {
  method: 'get',
  tags: ['Agents'],
  access: { type: 'workspace', action: 'read' },
  request: { params: z.object({ agent: uuid() }) },
} as const;
const get = defineRoute({
  ...read,
  path: '/workspaceagents/{agent}',
  summary: 'Get an agent',
  responses: { 200: json(WorkspaceAgent, 'The agent') },
});
const ports = defineRoute({
  ...read,
  path: '/workspaceagents/{agent}/listening-ports',
  summary: 'Ports that something listens on',
  responses: { 200: json(ListeningPorts, 'Ports'), 504: { description: 'The agent did not answer' } },
});

/** One agent as its people see it. Source: spec/06 §10. */
export function registerWorkspaceAgentRoutes(app: App, deps: AppDeps): void {
  const askAgent = createAskAgent(deps);
  app.openapi(get, async (c) => {
    const { agentId, workspace } = await agentPlaceFor(c, c.req.valid('param').agent, 'read');
    const agent = await findAgentTree(deps.db, agentId);
    if (agent === undefined) throw notFound();
    const showSensitive = isWorkspaceAllowed(c.var.subject, 'update', workspace);
    return c.json(agentView(agent, resourceViewOptions(deps, showSensitive)), 200);
  });
  app.openapi(ports, async (c) => {
    const { agentId } = await connectedAgentFor(c, c.req.valid('param').agent, 'read');
    const answer = ListeningPorts.safeParse(await askAgent({ agentId, method: 'listening-ports' }));
    if (!answer.success) throw new DomainError('AGENT_FAILED', 'The agent answered something else');
    return c.json(answer.data, 200);
  });
}
