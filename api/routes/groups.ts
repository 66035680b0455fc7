import { z } from '@hono/zod-openapi';
import { changeGroup, createGroup, deleteGroup } from '../../commands/groups.ts';
import { getGroup, listGroups } from '../../db/queries/groups.ts';
import type { GroupRow } from '../../db/queries/groups.ts';
import { getOrganizationByRef } from '../../db/queries/organizations.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, organizationRef, queryBoolean, uuid } from '../schemas.ts';

const maxInt = 2_147_483_647;
export const Group = z
  .object({
    id: uuid(),
    name: z.string(),
    display_name: z.string(),
    organization_id: uuid(),
    organization_name: z.string(),
    organization_display_name: z.string(),
    members: z.array(z.object({ id: uuid(), username: z.string(), name: z.string(), avatar_url: z.string() })),
    total_member_count: z.number().int(),
    avatar_url: z.string(),
    quota_allowance: z.number().int(),
    source: z.enum(['user', 'oidc']),
  })
  .openapi('Group');
export type GroupBody = z.infer<typeof Group>;
const NewGroup = z
  .object({
    name: z.string(),
    display_name: z.string().optional(),
    avatar_url: z.string().optional(),
    quota_allowance: z.number().int().max(maxInt).optional(),
  })
  .openapi('CreateGroupRequest');
const GroupPatch = NewGroup.partial()
  .extend({ add_users: z.array(uuid()).max(1000).default([]), remove_users: z.array(uuid()).max(1000).default([]) })
  .openapi('PatchGroupRequest');

export const toGroup = (row: GroupRow): z.input<typeof Group> => ({
  id: row.id,
  name: row.name,
  display_name: row.displayName,
  organization_id: row.organizationId,
  organization_name: row.organizationName,
  organization_display_name: row.organizationDisplayName,
  members: row.members,
  total_member_count: row.members.length,
  avatar_url: row.avatarUrl,
  quota_allowance: row.quotaAllowance,
  source: row.source,
});

const tags = ['Groups'];
const params = z.object({ group: uuid() });
const conflict = json(MessageResponse, 'Name taken');
const listAll = defineRoute({
  method: 'get',
  path: '/groups',
  access: { type: 'group', action: 'read' },
  tags,
  summary: 'Groups that the caller may read',
  request: { query: z.object({ organization: organizationRef().optional() }) },
  responses: { 200: json(z.array(Group), 'Groups') },
});
const list = defineRoute({
  method: 'get',
  path: '/organizations/{organization}/groups',
  access: { type: 'group', action: 'read' },
  tags,
  summary: 'Groups of an organization',
  request: { params: z.object({ organization: organizationRef() }) },
  responses: { 200: json(z.array(Group), 'Groups') },
});
const create = defineRoute({
  method: 'post',
  path: '/organizations/{organization}/groups',
  access: { type: 'group', action: 'create' },
  auditFailure: { resourceType: 'group', action: 'create' },
  tags,
  summary: 'Create a group',
  request: { params: z.object({ organization: organizationRef() }), ...jsonBody(NewGroup) },
  responses: { 201: json(Group, 'Created'), 409: conflict },
});
const getOne = defineRoute({
  method: 'get',
  path: '/groups/{group}',
  access: { type: 'group', action: 'read' },
  tags,
  summary: 'One group; its system users only for those who may change it',
  request: { params, query: z.object({ include_system: queryBoolean().optional() }) },
  responses: { 200: json(Group, 'Group') },
});
const patch = defineRoute({
  method: 'patch',
  path: '/groups/{group}',
  access: { type: 'group', action: 'update' },
  auditFailure: { resourceType: 'group', action: 'write', param: 'group' },
  tags,
  summary: 'Change a group and its members',
  request: { params, ...jsonBody(GroupPatch) },
  responses: { 200: json(Group, 'Group'), 409: conflict },
});
const remove = defineRoute({
  method: 'delete',
  path: '/groups/{group}',
  access: { type: 'group', action: 'delete' },
  auditFailure: { resourceType: 'group', action: 'delete', param: 'group' },
  tags,
  summary: 'Delete a group',
  request: { params },
  responses: { 200: json(MessageResponse, 'Deleted') },
});

/** Source: spec/07 §2. */
export function registerGroupRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  app.openapi(listAll, async (c) => {
    const { organization } = c.req.valid('query');
    const place =
      organization === undefined
        ? {}
        : { organizationId: (await getOrganizationByRef(db, c.var.subject, organization)).id };
    return c.json((await listGroups(db, c.var.subject, place)).map(toGroup), 200);
  });
  app.openapi(list, async (c) => {
    const { id } = await getOrganizationByRef(db, c.var.subject, c.req.valid('param').organization);
    return c.json((await listGroups(db, c.var.subject, { organizationId: id })).map(toGroup), 200);
  });
  app.openapi(create, async (c) => {
    const { id } = await getOrganizationByRef(db, c.var.subject, c.req.valid('param').organization);
    const body = c.req.valid('json');
    const group = await createGroup(deps, callerOf(c), {
      organizationId: id,
      name: body.name,
      displayName: body.display_name,
      avatarUrl: body.avatar_url,
      quotaAllowance: body.quota_allowance,
    });
    return c.json(toGroup(group), 201);
  });
  app.openapi(getOne, async (c) => {
    const includeSystem = c.req.valid('query').include_system ?? false;
    return c.json(toGroup(await getGroup(db, c.var.subject, c.req.valid('param').group, { includeSystem })), 200);
  });
  app.openapi(patch, async (c) => {
    const body = c.req.valid('json');
    const group = await changeGroup(deps, callerOf(c), {
      id: c.req.valid('param').group,
      name: body.name,
      displayName: body.display_name,
      avatarUrl: body.avatar_url,
      quotaAllowance: body.quota_allowance,
      addUsers: body.add_users,
      removeUsers: body.remove_users,
    });
    return c.json(toGroup(group), 200);
  });
  app.openapi(remove, async (c) => {
    await deleteGroup(deps, callerOf(c), c.req.valid('param').group);
    return c.json({ message: 'The group has been deleted' }, 200);
  });
}
