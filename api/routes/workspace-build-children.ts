import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { createReadState, createReplaceState } from '../../commands/replace-state.ts';
import { findBuildViewById, findLatestBuildView } from '../../db/queries/build-views.ts';
import { listTimings } from '../../db/queries/job-timings.ts';
import { listAgentTimings, noAgentTimings } from '../../db/queries/script-timings.ts';
import { listBuildParameters } from '../../db/queries/workspace-builds.ts';
import { findWorkspaceIncludingDeleted } from '../../db/queries/workspaces.ts';
import { authorizeWorkspace } from '../../domain/authorization.ts';
import { notFound } from '../../domain/errors.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { JobLog, JobLogsQuery, jobLogsResponse } from '../job-logs.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, uuid } from '../schemas.ts';
import { BuildTimings, timingsView } from '../views/build-timings.ts';
import { WorkspaceResource } from '../views/workspace-resource.ts';
import { State, bodiesOf, readableBuild, stateBodyBytes } from './workspace-builds.ts';

const tags = ['Builds'];
const read = { tags, access: { type: 'workspace', action: 'read' } } as const;
const idParam = z.object({ workspacebuild: uuid() });
const parameters = defineRoute({
  ...read,
  method: 'get',
  path: '/workspacebuilds/{workspacebuild}/parameters',
  summary: 'Parameters of a build',
  request: { params: idParam },
  responses: { 200: json(z.array(z.object({ name: z.string(), value: z.string() })), 'All resolved values') },
});
const resources = defineRoute({
  ...read,
  method: 'get',
  path: '/workspacebuilds/{workspacebuild}/resources',
  summary: 'Resources of a build',
  request: { params: idParam },
  responses: { 200: json(z.array(WorkspaceResource), 'Resources with their agents') },
});
const logs = defineRoute({
  ...read,
  method: 'get',
  path: '/workspacebuilds/{workspacebuild}/logs',
  summary: 'Log of a build; follow over WebSocket or SSE',
  stream: true,
  request: { params: idParam, query: JobLogsQuery },
  responses: { 200: json(z.array(JobLog), 'Rows in order') },
});
const timings = defineRoute({
  ...read,
  method: 'get',
  path: '/workspacebuilds/{workspacebuild}/timings',
  summary: 'Timings of a build',
  request: { params: idParam },
  responses: { 200: json(BuildTimings, 'Timings') },
});
const workspaceTimings = defineRoute({
  ...read,
  method: 'get',
  path: '/workspaces/{workspace}/timings',
  summary: 'Timings of the latest build',
  request: { params: z.object({ workspace: uuid() }) },
  responses: { 200: json(BuildTimings, 'Timings') },
});
const getState = defineRoute({
  method: 'get',
  path: '/workspacebuilds/{workspacebuild}/state',
  tags,
  summary: 'Download the Terraform state',
  access: { type: 'template', action: 'update' },
  request: { params: idParam },
  responses: {
    200: { description: 'Raw state', content: { 'application/json': { schema: z.any() } } },
    409: { description: 'It is damaged; the detail offers another version' },
    410: { description: 'It is no longer kept' },
  },
});
const putState = defineRoute({
  method: 'put',
  path: '/workspacebuilds/{workspacebuild}/state',
  tags,
  summary: 'Replace the Terraform state',
  access: { type: 'template', action: 'update' },
  maxBodyBytes: stateBodyBytes,
  auditFailure: { resourceType: 'workspace_build', action: 'write', param: 'workspacebuild' },
  request: { params: idParam, ...jsonBody(z.object({ state: State })) },
  responses: {
    204: { description: 'Replaced, as a new version' },
    409: { description: 'A build is active' },
    410: { description: 'The workspace is deleted, or the build older than the versions that are kept' },
  },
});

/** What hangs on one build: parameters, resources, log, timings, state. Source: spec/06 §9. */
export function registerWorkspaceBuildChildRoutes(app: App, deps: AppDeps): void {
  const readState = createReadState(deps);
  const replaceState = createReplaceState(deps);
  const byId = async (c: Context<ApiEnv>, id: string) => readableBuild(c, await findBuildViewById(deps.db, id));

  const timingsOf = async (jobId: string) =>
    timingsView(...(await Promise.all([listTimings(deps.db, jobId), listAgentTimings(deps.db, jobId)])));

  app.openapi(parameters, async (c) => {
    const build = await byId(c, c.req.valid('param').workspacebuild);
    return c.json(await listBuildParameters(deps.db, build.id), 200);
  });
  app.openapi(resources, async (c) => {
    const [body] = await bodiesOf(c, [await byId(c, c.req.valid('param').workspacebuild)]);
    return c.json(body!.resources, 200);
  });
  app.openapi(logs, async (c) => {
    const build = await byId(c, c.req.valid('param').workspacebuild);
    return (await jobLogsResponse(c, build.job.id, c.req.valid('query'))) as never;
  });
  app.openapi(timings, async (c) => {
    const build = await byId(c, c.req.valid('param').workspacebuild);
    return c.json(await timingsOf(build.job.id), 200);
  });
  app.openapi(workspaceTimings, async (c) => {
    const workspace = await findWorkspaceIncludingDeleted(deps.db, c.req.valid('param').workspace);
    if (workspace === undefined) throw notFound();
    authorizeWorkspace(c.var.subject, 'read', workspace);
    const build = await findLatestBuildView(deps.db, workspace.id);
    return c.json(build === undefined ? timingsView([], noAgentTimings) : await timingsOf(build.job.id), 200);
  });
  app.openapi(getState, async (c) => {
    const bytes = await readState(c.var.subject, {
      buildId: c.req.valid('param').workspacebuild,
      origin: c.var.origin,
    });
    return c.body(new Uint8Array(bytes), 200, { 'Content-Type': 'application/json' }) as never;
  });
  app.openapi(putState, async (c) => {
    const bytes = Buffer.from(c.req.valid('json').state, 'base64');
    await replaceState(c.var.subject, { buildId: c.req.valid('param').workspacebuild, bytes, origin: c.var.origin });
    return c.body(null, 204);
  });
}
