import { upgradeWebSocket } from '@hono/node-server';
import { z } from '@hono/zod-openapi';
import type { WebSocket } from 'ws';
import { agentApi, negotiateVersion } from '../../domain/agent-lifecycle.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { requireWebSocket } from '../streams.ts';

const connect = defineRoute({
  method: 'get',
  path: '/workspaceagents/me/connect',
  access: 'agent',
  stream: true,
  tags: ['Agents'],
  summary: 'The agent is here: liveness, and what the server wants of it (WebSocket)',
  request: { query: z.object({ version: z.string().max(64).optional(), role: z.string().max(64).default('agent') }) },
  responses: { 200: { description: 'WebSocket with the frames of agent/protocol.ts' } },
});

/** Source: spec/05 §7, §16. */
export function registerAgentConnectRoutes(app: App, { agents }: AppDeps): void {
  app.openapi(connect, async (c) => {
    const { version, role } = c.req.valid('query');
    c.header('Coder-Agent-Api-Version', `${agentApi.major}.${agentApi.minor}`);
    negotiateVersion(version);
    requireWebSocket(c);
    const { agent } = c.var;
    return (await upgradeWebSocket(c, {
      onOpen: (_event, ws) => agents.sockets.add(ws.raw as WebSocket, agent, { isAgent: role === 'agent' }),
    })) as never;
  });
}
