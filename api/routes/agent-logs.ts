import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { externalLogSourceId } from '../../agent/protocol.ts';
import { agentLogsChannel, workspacesChannel } from '../../db/notifications.ts';
import { type AgentLogRow, isLogTruncated, listAgentLogs, readAgentLog } from '../../db/queries/agent-logs.ts';
import { findAgentPlace } from '../../db/queries/agent-places.ts';
import { characters } from '../../domain/agent-limits.ts';
import { planLogLines, truncatedNotice } from '../../domain/agent-logs.ts';
import { authorizeWorkspace } from '../../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../../domain/errors.ts';
import { NIL_UUID } from '../../domain/ids.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, limitedText, queryFlag, queryInteger, timestamp, uuid } from '../schemas.ts';
import { streamSse, streamWebSocket, wantsWebSocket } from '../streams.ts';

const tags = ['Agents'];
const LogSource = z
  .object({
    workspace_agent_id: z.string(),
    id: z.string(),
    created_at: timestamp(),
    display_name: z.string(),
    icon: z.string(),
  })
  .openapi('WorkspaceAgentLogSource');
const AgentLog = z
  .object({
    id: z.number().int(),
    created_at: timestamp(),
    output: z.string(),
    level: z.enum(['trace', 'debug', 'info', 'warn', 'error']),
    source_id: z.string(),
  })
  .openapi('WorkspaceAgentLog');

const addSource = defineRoute({
  method: 'post',
  path: '/workspaceagents/me/log-source',
  access: 'agent',
  tags,
  summary: 'A source of log lines; the same id again changes nothing',
  request: jsonBody(
    z.object({
      id: uuid(),
      display_name: limitedText(characters(127)).min(1),
      icon: limitedText(characters(256)).default(''),
    }),
  ),
  responses: { 201: json(LogSource, 'Source') },
});
const sendLogs = defineRoute({
  method: 'patch',
  path: '/workspaceagents/me/logs',
  access: 'agent',
  agentRate: 'logs',
  tags,
  summary: 'Log lines; answered once they are stored',
  request: jsonBody(
    z.object({
      log_source_id: z.union([z.literal(''), uuid()]).default(''),
      logs: z.array(
        z.object({
          created_at: z.string().optional(),
          level: z.string().default(''),
          output: z.string(),
        }),
      ),
    }),
  ),
  responses: {
    200: { description: 'Stored' },
    413: { description: 'The limit of 1 MiB per agent is reached: what fits is stored' },
  },
});
const logs = defineRoute({
  method: 'get',
  path: '/workspaceagents/{agent}/logs',
  access: { type: 'workspace', action: 'read' },
  stream: true,
  tags,
  summary: 'Log of an agent; `follow` over WebSocket (arrays of rows) or SSE',
  request: {
    params: z.object({ agent: uuid() }),
    query: z.object({
      before: queryInteger(0, Number.MAX_SAFE_INTEGER).optional(),
      after: queryInteger(0, Number.MAX_SAFE_INTEGER).optional(),
      follow: queryFlag().optional(),
      no_compression: queryFlag().optional(),
      format: z.enum(['json', 'text']).default('json'),
    }),
  },
  responses: { 200: json(z.array(AgentLog), 'Rows in order') },
});
const startupLogs = defineRoute({
  method: 'get',
  path: '/workspaceagents/{agent}/startup-logs',
  access: { type: 'workspace', action: 'read' },
  tags,
  summary: 'Old name of the log',
  request: { params: z.object({ agent: uuid() }) },
  responses: { 307: { description: 'See Location' } },
});

const logBody = (row: AgentLogRow): z.infer<typeof AgentLog> => ({
  id: row.id,
  created_at: row.createdAt.toISOString(),
  output: row.output,
  level: row.level,
  source_id: row.sourceId,
});

const followPage = 1_000;
const followRecheckMs = 60_000;

/** The backlog first (maybe empty), then what comes; ends after a last read when a newer build has taken the agent's place. */
async function* followAgentLog(
  c: Context<ApiEnv>,
  options: { agentId: string; workspaceId: string; after: number; signal: AbortSignal },
): AsyncGenerator<z.infer<typeof AgentLog>[]> {
  const { db, listener, metrics } = c.var.deps;
  const { agentId, workspaceId, signal } = options;
  let { after } = options;
  let first = true;
  const also = { channel: workspacesChannel, payload: workspaceId } as const;
  metrics.agentSubscribers('logs', 1);
  try {
    for await (const _ of listener.wakeUps(agentLogsChannel, agentId, { signal, recheckMs: followRecheckMs, also })) {
      for (;;) {
        const { current, rows } = await readAgentLog(db, { agentId, after, limit: followPage });
        if (rows.length > 0 || first) yield rows.map(logBody);
        first = false;
        after = rows.at(-1)?.id ?? after;
        if (rows.length === followPage) continue;
        if (!current) return;
        break;
      }
    }
  } finally {
    metrics.agentSubscribers('logs', -1);
  }
}

const textLine = (row: AgentLogRow & { sourceName: string | null }): string =>
  `${row.createdAt.toISOString()} [${row.level}] [${row.sourceName ?? row.sourceId}] ${row.output}\n`;

/** Source: spec/05 §8. */
export function registerAgentLogRoutes(app: App, deps: AppDeps): void {
  const { db, agents } = deps;
  app.openapi(addSource, async (c) => {
    const { id, display_name: displayName, icon } = c.req.valid('json');
    const { agentId } = c.var.agent;
    const source = await agents.logs.addSource({ agentId, id, displayName, icon, now: deps.now() });
    return c.json(
      {
        workspace_agent_id: agentId,
        id: source.id,
        created_at: source.createdAt.toISOString(),
        display_name: source.displayName,
        icon: source.icon,
      },
      201,
    );
  });
  app.openapi(sendLogs, async (c) => {
    const body = c.req.valid('json');
    const { agentId, workspaceId } = c.var.agent;
    const now = deps.now();
    const lines = planLogLines(
      body.logs.map(({ created_at: at, level, output }) => ({ createdAt: instantOf(at), level, output })),
      now,
    );
    const external = body.log_source_id === '' || body.log_source_id === NIL_UUID;
    const sourceId = external ? externalLogSourceId : body.log_source_id;
    if (external) await agents.logs.addExternalSource(agentId, now);
    await agents.logs.store({ agentId, workspaceId, sourceId, lines });
    return c.body(null, 200);
  });

  const readable = async (c: Context<ApiEnv>, agentId: string) => {
    const place = await findAgentPlace(db, agentId);
    if (place === undefined) throw notFound();
    authorizeWorkspace(c.var.subject, 'read', place.workspace);
    return place.workspace;
  };
  app.openapi(logs, async (c) => {
    const { agent: agentId } = c.req.valid('param');
    const { before, after, follow = false, format } = c.req.valid('query');
    const workspace = await readable(c, agentId);
    if (follow) {
      if (before !== undefined) throw invalidField('before', 'before cannot be combined with follow');
      if (format === 'text') throw invalidField('format', 'text cannot be followed');
      const source = (signal: AbortSignal) =>
        followAgentLog(c, { agentId, workspaceId: workspace.id, after: after ?? 0, signal });
      if (wantsWebSocket(c)) return (await streamWebSocket(c, source, { frames: 'logs' })) as never;
      if (c.req.header('Accept')?.includes('text/event-stream') === true) return streamSse(c, source) as never;
      throw new DomainError('INVALID_INPUT', 'Following needs a WebSocket, or Accept: text/event-stream');
    }
    const rows = await listAgentLogs(db, { agentId, after, before });
    if (format === 'json') return c.json(rows.map(logBody), 200);
    const truncated = before === undefined && (await isLogTruncated(db, agentId));
    return c.text([...rows.map(textLine), ...(truncated ? [`${truncatedNotice}\n`] : [])].join(''), 200) as never;
  });
  app.openapi(startupLogs, async (c) => {
    const { agent: agentId } = c.req.valid('param');
    await readable(c, agentId);
    return c.redirect(`/api/v2/workspaceagents/${agentId}/logs${new URL(c.req.url).search}`, 307) as never;
  });
}

/** Anything that is no instant counts as now. */
function instantOf(text: string | undefined): Date | null {
  const at = Date.parse(text ?? '');
  return Number.isNaN(at) ? null : new Date(at);
}
