import { z } from '@hono/zod-openapi';
import { createExtendDeadline } from '../../commands/extend-deadline.ts';
import { createMarkUsed } from '../../commands/mark-used.ts';
import { hasParameterMismatch } from '../../commands/resolve-autostart.ts';
import { createSetDormant } from '../../commands/set-dormant.ts';
import type { App, AppDeps } from '../context.ts';
import { callerOf } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, uuid } from '../schemas.ts';
import { Workspace } from '../views/workspace.ts';
import { workspaceBodyOf } from './workspaces.ts';

/** Apps whose use is work in the workspace (spec/04 §8). */
const usageApps = ['vscode', 'jetbrains', 'reconnecting-pty', 'ssh'] as const;
const Usage = z
  .object({ agent_id: uuid().optional(), app_name: z.enum(usageApps).optional() })
  .superRefine(({ agent_id: agent, app_name: app }, ctx) => {
    if ((agent === undefined) === (app === undefined)) return;
    const missing = agent === undefined ? 'agent_id' : 'app_name';
    ctx.addIssue({ code: 'custom', path: [missing], message: 'agent_id and app_name come together' });
  })
  .openapi('PostWorkspaceUsageRequest');
const Autostart = z.object({ parameter_mismatch: z.boolean() }).openapi('ResolveAutostartResponse');

const tags = ['Workspaces'];
const request = { params: z.object({ workspace: uuid() }) };
const access = { type: 'workspace', action: 'update' } as const;
const auditFailure = { resourceType: 'workspace', action: 'write', param: 'workspace' } as const;
const putDormant = defineRoute({
  method: 'put',
  path: '/workspaces/{workspace}/dormant',
  tags,
  summary: 'Put a workspace to sleep, which stops it, or wake it',
  access,
  auditFailure,
  request: { ...request, ...jsonBody(z.object({ dormant: z.boolean() })) },
  responses: {
    200: json(Workspace, 'Changed'),
    304: { description: 'It is in that state already' },
    409: { description: 'A prebuild' },
  },
});
const putExtend = defineRoute({
  method: 'put',
  path: '/workspaces/{workspace}/extend',
  tags,
  summary: 'Set when a running workspace stops',
  access,
  request: { ...request, ...jsonBody(z.object({ deadline: z.iso.datetime({ offset: true }) })) },
  responses: { 200: json(MessageResponse, 'Done'), 409: { description: 'It does not stop by a deadline' } },
});
const postUsage = defineRoute({
  method: 'post',
  path: '/workspaces/{workspace}/usage',
  tags,
  summary: 'Say that a workspace is in use; with agent and app, that somebody works in it',
  access,
  request: { ...request, body: { required: false, content: { 'application/json': { schema: Usage } } } },
  responses: { 204: { description: 'Noted' } },
});
const getAutostart = defineRoute({
  method: 'get',
  path: '/workspaces/{workspace}/resolve-autostart',
  tags,
  summary: 'Whether an automatic start would need values that nobody has given',
  access: { type: 'workspace', action: 'read' },
  request,
  responses: { 200: json(Autostart, 'Answer') },
});

/** Sleep, deadlines and use of a workspace. Source: spec/04 §4.2, §5.3, §6.5, §8. */
export function registerWorkspaceLifecycleRoutes(app: App, deps: AppDeps): void {
  const setDormant = createSetDormant(deps);
  const extendDeadline = createExtendDeadline(deps);
  const markUsed = createMarkUsed({ ...deps, usage: deps.agents.usage });
  app.openapi(putDormant, async (c) => {
    const { workspace: workspaceId } = c.req.valid('param');
    const { dormant } = c.req.valid('json');
    if (!(await setDormant(callerOf(c), { workspaceId, dormant }))) return c.body(null, 304);
    return c.json(await workspaceBodyOf(c, workspaceId), 200);
  });
  app.openapi(putExtend, async (c) => {
    const deadline = new Date(c.req.valid('json').deadline);
    await extendDeadline(callerOf(c), { workspaceId: c.req.valid('param').workspace, deadline });
    return c.json({ message: `The workspace stops at ${deadline.toISOString()}` }, 200);
  });
  app.openapi(postUsage, async (c) => {
    const workspaceId = c.req.valid('param').workspace;
    await markUsed(c.var.subject, { workspaceId, agentId: c.req.valid('json').agent_id });
    return c.body(null, 204);
  });
  app.openapi(getAutostart, async (c) => {
    const mismatch = await hasParameterMismatch(deps.db, c.var.subject, c.req.valid('param').workspace);
    return c.json({ parameter_mismatch: mismatch }, 200);
  });
}
