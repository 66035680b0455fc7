import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { createRefreshWorkspace, createRetryBuild } from '../../commands/repeat-build.ts';
import { findBuildViewById } from '../../db/queries/build-views.ts';
import { notFound } from '../../domain/errors.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { idempotency } from '../idempotency.ts';
import { defineRoute } from '../route.ts';
import { json, uuid } from '../schemas.ts';
import { WorkspaceBuild } from '../views/workspace-build.ts';
import { bodyOf } from './workspace-builds.ts';

/** As for any build: which right is needed depends on the transition, and the command checks it. */
const repair = { tags: ['Builds'], access: { type: 'workspace', action: 'read' } } as const;
const refused = {
  409: { description: 'A build is active, or the latest one does not allow it; the message says why' },
};

const retry = defineRoute({
  ...repair,
  method: 'post',
  path: '/workspacebuilds/{workspacebuild}/retry',
  summary: 'Try the latest build again after it failed or was canceled',
  auditFailure: { resourceType: 'workspace_build', action: 'start', param: 'workspacebuild' },
  request: { params: z.object({ workspacebuild: uuid() }) },
  responses: { 201: json(WorkspaceBuild, 'Pending, with the version, preset and values of the build'), ...refused },
});
const refresh = defineRoute({
  ...repair,
  method: 'post',
  path: '/workspaces/{workspace}/refresh',
  summary: 'Read the world into the state and change nothing',
  auditFailure: { resourceType: 'workspace_build', action: 'start', param: 'workspace' },
  request: { params: z.object({ workspace: uuid() }) },
  responses: { 201: json(WorkspaceBuild, 'Pending, with `refresh_only`'), ...refused },
});

/** Builds that repair: the same one again, or one that only looks. */
export function registerBuildRepairRoutes(app: App, deps: AppDeps): void {
  const retryBuild = createRetryBuild(deps);
  const refreshWorkspace = createRefreshWorkspace(deps);
  const made = async (c: Context<ApiEnv>, buildId: string) => {
    const view = await findBuildViewById(deps.db, buildId);
    if (view === undefined) throw notFound();
    return bodyOf(c, view);
  };

  app.openapi(retry, async (c) => {
    const { workspacebuild: buildId } = c.req.valid('param');
    const id = await retryBuild(c.var.subject, { buildId, origin: c.var.origin, idempotency: idempotency(c, {}) });
    return c.json(await made(c, id), 201);
  });
  app.openapi(refresh, async (c) => {
    const { workspace: workspaceId } = c.req.valid('param');
    const options = { workspaceId, origin: c.var.origin, idempotency: idempotency(c, {}) };
    return c.json(await made(c, await refreshWorkspace(c.var.subject, options)), 201);
  });
}
