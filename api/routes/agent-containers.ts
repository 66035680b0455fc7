import { z } from '@hono/zod-openapi';
import { createAskAgent } from '../../commands/ask-agent.ts';
import { agentStatesChannel } from '../../db/notifications.ts';
import { DomainError, invalidField } from '../../domain/errors.ts';
import { connectedAgentFor } from '../agent-place.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, uuid } from '../schemas.ts';
import { requireWebSocket, streamWebSocket } from '../streams.ts';

/** Containers are shown as the agent describes them; what we rely on is stated. */
const Container = z.looseObject({
  id: z.string(),
  labels: z
    .record(z.string(), z.string())
    .nullish()
    .transform((labels) => labels ?? {}),
});
const Devcontainer = z.looseObject({
  id: z.string(),
  name: z.string(),
  workspace_folder: z.string(),
  config_path: z.string().default(''),
  status: z.enum(['running', 'stopped', 'starting', 'error']),
  dirty: z.boolean().default(false),
  container: Container.nullish(),
  agent: z.looseObject({ id: z.string(), name: z.string(), directory: z.string().optional() }).nullish(),
  error: z.string().optional(),
  subagent_id: z.string().nullish(),
});
const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((items) => items ?? []);
const Containers = z
  .object({ containers: list(Container), devcontainers: list(Devcontainer), warnings: list(z.string()) })
  .openapi('WorkspaceAgentListContainersResponse');
type ContainersBody = z.output<typeof Containers>;

const tags = ['Agents'];
const labels = z
  .union([z.string(), z.array(z.string())])
  .optional()
  .transform((given) => (given === undefined ? [] : typeof given === 'string' ? [given] : given))
  .openapi({ type: 'array', items: { type: 'string' }, description: '`key=value`; all must match' });
const agentParam = z.object({ agent: uuid() });
const read = { method: 'get', tags, access: { type: 'workspace', action: 'read' } } as const;
const update = { tags, access: { type: 'workspace', action: 'update' } } as const;
const get = defineRoute({
  ...read,
  path: '/workspaceagents/{agent}/containers',
  summary: 'Containers and dev containers beside an agent',
  request: { params: agentParam, query: z.object({ label: labels }) },
  responses: { 200: json(Containers, 'Containers'), 504: { description: 'The agent did not answer' } },
});
const watch = defineRoute({
  ...read,
  path: '/workspaceagents/{agent}/containers/watch',
  summary: 'Watch containers (WebSocket): the whole list at first and after each change',
  stream: true,
  request: { params: agentParam },
  responses: { 200: json(Containers, 'Messages') },
});
const devcontainer = '/workspaceagents/{agent}/containers/devcontainers/{devcontainer}';
const devcontainerParams = z.object({ agent: uuid(), devcontainer: uuid() });
const recreate = defineRoute({
  ...update,
  method: 'post',
  path: `${devcontainer}/recreate`,
  summary: 'Build a dev container anew',
  request: { params: devcontainerParams },
  responses: { 202: json(MessageResponse, 'It begins'), 409: { description: 'It is starting' } },
});
const remove = defineRoute({
  ...update,
  method: 'delete',
  path: devcontainer,
  summary: 'Stop and remove a dev container',
  request: { params: devcontainerParams },
  responses: { 204: { description: 'Removed' } },
});

function parseLabels(given: readonly string[]): [key: string, value: string][] {
  return given.map((label) => {
    const at = label.indexOf('=');
    if (at < 1) throw invalidField('label', 'must be key=value');
    return [label.slice(0, at), label.slice(at + 1)];
  });
}

/** How often a watcher's agent is asked when nothing tells of a change. */
const askEveryMs = 5_000;
const atLeastMsApart = 1_000;

/** Questions to an agent about its containers. Source: spec/05 §13. */
export function registerAgentContainerRoutes(app: App, deps: AppDeps): void {
  const askAgent = createAskAgent(deps);
  const listContainers = async (agentId: string, signal?: AbortSignal): Promise<ContainersBody> => {
    const answer = await askAgent({ agentId, method: 'containers.list', ...(signal !== undefined && { signal }) });
    const parsed = Containers.safeParse(answer);
    if (!parsed.success) throw new DomainError('AGENT_FAILED', 'The agent answered something else');
    return parsed.data;
  };
  app.openapi(get, async (c) => {
    const wanted = parseLabels(c.req.valid('query').label);
    const { agentId } = await connectedAgentFor(c, c.req.valid('param').agent, 'read');
    const body = await listContainers(agentId);
    const matching = body.containers.filter((each) => wanted.every(([key, value]) => each.labels[key] === value));
    return c.json({ ...body, containers: matching }, 200);
  });
  app.openapi(watch, async (c) => {
    requireWebSocket(c);
    const { agentId, workspace } = await connectedAgentFor(c, c.req.valid('param').agent, 'read');
    async function* source(signal: AbortSignal) {
      let last = '';
      const wakeUps = deps.listener.wakeUps(agentStatesChannel, workspace.id, { signal, recheckMs: askEveryMs });
      for await (const _ of wakeUps) {
        // Rights and connection may have ended since.
        await connectedAgentFor(c, agentId, 'read');
        const body = await listContainers(agentId, signal);
        const text = JSON.stringify(body);
        if (text !== last) yield body;
        last = text;
        await new Promise((done) => setTimeout(done, atLeastMsApart));
      }
    }
    return (await streamWebSocket(c, source, { frames: 'logs' })) as never;
  });
  app.openapi(recreate, async (c) => {
    const { agent, devcontainer: id } = c.req.valid('param');
    const { agentId } = await connectedAgentFor(c, agent, 'update');
    await askAgent({ agentId, method: 'devcontainers.recreate', params: { id } });
    return c.json({ message: 'The dev container is being built anew' }, 202);
  });
  app.openapi(remove, async (c) => {
    const { agent, devcontainer: id } = c.req.valid('param');
    const { agentId } = await connectedAgentFor(c, agent, 'update');
    await askAgent({ agentId, method: 'devcontainers.delete', params: { id } });
    return c.body(null, 204);
  });
}
