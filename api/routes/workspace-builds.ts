import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { and, eq, gte, lt } from 'drizzle-orm';
import { createCancelBuild } from '../../commands/cancel-job.ts';
import { createRequestBuild } from '../../commands/request-build.ts';
import { taskQueueOf } from '../../commands/task-queue.ts';
import {
  type BuildView,
  findBuildViewById,
  findBuildViewByNumber,
  listBuildViews,
} from '../../db/queries/build-views.ts';
import { matchProvisioners } from '../../db/queries/provisioner-daemons.ts';
import { findUserByRef } from '../../db/queries/users.ts';
import { findWorkspaceByName, findWorkspaceIncludingDeleted } from '../../db/queries/workspaces.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import { authorizeWorkspace, isWorkspaceAllowed } from '../../domain/authorization.ts';
import { NIL_UUID } from '../../domain/ids.ts';
import { invalidField, notFound } from '../../domain/errors.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { idempotency } from '../idempotency.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, pageQuery, paged, userRef, uuid } from '../schemas.ts';
import { WorkspaceBuild, type WorkspaceBuildBody, buildView, loadBuildParts } from '../views/workspace-build.ts';
import { resourceViewOptions } from '../views/workspace-resource.ts';
import { ParameterValues } from './workspaces.ts';

/** Base64 of at most 16 MiB of state. */
export const State = z.base64().max(Math.ceil((16 * 1024 * 1024 * 4) / 3));
/** Body limit of the routes that carry a state. */
export const stateBodyBytes = Math.ceil((16 * 1024 * 1024 * 4) / 3) + 65_536;

export const CreateWorkspaceBuildRequest = z
  .object({
    transition: z.enum(['start', 'stop', 'delete']),
    template_version_id: uuid().nullish(),
    rich_parameter_values: ParameterValues,
    template_version_preset_id: uuid().nullish(),
    orphan: z.boolean().default(false),
    state: State.nullish(),
    dry_run: z.boolean().default(false),
    log_level: z.enum(['debug', '']).nullish(),
    reason: z
      .enum([
        'initiator',
        'dashboard',
        'cli',
        'ssh_connection',
        'vscode_connection',
        'jetbrains_connection',
        'task_manual_pause',
        'task_resume',
      ])
      .default('initiator'),
  })
  .openapi('CreateWorkspaceBuildRequest');

const tags = ['Builds'];
const read = { tags, access: { type: 'workspace', action: 'read' } } as const;
const idParam = z.object({ workspacebuild: uuid() });
const workspaceParam = z.object({ workspace: uuid() });
const create = defineRoute({
  method: 'post',
  path: '/workspaces/{workspace}/builds',
  tags,
  summary: 'Start, stop or delete a workspace',
  access: { type: 'workspace', action: 'read' },
  maxBodyBytes: stateBodyBytes,
  auditFailure: { resourceType: 'workspace_build', action: 'start', param: 'workspace' },
  request: { params: workspaceParam, ...jsonBody(CreateWorkspaceBuildRequest) },
  responses: {
    200: json(WorkspaceBuild, 'dry_run: all checks passed, nothing was written'),
    201: json(WorkspaceBuild, 'Pending'),
  },
});
const list = defineRoute({
  ...read,
  method: 'get',
  path: '/workspaces/{workspace}/builds',
  summary: 'Builds of a workspace, newest first',
  request: {
    params: workspaceParam,
    query: paged(
      z.object({ since: z.iso.datetime({ offset: true }).optional(), ...pageQuery({ default: 100, maximum: 1_000 }) }),
    ),
  },
  responses: { 200: json(z.array(WorkspaceBuild), 'A page') },
});
const getById = defineRoute({
  ...read,
  method: 'get',
  path: '/workspacebuilds/{workspacebuild}',
  summary: 'Get a build',
  request: { params: idParam },
  responses: { 200: json(WorkspaceBuild, 'The build') },
});
const getByNumber = defineRoute({
  ...read,
  method: 'get',
  path: '/users/{user}/workspace/{workspacename}/builds/{buildnumber}',
  summary: 'Get a build by its number',
  request: {
    params: z.object({
      user: userRef(),
      workspacename: z.string(),
      buildnumber: z
        .string()
        .regex(/^\d{1,9}$/, 'must be a whole number')
        .openapi({ type: 'integer' }),
    }),
  },
  responses: { 200: json(WorkspaceBuild, 'The build') },
});
const cancel = defineRoute({
  method: 'patch',
  path: '/workspacebuilds/{workspacebuild}/cancel',
  tags,
  summary: 'Cancel a build',
  access: { type: 'workspace', action: 'update' },
  auditFailure: { resourceType: 'workspace_build', action: 'write', param: 'workspacebuild' },
  request: { params: idParam, query: z.object({ expect_status: z.enum(['pending', 'running']).optional() }) },
  responses: { 200: json(MessageResponse, 'Accepted'), 412: { description: 'The job has another status' } },
});

/** Bodies of builds of one workspace the caller may read. */
export async function bodiesOf(c: Context<ApiEnv>, builds: readonly BuildView[]): Promise<WorkspaceBuildBody[]> {
  const { deps, subject } = c.var;
  const [first] = builds;
  if (first === undefined) return [];
  const options = resourceViewOptions(deps, isWorkspaceAllowed(subject, 'update', first.workspace));
  const parts = await loadBuildParts(deps.db, builds);
  return builds.map((build) => buildView(build, parts, options));
}

/** One build; while it waits, also how many workers could take it. */
export async function bodyOf(c: Context<ApiEnv>, build: BuildView): Promise<WorkspaceBuildBody> {
  const waits = build.job.status === 'pending';
  const [[body], matched] = await Promise.all([
    bodiesOf(c, [build]),
    waits ? matchProvisioners(c.var.deps.db, taskQueueOf(build.job.tags)) : undefined,
  ]);
  if (matched === undefined) return body!;
  return {
    ...body!,
    matched_provisioners: {
      count: matched.count,
      available: matched.available,
      ...(matched.mostRecentlySeen !== null && { most_recently_seen: matched.mostRecentlySeen.toISOString() }),
    },
  };
}

/** A build that was not written: zero ids, and the job never waits in a queue. */
async function dryRunBody(c: Context<ApiEnv>, view: BuildView): Promise<WorkspaceBuildBody> {
  const [body] = await bodiesOf(c, [view]);
  return { ...body!, id: NIL_UUID, job: { ...body!.job, id: NIL_UUID, input: {}, queue_position: 0, queue_size: 0 } };
}

export function readableBuild(c: Context<ApiEnv>, build: BuildView | undefined): BuildView {
  if (build === undefined) throw notFound();
  authorizeWorkspace(c.var.subject, 'read', build.workspace);
  return build;
}

export function registerWorkspaceBuildRoutes(app: App, deps: AppDeps): void {
  const requestBuild = createRequestBuild(deps);
  const cancelBuild = createCancelBuild(deps);
  const byId = async (c: Context<ApiEnv>, id: string) => readableBuild(c, await findBuildViewById(deps.db, id));
  const readableWorkspace = async (c: Context<ApiEnv>, id: string) => {
    const workspace = await findWorkspaceIncludingDeleted(deps.db, id);
    if (workspace === undefined) throw notFound();
    authorizeWorkspace(c.var.subject, 'read', workspace);
    return workspace;
  };

  app.openapi(create, async (c) => {
    const body = c.req.valid('json');
    const { workspace: workspaceId } = c.req.valid('param');
    const id = await requestBuild(c.var.subject, {
      workspaceId,
      transition: body.transition,
      templateVersionId: body.template_version_id ?? undefined,
      richParameterValues: body.rich_parameter_values,
      presetId: body.template_version_preset_id ?? undefined,
      orphan: body.orphan,
      state: typeof body.state === 'string' ? Buffer.from(body.state, 'base64') : undefined,
      debug: body.log_level === 'debug',
      reason: body.reason,
      dryRun: body.dry_run,
      origin: c.var.origin,
      idempotency: idempotency(c, body),
    });
    if (typeof id !== 'string') return c.json(await dryRunBody(c, id.dryRun), 200);
    const view = await findBuildViewById(deps.db, id);
    if (view === undefined) throw notFound();
    return c.json(await bodyOf(c, view), 201);
  });
  app.openapi(list, async (c) => {
    const workspace = await readableWorkspace(c, c.req.valid('param').workspace);
    const { since, limit, offset = 0, after_id: afterId } = c.req.valid('query');
    const after = afterId === undefined ? undefined : await findBuildViewById(deps.db, afterId);
    if (afterId !== undefined && after?.workspaceId !== workspace.id)
      throw invalidField('after_id', 'not a build of this workspace');
    const where = and(
      eq(workspaceBuilds.workspaceId, workspace.id),
      since === undefined ? undefined : gte(workspaceBuilds.createdAt, new Date(since)),
      after === undefined ? undefined : lt(workspaceBuilds.buildNumber, after.buildNumber),
    );
    return c.json(await bodiesOf(c, await listBuildViews(deps.db, { where, limit, offset })), 200);
  });
  app.openapi(getById, async (c) => c.json(await bodyOf(c, await byId(c, c.req.valid('param').workspacebuild)), 200));
  app.openapi(getByNumber, async (c) => {
    const { user, workspacename: name, buildnumber } = c.req.valid('param');
    const owner = await findUserByRef(deps.db, c.var.subject, user, { includeSystem: true });
    const workspace = owner === undefined ? undefined : await findWorkspaceByName(deps.db, { ownerId: owner.id, name });
    if (workspace === undefined) throw notFound();
    const build = readableBuild(c, await findBuildViewByNumber(deps.db, workspace.id, Number(buildnumber)));
    return c.json(await bodyOf(c, build), 200);
  });
  app.openapi(cancel, async (c) => {
    const { expect_status: expectStatus } = c.req.valid('query');
    const buildId = c.req.valid('param').workspacebuild;
    await cancelBuild(c.var.subject, { buildId, expectStatus, origin: c.var.origin });
    return c.json({ message: 'The build is being canceled.' }, 200);
  });
}
