import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { findAgentPlace } from '../../db/queries/agent-places.ts';
import type { MetadataRow } from '../../db/queries/agent-metadata.ts';
import { authorizeWorkspace } from '../../domain/authorization.ts';
import { DomainError, notFound } from '../../domain/errors.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, toWireTime, timestamp, uuid } from '../schemas.ts';
import { requireWebSocket, streamSse, streamWebSocket } from '../streams.ts';

const tags = ['Agents'];
const value = {
  value: z.string().default(''),
  error: z.string().default(''),
  collected_at: z.string().optional(),
  age: z.number().optional(),
};
const report = {
  method: 'post',
  access: 'agent',
  tags,
  responses: { 204: { description: 'Taken' } },
} as const;
const reportMany = defineRoute({
  ...report,
  path: '/workspaceagents/me/metadata',
  summary: 'Values of the metadata scripts',
  request: jsonBody(z.object({ metadata: z.array(z.object({ key: z.string(), ...value })).max(1_000) })),
});
const reportOne = defineRoute({
  ...report,
  path: '/workspaceagents/me/metadata/{key}',
  summary: 'One value (old form)',
  request: { params: z.object({ key: z.string().max(127) }), ...jsonBody(z.object(value)) },
});

const AgentMetadata = z
  .object({
    result: z.object({
      collected_at: timestamp(),
      age: z.number().int().openapi({ description: 'seconds' }),
      value: z.string(),
      error: z.string(),
    }),
    description: z.object({
      display_name: z.string(),
      key: z.string(),
      script: z.string(),
      interval: z.number().int(),
      timeout: z.number().int(),
    }),
  })
  .openapi('WorkspaceAgentMetadata');
const watch = {
  method: 'get',
  tags,
  access: { type: 'workspace', action: 'read' },
  stream: true,
  request: { params: z.object({ agent: uuid() }) },
  responses: { 200: json(z.array(AgentMetadata), 'Events: all metadata of the agent, at least every 5 s') },
} as const;
const watchSse = defineRoute({
  ...watch,
  path: '/workspaceagents/{agent}/watch-metadata',
  summary: 'Watch the metadata of an agent (SSE)',
});
const watchWs = defineRoute({
  ...watch,
  path: '/workspaceagents/{agent}/watch-metadata-ws',
  summary: 'Watch the metadata of an agent (WebSocket)',
});

const metadataBody = (rows: readonly MetadataRow[], now: Date): z.infer<typeof AgentMetadata>[] =>
  rows.map((row) => ({
    result: {
      collected_at: toWireTime(row.collectedAt),
      age: row.collectedAt === null ? 0 : Math.max(0, Math.floor((now.getTime() - row.collectedAt.getTime()) / 1_000)),
      value: row.value,
      error: row.error,
    },
    description: {
      display_name: row.displayName,
      key: row.key,
      script: row.script,
      interval: row.intervalSeconds,
      timeout: row.timeoutSeconds,
    },
  }));

/** Source: spec/05 §9. */
export function registerAgentMetadataRoutes(app: App, deps: AppDeps): void {
  const { agents, metrics } = deps;
  const take = async (c: Context<ApiEnv>, values: readonly { key: string; value: string; error: string }[]) => {
    const { keysTooLong } = await agents.metadata.take(c.var.agent.agentId, values, deps.now());
    if (keysTooLong) throw new DomainError('INVALID_INPUT', 'The keys are too long; later entries were dropped');
  };
  app.openapi(reportMany, async (c) => {
    await take(c, c.req.valid('json').metadata);
    return c.body(null, 204);
  });
  app.openapi(reportOne, async (c) => {
    await take(c, [{ key: c.req.valid('param').key, ...c.req.valid('json') }]);
    return c.body(null, 204);
  });

  const source = async (c: Context<ApiEnv>, agentId: string) => {
    const place = await findAgentPlace(deps.db, agentId);
    if (place === undefined) throw notFound();
    authorizeWorkspace(c.var.subject, 'read', place.workspace);
    return async function* (signal: AbortSignal) {
      metrics.agentSubscribers('metadata', 1);
      try {
        for await (const rows of agents.metadataWatch.watch(agentId, signal)) yield metadataBody(rows, deps.now());
      } finally {
        metrics.agentSubscribers('metadata', -1);
      }
    };
  };
  app.openapi(watchSse, async (c) => streamSse(c, await source(c, c.req.valid('param').agent)) as never);
  app.openapi(watchWs, async (c) => {
    requireWebSocket(c);
    return (await streamWebSocket(c, await source(c, c.req.valid('param').agent), { frames: 'events' })) as never;
  });
}
