import { z } from '@hono/zod-openapi';
import { changePassword } from '../../commands/change-password.ts';
import { createUser, deleteUser, setSiteRoles, setUserStatus, updateProfile } from '../../commands/users.ts';
import { findMembershipRoles } from '../../db/queries/members.ts';
import { getUserByRef, getUserToChange, listUsers, loginTypes, userStatuses } from '../../db/queries/users.ts';
import type { UserFilter } from '../../db/queries/users.ts';
import { parseSearch, searchTerms } from '../../domain/query-language.ts';
import { listSiteRoles } from '../../domain/role-assignment.ts';
import { siteRoles } from '../../domain/roles.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, pageQuery, paged, userRef, uuid } from '../schemas.ts';
import { AssignableRoles, User, toAssignableRoles, toUser } from '../views/user.ts';

const conflict = json(MessageResponse, 'Address or name taken; `validations` names the field');
const NewUser = z
  .object({
    email: z.string().default(''),
    username: z.string(),
    name: z.string().default(''),
    password: z.string().default(''),
    login_type: z.enum(['password', 'none', 'github', 'oidc', '']).default('password'),
    user_status: z.enum(['active', 'dormant']).nullish(),
    organization_ids: z.array(uuid()).default([]),
    service_account: z.boolean().default(false),
  })
  .openapi('CreateUserRequestWithOrgs');
const UserRoles = z
  .object({ roles: z.array(z.string()), organization_roles: z.record(z.string(), z.array(z.string())) })
  .openapi('UserRoles');

const tags = ['Users'];
const params = z.object({ user: userRef() });
const list = defineRoute({
  method: 'get',
  path: '/users',
  access: { type: 'user', action: 'read' },
  tags,
  summary: 'Users that the caller may read',
  request: {
    query: paged(z.object({ q: z.string().max(2000).default(''), ...pageQuery({ default: 100, maximum: 1000 }) })),
  },
  responses: {
    200: json(z.object({ users: z.array(User), count: z.number().int() }).openapi('GetUsersResponse'), 'Page'),
  },
});
const create = defineRoute({
  method: 'post',
  path: '/users',
  access: { type: 'user', action: 'create' },
  auditFailure: { resourceType: 'user', action: 'create' },
  tags,
  summary: 'Create a user',
  request: jsonBody(NewUser),
  responses: { 201: json(User, 'Created'), 409: conflict },
});
const roleList = defineRoute({
  method: 'get',
  path: '/users/roles',
  access: { type: 'assign_role', action: 'read' },
  tags,
  summary: 'Site roles, and which of them the caller may assign',
  responses: { 200: json(AssignableRoles, 'Roles') },
});
const getOne = defineRoute({
  method: 'get',
  path: '/users/{user}',
  access: { type: 'user', action: 'read' },
  tags,
  summary: 'One user',
  request: { params },
  responses: { 200: json(User, 'User') },
});
const remove = defineRoute({
  method: 'delete',
  path: '/users/{user}',
  access: { type: 'user', action: 'delete' },
  auditFailure: { resourceType: 'user', action: 'delete', param: 'user' },
  tags,
  summary: 'Delete a user who owns no workspace',
  request: { params },
  responses: { 200: json(MessageResponse, 'Deleted'), 417: json(MessageResponse, 'The user still owns workspaces') },
});
const writes = { auditFailure: { resourceType: 'user', action: 'write', param: 'user' }, tags } as const;
const profile = defineRoute({
  ...writes,
  method: 'put',
  path: '/users/{user}/profile',
  access: { type: 'user', action: 'update_personal' },
  summary: 'Change username and full name',
  request: { params, ...jsonBody(z.object({ username: z.string(), name: z.string().default('') })) },
  responses: { 200: json(User, 'User'), 409: conflict },
});
const password = defineRoute({
  ...writes,
  method: 'put',
  path: '/users/{user}/password',
  access: { type: 'user', action: 'update_personal' },
  rateLimit: 'login',
  summary: 'Change a password; ends all sessions of the user',
  request: {
    params,
    ...jsonBody(z.object({ old_password: z.string().max(1024).default(''), password: z.string().max(1024) })),
  },
  responses: { 204: { description: 'Changed' } },
});
const status = (path: '/users/{user}/status/suspend' | '/users/{user}/status/activate', summary: string) =>
  defineRoute({
    ...writes,
    method: 'put',
    path,
    access: { type: 'user', action: 'update' },
    summary,
    request: { params },
    responses: { 200: json(User, 'User') },
  });
const suspend = status('/users/{user}/status/suspend', 'Suspend a user; ends the sessions');
const activate = status('/users/{user}/status/activate', 'Activate a user');
const getRoles = defineRoute({
  method: 'get',
  path: '/users/{user}/roles',
  access: { type: 'user', action: 'read' },
  tags,
  summary: 'Roles of a user, here and in organizations',
  request: { params },
  responses: { 200: json(UserRoles, 'Roles') },
});
const putRoles = defineRoute({
  ...writes,
  method: 'put',
  path: '/users/{user}/roles',
  access: { type: 'assign_role', action: 'assign' },
  summary: 'Set the site roles of a user',
  request: { params, ...jsonBody(z.object({ roles: z.array(z.string()).max(100) })) },
  responses: { 200: json(User, 'User') },
});

const searchKeys = [
  'status',
  'role',
  'login_type',
  'name',
  'last_seen_after',
  'last_seen_before',
  'created_after',
  'created_before',
  'service_account',
  'github_com_user_id',
];

/** Filter of `GET /users?q=`. Source: spec/06 §1.3. */
export function userFilter(query: string): UserFilter {
  const search = parseSearch(query, searchKeys, { multiple: ['status', 'role', 'login_type'] });
  const terms = searchTerms(search);
  const found = {
    search: search.free === '' ? undefined : search.free,
    name: terms.text('name'),
    statuses: terms.oneOf('status', userStatuses),
    roles: terms.oneOf('role', ['member', ...Object.keys(siteRoles)]),
    loginTypes: terms.oneOf('login_type', loginTypes),
    lastSeenAfter: terms.instant('last_seen_after'),
    lastSeenBefore: terms.instant('last_seen_before'),
    createdAfter: terms.instant('created_after'),
    createdBefore: terms.instant('created_before'),
    serviceAccount: terms.boolean('service_account'),
    // Nobody signs in through GitHub here, so no user has such an id.
    ...(terms.text('github_com_user_id') !== undefined && { statuses: [] }),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

/** Source: spec/06 §3. */
export function registerUserRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  app.openapi(list, async (c) => {
    const { q, limit, offset, after_id: afterId } = c.req.valid('query');
    const page = await listUsers(db, c.var.subject, { filter: userFilter(q), limit, offset, afterId });
    return c.json({ users: page.users.map(toUser), count: page.count }, 200);
  });
  app.openapi(create, async (c) => {
    const body = c.req.valid('json');
    const user = await createUser(deps, callerOf(c), {
      email: body.email,
      username: body.username,
      name: body.name,
      password: body.password,
      loginType: body.login_type === '' ? 'password' : body.login_type,
      status: body.user_status ?? 'dormant',
      organizationIds: body.organization_ids,
      serviceAccount: body.service_account,
    });
    return c.json(toUser(user), 201);
  });
  app.openapi(roleList, (c) => c.json(toAssignableRoles(listSiteRoles(c.var.subject)), 200));
  app.openapi(getOne, async (c) =>
    c.json(toUser(await getUserByRef(db, c.var.subject, c.req.valid('param').user)), 200),
  );
  app.openapi(remove, async (c) => {
    const user = await getUserToChange(db, c.var.subject, c.req.valid('param').user);
    await deleteUser(deps, callerOf(c), user.id);
    return c.json({ message: 'The user has been deleted' }, 200);
  });
  app.openapi(profile, async (c) => {
    const user = await getUserToChange(db, c.var.subject, c.req.valid('param').user);
    return c.json(toUser(await updateProfile(deps, callerOf(c), { userId: user.id, ...c.req.valid('json') })), 200);
  });
  app.openapi(password, async (c) => {
    const user = await getUserToChange(db, c.var.subject, c.req.valid('param').user);
    const body = c.req.valid('json');
    await changePassword(deps, callerOf(c), {
      userId: user.id,
      oldPassword: body.old_password,
      password: body.password,
    });
    return c.body(null, 204);
  });
  for (const [route, to] of [
    [suspend, 'suspended'],
    [activate, 'active'],
  ] as const)
    app.openapi(route, async (c) => {
      const user = await getUserToChange(db, c.var.subject, c.req.valid('param').user);
      return c.json(toUser(await setUserStatus(deps, callerOf(c), { userId: user.id, status: to })), 200);
    });
  app.openapi(getRoles, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    return c.json(
      { roles: user.rbacRoles, organization_roles: await findMembershipRoles(db, c.var.subject, user.id) },
      200,
    );
  });
  app.openapi(putRoles, async (c) => {
    const user = await getUserToChange(db, c.var.subject, c.req.valid('param').user);
    const { roles } = c.req.valid('json');
    return c.json(toUser(await setSiteRoles(deps, callerOf(c), { userId: user.id, roles })), 200);
  });
}
