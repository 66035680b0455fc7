import { z } from '@hono/zod-openapi';
import { changeOrganization, createOrganization, deleteOrganization } from '../../commands/organizations.ts';
import { getOrganizationByRef, listOrganizations } from '../../db/queries/organizations.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, organizationRef } from '../schemas.ts';
import { Organization, toOrganization } from '../views/organization.ts';

const fields = {
  display_name: z.string().optional(),
  description: z.string().optional(),
  icon: z.string().optional(),
};
const NewOrganization = z.object({ name: z.string(), ...fields }).openapi('CreateOrganizationRequest');
const OrganizationPatch = z
  .object({ name: z.string().optional(), ...fields, default_org_member_roles: z.array(z.string()).optional() })
  .openapi('UpdateOrganizationRequest');

const tags = ['Organizations'];
const params = z.object({ organization: organizationRef() });
const conflict = json(MessageResponse, 'Name taken, or not empty');
const list = defineRoute({
  method: 'get',
  path: '/organizations',
  access: { type: 'organization', action: 'read' },
  tags,
  summary: 'Organizations that the caller may read',
  responses: { 200: json(z.array(Organization), 'Organizations') },
});
const create = defineRoute({
  method: 'post',
  path: '/organizations',
  access: { type: 'organization', action: 'create' },
  auditFailure: { resourceType: 'organization', action: 'create' },
  tags,
  summary: 'Create an organization',
  request: jsonBody(NewOrganization),
  responses: { 201: json(Organization, 'Created'), 409: conflict },
});
const getOne = defineRoute({
  method: 'get',
  path: '/organizations/{organization}',
  access: { type: 'organization', action: 'read' },
  tags,
  summary: 'One organization',
  request: { params },
  responses: { 200: json(Organization, 'Organization') },
});
const patch = defineRoute({
  method: 'patch',
  path: '/organizations/{organization}',
  access: { type: 'organization', action: 'update' },
  auditFailure: { resourceType: 'organization', action: 'write', param: 'organization' },
  tags,
  summary: 'Change an organization; absent fields stay',
  request: { params, ...jsonBody(OrganizationPatch) },
  responses: { 200: json(Organization, 'Organization'), 409: conflict },
});
const remove = defineRoute({
  method: 'delete',
  path: '/organizations/{organization}',
  access: { type: 'organization', action: 'delete' },
  auditFailure: { resourceType: 'organization', action: 'delete', param: 'organization' },
  tags,
  summary: 'Delete an empty organization',
  request: { params },
  responses: { 200: json(MessageResponse, 'Deleted'), 409: conflict },
});

/** Source: spec/06 §4. */
export function registerOrganizationRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  app.openapi(list, async (c) => c.json((await listOrganizations(db, c.var.subject)).map(toOrganization), 200));
  app.openapi(create, async (c) => {
    const { name, display_name: displayName, description, icon } = c.req.valid('json');
    const created = await createOrganization(deps, callerOf(c), { name, displayName, description, icon });
    return c.json(toOrganization(created), 201);
  });
  app.openapi(getOne, async (c) =>
    c.json(toOrganization(await getOrganizationByRef(db, c.var.subject, c.req.valid('param').organization)), 200),
  );
  app.openapi(patch, async (c) => {
    const { id } = await getOrganizationByRef(db, c.var.subject, c.req.valid('param').organization);
    const body = c.req.valid('json');
    const changed = await changeOrganization(deps, callerOf(c), {
      id,
      name: body.name,
      displayName: body.display_name,
      description: body.description,
      icon: body.icon,
      defaultOrgMemberRoles: body.default_org_member_roles,
    });
    return c.json(toOrganization(changed), 200);
  });
  app.openapi(remove, async (c) => {
    const { id } = await getOrganizationByRef(db, c.var.subject, c.req.valid('param').organization);
    await deleteOrganization(deps, callerOf(c), id);
    return c.json({ message: 'The organization has been deleted' }, 200);
  });
}
