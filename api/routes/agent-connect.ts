import { upgradeWebSocket } from '@hono/node-server';
import { z } from '@hono/zod-openapi';
import type { WebSocket } from 'ws';
import { agentApiVersion, negotiateVersion } from '../../domain/agent-lifecycle.ts';
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
    c.header('Coder-Agent-Api-Version', agentApiVersion);
    negotiateVersion(version);
    requireWebSocket(c);
    const { agent } = c.var;
    return (await upgradeWebSocket(c, {
      onOpen: (_event, ws) => {
        const socket = ws.raw as WebSocket;
        agents.sockets.add(socket, agent, { isAgent: role === 'agent' });
        letGoOfRequest(socket);
      },
    })) as never;
  });
}

/**
 * The adapter goes on to listen for handlers that we did not give, and its listeners hold the whole request for as long as the
 * socket is open: more than half of what a connected agent costs.
 */
function letGoOfRequest(socket: WebSocket): void {
  const events = ['message', 'close', 'error'] as const;
  const ours = new Set(events.flatMap((event) => socket.listeners(event)));
  setImmediate(() => {
    for (const event of events)
      for (const listener of socket.listeners(event))
        if (!ours.has(listener)) socket.off(event, listener as (...args: unknown[]) => void);
  });
}
