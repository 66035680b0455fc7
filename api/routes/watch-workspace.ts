import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { agentStatesChannel, workspacesChannel } from '../../db/notifications.ts';
import { findWorkspaceIncludingDeleted } from '../../db/queries/workspaces.ts';
import { authorizeWorkspace } from '../../domain/authorization.ts';
import { notFound } from '../../domain/errors.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, uuid } from '../schemas.ts';
import { requireWebSocket, streamSse, streamWebSocket } from '../streams.ts';
import { Workspace, type WorkspaceBody } from '../views/workspace.ts';
import { workspaceBodyOf } from './workspaces.ts';

const route = {
  method: 'get',
  tags: ['Workspaces'],
  access: { type: 'workspace', action: 'read' },
  stream: true,
  request: { params: z.object({ workspace: uuid() }) },
  responses: { 200: json(Workspace, 'Events: ping, then data = the whole workspace after each change') },
} as const;
const watchSse = defineRoute({ ...route, path: '/workspaces/{workspace}/watch', summary: 'Watch a workspace (SSE)' });
const watchWs = defineRoute({
  ...route,
  path: '/workspaces/{workspace}/watch-ws',
  summary: 'Watch a workspace (WebSocket)',
});

/** At most four events a second; the last state is always sent (spec/06 §8.2). */
const atLeastMsApart = 250;

async function* watchWorkspace(c: Context<ApiEnv>, id: string, signal: AbortSignal): AsyncGenerator<WorkspaceBody> {
  let last = '';
  const also = { channel: agentStatesChannel, payload: id } as const;
  for await (const _ of c.var.deps.listener.wakeUps(workspacesChannel, id, { signal, also })) {
    const workspace = await findWorkspaceIncludingDeleted(c.var.deps.db, id);
    if (workspace === undefined) return;
    // Rights may have changed since the last event: the stream then ends like a read of a missing row.
    authorizeWorkspace(c.var.subject, 'read', workspace);
    const body = await workspaceBodyOf(c, id);
    const text = JSON.stringify(body);
    if (text !== last) yield body;
    last = text;
    if (workspace.deleted) return;
    await new Promise((done) => setTimeout(done, atLeastMsApart));
  }
}

export function registerWatchWorkspaceRoutes(app: App, deps: AppDeps): void {
  const readable = async (c: Context<ApiEnv>, id: string) => {
    const workspace = await findWorkspaceIncludingDeleted(deps.db, id);
    if (workspace === undefined) throw notFound();
    authorizeWorkspace(c.var.subject, 'read', workspace);
    return (signal: AbortSignal) => watchWorkspace(c, id, signal);
  };
  app.openapi(watchSse, async (c) => streamSse(c, await readable(c, c.req.valid('param').workspace)) as never);
  app.openapi(watchWs, async (c) => {
    requireWebSocket(c);
    const source = await readable(c, c.req.valid('param').workspace);
    return (await streamWebSocket(c, source, { frames: 'events' })) as never;
  });
}
