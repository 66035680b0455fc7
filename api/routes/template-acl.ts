import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { updateTemplateAcl } from '../../commands/update-template-acl.ts';
import { listGroups, listGroupsByIds } from '../../db/queries/groups.ts';
import { listMembers } from '../../db/queries/members.ts';
import { findTemplate } from '../../db/queries/templates.ts';
import { listUsersByIds } from '../../db/queries/users.ts';
import { authorize, templateObject } from '../../domain/authorization.ts';
import { notFound } from '../../domain/errors.ts';
import { callerOf } from '../context.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, uuid } from '../schemas.ts';
import { User, toUser } from '../views/user.ts';
import { Group, toGroup } from './groups.ts';

const role = z.enum(['admin', 'use']);
const TemplateAcl = z
  .object({ users: z.array(User.extend({ role })), group: z.array(Group.extend({ role })) })
  .openapi('TemplateACL');
const AvailableForAcl = z
  .object({
    users: z.array(z.object({ id: z.string(), username: z.string(), name: z.string(), avatar_url: z.string() })),
    groups: z.array(Group),
  })
  .openapi('ACLAvailable');
/** uuid → `admin`, `use`, or empty to remove. */
const permissions = z.record(z.string(), z.string()).nullish();
const UpdateTemplateAcl = z.object({ user_perms: permissions, group_perms: permissions }).openapi('UpdateTemplateACL');

const params = z.object({ template: uuid() });
const common = { tags: ['Templates'], access: { type: 'template', action: 'update' } } as const;
const get = defineRoute({
  ...common,
  method: 'get',
  path: '/templates/{template}/acl',
  summary: 'Who may use or administer a template',
  request: { params },
  responses: { 200: json(TemplateAcl, 'Users and groups with their roles') },
});
const available = defineRoute({
  ...common,
  method: 'get',
  path: '/templates/{template}/acl/available',
  summary: 'Users and groups that can be given a role',
  request: { params },
  responses: { 200: json(AvailableForAcl, 'Members and groups of the organization') },
});
const patch = defineRoute({
  ...common,
  method: 'patch',
  path: '/templates/{template}/acl',
  summary: 'Give and take roles on a template',
  auditFailure: { resourceType: 'template', action: 'write', param: 'template' },
  request: { params, ...jsonBody(UpdateTemplateAcl) },
  responses: { 200: json(MessageResponse, 'Changed') },
});

type Acl = Readonly<Record<string, readonly string[]>>;
/** The strongest role of an entry; `admin` includes `use`. */
const roleIn = (acl: Acl, id: string) => (acl[id]?.includes('admin') === true ? ('admin' as const) : ('use' as const));

/** Source: spec/06 §6, spec/07 §5. */
export function registerTemplateAclRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const administered = async (c: Context<ApiEnv>, id: string) => {
    const template = await findTemplate(db, id);
    if (template === undefined || template.deleted) throw notFound();
    authorize(c.var.subject, 'update', templateObject(template));
    return template;
  };
  app.openapi(get, async (c) => {
    const { userAcl, groupAcl } = await administered(c, c.req.valid('param').template);
    const [users, groups] = await Promise.all([
      listUsersByIds(db, Object.keys(userAcl)),
      listGroupsByIds(db, Object.keys(groupAcl)),
    ]);
    return c.json(
      {
        users: users.map((user) => ({ ...toUser(user), role: roleIn(userAcl, user.id) })),
        group: groups.map((group) => ({ ...toGroup(group), role: roleIn(groupAcl, group.id) })),
      },
      200,
    );
  });
  app.openapi(available, async (c) => {
    const { organizationId } = await administered(c, c.req.valid('param').template);
    const filter = { includeSystem: false };
    const [{ members }, groups] = await Promise.all([
      listMembers(db, c.var.subject, { organizationId, filter, limit: 1000, offset: 0 }),
      listGroups(db, c.var.subject, { organizationId }),
    ]);
    const users = members.map((member) => ({
      id: member.userId,
      username: member.username,
      name: member.name,
      avatar_url: member.avatarUrl,
    }));
    return c.json({ users, groups: groups.map(toGroup) }, 200);
  });
  app.openapi(patch, async (c) => {
    const body = c.req.valid('json');
    await updateTemplateAcl(deps, callerOf(c), {
      templateId: c.req.valid('param').template,
      users: body.user_perms ?? {},
      groups: body.group_perms ?? {},
    });
    return c.json({ message: 'The permissions have been changed' }, 200);
  });
}
