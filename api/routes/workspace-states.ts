import { z } from '@hono/zod-openapi';
import { createForgetResource } from '../../commands/forget-resource.ts';
import { getStateWorkspace } from '../../commands/operator-state.ts';
import { createReadStateVersion } from '../../commands/read-state-version.ts';
import { createRestoreState } from '../../commands/restore-state.ts';
import { listStateVersions } from '../../db/queries/state-versions.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, queryInteger, uuid } from '../schemas.ts';
import { StateVersion, stateVersionView } from '../views/state-version.ts';

const read = { tags: ['States'], access: { type: 'template', action: 'update' } } as const;
const change = {
  ...read,
  auditFailure: { resourceType: 'workspace_build', action: 'write', param: 'workspace' },
} as const;
const workspaceParam = z.object({ workspace: uuid() });
const versionParam = z.object({
  workspace: uuid(),
  version: z
    .string()
    .regex(/^[1-9]\d{0,8}$/, 'must be a whole number above zero')
    .transform(Number)
    .openapi({ type: 'integer' }),
});
const noContent = { 410: { description: 'Its content is no longer kept, or the workspace is deleted' } } as const;
const refused = {
  409: { description: 'A build is active, or the state is damaged (the detail offers another version)' },
};

const list = defineRoute({
  ...read,
  method: 'get',
  path: '/workspaces/{workspace}/state/versions',
  summary: 'Versions of the Terraform state, newest first',
  request: {
    params: workspaceParam,
    query: z.object({
      limit: queryInteger(0, 2_147_483_647)
        .transform((limit) => (limit === 0 ? 100 : Math.min(limit, 1_000)))
        .default(100),
      offset: queryInteger(0, 2_147_483_647).default(0),
    }),
  },
  responses: { 200: json(z.array(StateVersion), 'A page') },
});
const download = defineRoute({
  ...read,
  method: 'get',
  path: '/workspaces/{workspace}/state/versions/{version}',
  summary: 'Download a version of the Terraform state',
  request: { params: versionParam },
  responses: {
    200: { description: 'Raw state', content: { 'application/json': { schema: z.any() } } },
    409: { description: 'It is damaged; the detail offers another version' },
    ...noContent,
  },
});
const restore = defineRoute({
  ...change,
  method: 'post',
  path: '/workspaces/{workspace}/state/versions/{version}/restore',
  summary: 'Make an earlier version of the Terraform state the current one',
  request: {
    params: versionParam,
    body: {
      required: false,
      content: {
        'application/json': {
          schema: z
            .object({ force: z.boolean().default(false).openapi({ description: 'Also one of another lineage' }) })
            .openapi('RestoreStateRequest'),
        },
      },
    },
  },
  responses: { 201: json(StateVersion, 'The new current version'), ...refused, ...noContent },
});
const forget = defineRoute({
  ...change,
  method: 'post',
  path: '/workspaces/{workspace}/state/forget',
  summary: 'Take a resource out of the Terraform state and leave the thing itself alone',
  request: {
    params: workspaceParam,
    ...jsonBody(
      z
        .object({
          address: z.string().min(1).max(2_048).openapi({ description: 'A resource, an instance, or a module' }),
        })
        .openapi('ForgetResourceRequest'),
    ),
  },
  responses: {
    201: json(
      StateVersion.extend({ forgotten: z.array(z.string()) }).openapi('ForgottenResources'),
      'The new current version, and the instances that it does not have any more',
    ),
    ...refused,
    ...noContent,
  },
});

/** States of a workspace by version: for those who may update its template. Source: spec/01 §4.2, spec/02 §5.5. */
export function registerWorkspaceStateRoutes(app: App, deps: AppDeps): void {
  const readStateVersion = createReadStateVersion(deps);
  const restoreState = createRestoreState(deps);
  const forgetResource = createForgetResource(deps);

  app.openapi(list, async (c) => {
    const { id: workspaceId } = await getStateWorkspace(deps.db, c.var.subject, c.req.valid('param').workspace);
    const versions = await listStateVersions(deps.db, { workspaceId, ...c.req.valid('query') });
    return c.json(versions.map(stateVersionView), 200);
  });
  app.openapi(download, async (c) => {
    const { workspace: workspaceId, version } = c.req.valid('param');
    const bytes = await readStateVersion(c.var.subject, { workspaceId, version, origin: c.var.origin });
    return c.body(new Uint8Array(bytes), 200, { 'Content-Type': 'application/json' }) as never;
  });
  app.openapi(restore, async (c) => {
    const { workspace: workspaceId, version } = c.req.valid('param');
    const { force = false } = c.req.valid('json') as { force?: boolean };
    const restored = await restoreState(c.var.subject, { workspaceId, version, force, origin: c.var.origin });
    return c.json(stateVersionView(restored), 201);
  });
  app.openapi(forget, async (c) => {
    const { workspace: workspaceId } = c.req.valid('param');
    const { address } = c.req.valid('json');
    const made = await forgetResource(c.var.subject, { workspaceId, address, origin: c.var.origin });
    return c.json({ ...stateVersionView(made.version), forgotten: [...made.forgotten] }, 201);
  });
}
