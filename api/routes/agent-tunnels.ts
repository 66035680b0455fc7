import { z } from '@hono/zod-openapi';
import { agentApiVersion } from '../../agent/protocol.ts';
import { DomainError } from '../../domain/errors.ts';
import { agentPlaceFor } from '../agent-place.ts';
import type { App } from '../context.ts';
import { ErrorResponse } from '../errors.ts';
import { defineRoute } from '../route.ts';
import { json, uuid } from '../schemas.ts';

const tags = ['Agents'];
const absent = { 501: json(ErrorResponse, 'Not part of this product') };
const coordinate = defineRoute({
  method: 'get',
  path: '/workspaceagents/me/coordinate',
  access: 'agent',
  tags,
  summary: 'Tunnels are not part of this product',
  responses: absent,
});
const ofAgent = ['pty', 'connection', 'coordinate'].map((word) =>
  defineRoute({
    method: 'get',
    path: `/workspaceagents/{agent}/${word}`,
    access: { type: 'workspace', action: 'read' },
    tags,
    summary: 'Tunnels are not part of this product',
    request: { params: z.object({ agent: uuid() }) },
    responses: absent,
  }),
);
const ofDeployment = ['/workspaceagents/connection', '/tailnet', '/derp-map'].map((path) =>
  defineRoute({
    method: 'get',
    path,
    access: 'signed-in',
    tags,
    summary: 'Tunnels are not part of this product',
    responses: absent,
  }),
);
const rpc = defineRoute({
  method: 'get',
  path: '/workspaceagents/me/rpc',
  access: 'agent',
  tags,
  summary: "The reference's binary protocol is not served",
  responses: { 400: json(ErrorResponse, 'The version that is served stands in Coder-Agent-Api-Version') },
});

const notImplemented = () =>
  new DomainError('NOT_IMPLEMENTED', 'Tunnels into workspaces are not part of this product', {
    detail: 'Reach the workspace by its own network',
  });

/** Paths of the reference that we answer but do not serve. Source: spec/05 "Out of scope", §16. */
export function registerAgentTunnelRoutes(app: App): void {
  app.openapi(coordinate, () => {
    throw notImplemented();
  });
  // Fixed paths come before those with a parameter in the same place.
  for (const route of ofDeployment)
    app.openapi(route, () => {
      throw notImplemented();
    });
  for (const route of ofAgent)
    app.openapi(route, async (c) => {
      await agentPlaceFor(c, c.req.valid('param').agent, 'read');
      throw notImplemented();
    });
  app.openapi(rpc, (c) => {
    c.header('Coder-Agent-Api-Version', agentApiVersion);
    const detail = `this server speaks ${agentApiVersion} over /workspaceagents/me/connect`;
    return c.json({ message: 'Unknown or unsupported API version', validations: [{ field: 'version', detail }] }, 400);
  });
}
