import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { type CreateWorkspace, createCreateWorkspace } from '../../commands/create-workspace.ts';
import { createUpdateWorkspace } from '../../commands/update-workspace.ts';
import type { Db } from '../../db/client.ts';
import { findMember } from '../../db/queries/members.ts';
import { getOrganizationByRef } from '../../db/queries/organizations.ts';
import { findUserByRef } from '../../db/queries/users.ts';
import { findWorkspaceByName, findWorkspaceIncludingDeleted } from '../../db/queries/workspaces.ts';
import { findWorkspaceView, listWorkspaceIds, listWorkspaceViews } from '../../db/queries/workspace-views.ts';
import { authorizeWorkspace } from '../../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../../domain/errors.ts';
import { nameProblem } from '../../domain/names.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { etagResponse } from '../etag.ts';
import { idempotency } from '../idempotency.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, organizationRef, pageQuery, paged, queryBoolean, userRef, uuid } from '../schemas.ts';
import { Workspace, type WorkspaceBody, type WorkspaceViewOptions, loadWorkspaceBodies } from '../views/workspace.ts';

export const ParameterValues = z
  .array(z.object({ name: z.string().min(1), value: z.string() }))
  .max(1_000)
  .default([]);

const CreateWorkspaceRequest = z
  .object({
    name: z.string(),
    template_id: uuid().optional(),
    template_version_id: uuid().optional(),
    autostart_schedule: z.string().nullish(),
    ttl_ms: z.number().int().nullish(),
    automatic_updates: z.enum(['always', 'never', '']).default('never'),
    rich_parameter_values: ParameterValues,
    template_version_preset_id: uuid().nullish(),
  })
  .openapi('CreateWorkspaceRequest');

const tags = ['Workspaces'];
const idParam = z.object({ workspace: uuid() });
const includeDeleted = z.object({ include_deleted: queryBoolean().optional() });
const create = {
  method: 'post',
  tags,
  access: { type: 'workspace', action: 'create' },
  auditFailure: { resourceType: 'workspace', action: 'create' },
  responses: { 201: json(Workspace, 'Created; its first build is pending') },
} as const;
const createForUser = defineRoute({
  ...create,
  path: '/users/{user}/workspaces',
  summary: 'Create a workspace',
  request: { params: z.object({ user: userRef() }), ...jsonBody(CreateWorkspaceRequest) },
});
const createForMember = defineRoute({
  ...create,
  path: '/organizations/{organization}/members/{user}/workspaces',
  summary: 'Create a workspace of an organization member',
  request: {
    params: z.object({ organization: organizationRef(), user: userRef() }),
    ...jsonBody(CreateWorkspaceRequest),
  },
});
const list = defineRoute({
  method: 'get',
  path: '/workspaces',
  tags,
  summary: 'List workspaces',
  access: { type: 'workspace', action: 'read' },
  request: {
    query: paged(z.object({ q: z.string().max(1_024).default(''), ...pageQuery({ default: 1_000, maximum: 1_000 }) })),
  },
  responses: {
    200: json(
      z.object({ workspaces: z.array(Workspace), count: z.number().int() }).openapi('WorkspacesResponse'),
      'A page',
    ),
  },
});
const getById = defineRoute({
  method: 'get',
  path: '/workspaces/{workspace}',
  tags,
  summary: 'Get a workspace',
  access: { type: 'workspace', action: 'read' },
  request: { params: idParam, query: includeDeleted },
  responses: {
    200: json(Workspace, 'The workspace'),
    304: { description: 'Not modified' },
    410: { description: 'Deleted' },
  },
});
const getByName = defineRoute({
  method: 'get',
  path: '/users/{user}/workspace/{workspacename}',
  tags,
  summary: 'Get a workspace by owner and name',
  access: { type: 'workspace', action: 'read' },
  request: { params: z.object({ user: userRef(), workspacename: z.string() }), query: includeDeleted },
  responses: { 200: json(Workspace, 'The workspace'), 304: { description: 'Not modified' } },
});
const setting = {
  tags,
  access: { type: 'workspace', action: 'update' },
  responses: { 204: { description: 'Done' } },
} as const;
const audited = { auditFailure: { resourceType: 'workspace', action: 'write', param: 'workspace' } } as const;
const rename = defineRoute({
  ...setting,
  ...audited,
  method: 'patch',
  path: '/workspaces/{workspace}',
  summary: 'Rename a workspace',
  request: { params: idParam, ...jsonBody(z.object({ name: z.string().max(64).default('') })) },
});
const putAutostart = defineRoute({
  ...setting,
  ...audited,
  method: 'put',
  path: '/workspaces/{workspace}/autostart',
  summary: 'Set the autostart schedule',
  request: { params: idParam, ...jsonBody(z.object({ schedule: z.string().max(256).nullish() })) },
});
const putTtl = defineRoute({
  ...setting,
  ...audited,
  method: 'put',
  path: '/workspaces/{workspace}/ttl',
  summary: 'Set the time to live',
  request: { params: idParam, ...jsonBody(z.object({ ttl_ms: z.number().int().nullish() })) },
});
const putAutoupdates = defineRoute({
  ...setting,
  ...audited,
  method: 'put',
  path: '/workspaces/{workspace}/autoupdates',
  summary: 'Set automatic updates',
  request: { params: idParam, ...jsonBody(z.object({ automatic_updates: z.enum(['always', 'never']) })) },
});
const putFavorite = defineRoute({
  ...setting,
  method: 'put',
  path: '/workspaces/{workspace}/favorite',
  summary: 'Mark as favorite',
  request: { params: idParam },
});
const deleteFavorite = defineRoute({
  ...setting,
  method: 'delete',
  path: '/workspaces/{workspace}/favorite',
  summary: 'Remove the favorite mark',
  request: { params: idParam },
});

const viewOptions = ({ deps, subject }: ApiEnv['Variables']): WorkspaceViewOptions => ({
  subject,
  now: deps.now(),
  allowRenames: deps.config.CODER_ALLOW_WORKSPACE_RENAMES,
  fallbackTroubleshootingUrl: deps.config.CODER_AGENT_FALLBACK_TROUBLESHOOTING_URL,
});

/** Body of one workspace, also read within a transaction; throws NOT_FOUND when its row went away meanwhile. */
export async function workspaceBodyOf(
  c: Context<ApiEnv>,
  workspaceId: string,
  db: Db = c.var.deps.db,
): Promise<WorkspaceBody> {
  const view = await findWorkspaceView(db, workspaceId);
  if (view === undefined) throw notFound();
  const [body] = await loadWorkspaceBodies(db, [view], viewOptions(c.var));
  return body!;
}

export function registerWorkspaceRoutes(app: App, deps: AppDeps): void {
  const createWorkspace = createCreateWorkspace(deps);
  const update = createUpdateWorkspace(deps);
  const createFor = async (c: Context<ApiEnv>, userParam: string, body: z.infer<typeof CreateWorkspaceRequest>) => {
    const { subject, origin } = c.var;
    const ownerId = userParam === 'me' ? subject.id : (await findUserByRef(deps.db, subject, userParam))?.id;
    if (ownerId === undefined) throw notFound();
    const problem = nameProblem('workspace', body.name);
    if (problem !== undefined) throw invalidField('name', problem);
    const wanted: CreateWorkspace = {
      ownerId,
      name: body.name,
      templateId: body.template_id,
      templateVersionId: body.template_version_id,
      autostartSchedule: body.autostart_schedule ?? undefined,
      ttlMs: body.ttl_ms ?? undefined,
      automaticUpdates: body.automatic_updates === 'always' ? 'always' : 'never',
      richParameterValues: body.rich_parameter_values,
      presetId: body.template_version_preset_id ?? undefined,
      origin,
      idempotency: idempotency(c, body),
    };
    return createWorkspace(subject, wanted, (db, id) => workspaceBodyOf(c, id, db));
  };
  app.openapi(createForUser, async (c) =>
    c.json(await createFor(c, c.req.valid('param').user, c.req.valid('json')), 201),
  );
  app.openapi(createForMember, async (c) => {
    const { organization, user } = c.req.valid('param');
    const { id } = await getOrganizationByRef(deps.db, c.var.subject, organization);
    const member = await findUserByRef(deps.db, c.var.subject, user);
    if (member === undefined || (await findMember(deps.db, id, member.id)) === undefined) throw notFound();
    return c.json(await createFor(c, member.id, c.req.valid('json')), 201);
  });

  app.openapi(list, async (c) => {
    const { q, limit, offset = 0 } = c.req.valid('query');
    const { ids, count } = await listWorkspaceIds(deps.db, c.var.subject, { q, limit, offset });
    const views = await listWorkspaceViews(deps.db, ids);
    return c.json({ workspaces: await loadWorkspaceBodies(deps.db, views, viewOptions(c.var)), count }, 200);
  });
  app.openapi(getById, async (c) => {
    const { workspace: id } = c.req.valid('param');
    const row = await findWorkspaceIncludingDeleted(deps.db, id);
    if (row === undefined) throw notFound();
    authorizeWorkspace(c.var.subject, 'read', row);
    if (row.deleted && c.req.valid('query').include_deleted !== true)
      throw new DomainError('GONE', 'The workspace is deleted');
    return etagResponse(c, await workspaceBodyOf(c, id));
  });
  app.openapi(getByName, async (c) => {
    const { user, workspacename: name } = c.req.valid('param');
    const owner = await findUserByRef(deps.db, c.var.subject, user, { includeSystem: true });
    const row =
      owner === undefined
        ? undefined
        : await findWorkspaceByName(deps.db, {
            ownerId: owner.id,
            name,
            includeDeleted: c.req.valid('query').include_deleted === true,
          });
    if (row === undefined) throw notFound();
    authorizeWorkspace(c.var.subject, 'read', row);
    return etagResponse(c, await workspaceBodyOf(c, row.id));
  });

  const caller = (c: Context<ApiEnv>) => ({ subject: c.var.subject, origin: c.var.origin });
  app.openapi(rename, async (c) => {
    await update.rename(caller(c), c.req.valid('param').workspace, c.req.valid('json').name);
    return c.body(null, 204);
  });
  app.openapi(putAutostart, async (c) => {
    await update.setAutostart(caller(c), c.req.valid('param').workspace, c.req.valid('json').schedule ?? null);
    return c.body(null, 204);
  });
  app.openapi(putTtl, async (c) => {
    await update.setTtl(caller(c), c.req.valid('param').workspace, c.req.valid('json').ttl_ms ?? null);
    return c.body(null, 204);
  });
  app.openapi(putAutoupdates, async (c) => {
    const { automatic_updates: value } = c.req.valid('json');
    await update.setAutomaticUpdates(caller(c), c.req.valid('param').workspace, value);
    return c.body(null, 204);
  });
  app.openapi(putFavorite, async (c) => {
    await update.setFavorite(caller(c), c.req.valid('param').workspace, true);
    return c.body(null, 204);
  });
  app.openapi(deleteFavorite, async (c) => {
    await update.setFavorite(caller(c), c.req.valid('param').workspace, false);
    return c.body(null, 204);
  });
}
