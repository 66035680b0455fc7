import { z } from '@hono/zod-openapi';
import { addMember, removeMember, setMemberRoles } from '../../commands/members.ts';
import { findMember, listMembers } from '../../db/queries/members.ts';
import type { MemberFilter } from '../../db/queries/members.ts';
import { getOrganizationByRef } from '../../db/queries/organizations.ts';
import { findUserByRef } from '../../db/queries/users.ts';
import { authorize, isAllowed } from '../../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import { parseSearch, searchTerms } from '../../domain/query-language.ts';
import { listOrganizationRoles } from '../../domain/role-assignment.ts';
import type { Subject } from '../../domain/subject.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, organizationRef, pageQuery, userRef } from '../schemas.ts';
import { Member, toMember } from '../views/organization.ts';
import { AssignableRoles, toAssignableRoles } from '../views/user.ts';

const tags = ['Members'];
const params = z.object({ organization: organizationRef() });
const memberParams = params.extend({ user: userRef() });
const q = z.string().max(2000).default('');
const read = { method: 'get', access: { type: 'organization_member', action: 'read' }, tags } as const;
const failure = { resourceType: 'organization_member', param: 'user' } as const;

const list = defineRoute({
  ...read,
  path: '/organizations/{organization}/members',
  summary: 'Members of an organization',
  request: { params, query: z.object({ q }) },
  responses: { 200: json(z.array(Member), 'Members') },
});
const page = defineRoute({
  ...read,
  path: '/organizations/{organization}/paginated-members',
  summary: 'Members of an organization, in pages',
  request: { params, query: z.object({ q, ...pageQuery({ default: 100, maximum: 1000 }) }).omit({ after_id: true }) },
  responses: {
    200: json(
      z.object({ members: z.array(Member), count: z.number().int() }).openapi('PaginatedMembersResponse'),
      'Page',
    ),
  },
});
const roles = defineRoute({
  method: 'get',
  path: '/organizations/{organization}/members/roles',
  access: { type: 'assign_org_role', action: 'read' },
  tags,
  summary: 'Roles of the organization, and which of them the caller may assign',
  request: { params },
  responses: { 200: json(AssignableRoles, 'Roles') },
});
const getOne = defineRoute({
  ...read,
  path: '/organizations/{organization}/members/{user}',
  summary: 'One member; system users are found here',
  request: { params: memberParams },
  responses: { 200: json(Member, 'Member') },
});
const add = defineRoute({
  method: 'post',
  path: '/organizations/{organization}/members/{user}',
  access: { type: 'organization_member', action: 'create' },
  auditFailure: { ...failure, action: 'create' },
  tags,
  summary: 'Add a member',
  request: { params: memberParams },
  responses: { 200: json(Member, 'Member'), 409: json(MessageResponse, 'Already a member') },
});
const remove = defineRoute({
  method: 'delete',
  path: '/organizations/{organization}/members/{user}',
  access: { type: 'organization_member', action: 'delete' },
  auditFailure: { ...failure, action: 'delete' },
  tags,
  summary: 'Remove a member',
  request: { params: memberParams },
  responses: { 204: { description: 'Removed' } },
});
const putRoles = defineRoute({
  method: 'put',
  path: '/organizations/{organization}/members/{user}/roles',
  access: { type: 'assign_org_role', action: 'assign' },
  auditFailure: { ...failure, action: 'write' },
  tags,
  summary: 'Set the roles of a member',
  request: { params: memberParams, ...jsonBody(z.object({ roles: z.array(z.string()).max(100) })) },
  responses: { 200: json(Member, 'Member') },
});

/** `q` of the member lists; system users only for those who manage members. Source: spec/06 §1.3, §4. */
function memberFilter(query: string, subject: Subject, organizationId: string): MemberFilter {
  const search = parseSearch(query, ['user_id', 'github_user_id', 'include_system']);
  if (search.free !== '') throw invalidField('q', 'free text is not searched here');
  const terms = searchTerms(search);
  const userId = terms.text('user_id');
  if (userId !== undefined && !isUuid(userId)) throw invalidField('user_id', 'must be a uuid');
  const includeSystem = terms.boolean('include_system') ?? false;
  if (includeSystem && !isAllowed(subject, 'create', { type: 'organization_member', organizationId }))
    throw new DomainError('FORBIDDEN', 'Only who manages members may see system users');
  // Nobody has a GitHub account here: no row can match.
  const nobody = terms.text('github_user_id') === undefined ? {} : { userId: '00000000-0000-0000-0000-000000000000' };
  return { includeSystem, ...(userId !== undefined && { userId }), ...nobody };
}

/** Source: spec/06 §4. */
export function registerMemberRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const organizationOf = (subject: Subject, ref: string) => getOrganizationByRef(db, subject, ref);
  const placeOf = async (subject: Subject, param: { organization: string; user: string }) => {
    const organization = await organizationOf(subject, param.organization);
    const user = await findUserByRef(db, subject, param.user, { includeSystem: true });
    if (user === undefined) throw notFound();
    return { organizationId: organization.id, userId: user.id };
  };
  app.openapi(list, async (c) => {
    const { id } = await organizationOf(c.var.subject, c.req.valid('param').organization);
    const filter = memberFilter(c.req.valid('query').q, c.var.subject, id);
    const { members } = await listMembers(db, c.var.subject, { organizationId: id, filter, limit: 1000, offset: 0 });
    return c.json(members.map(toMember), 200);
  });
  app.openapi(page, async (c) => {
    const { id } = await organizationOf(c.var.subject, c.req.valid('param').organization);
    const query = c.req.valid('query');
    const { members, count } = await listMembers(db, c.var.subject, {
      organizationId: id,
      filter: memberFilter(query.q, c.var.subject, id),
      limit: query.limit,
      offset: query.offset ?? 0,
    });
    return c.json({ members: members.map(toMember), count }, 200);
  });
  app.openapi(roles, async (c) => {
    const { id } = await organizationOf(c.var.subject, c.req.valid('param').organization);
    authorize(c.var.subject, 'read', { type: 'assign_org_role', organizationId: id });
    return c.json(toAssignableRoles(listOrganizationRoles(c.var.subject, id), id), 200);
  });
  app.openapi(getOne, async (c) => {
    const place = await placeOf(c.var.subject, c.req.valid('param'));
    const member = await findMember(db, place.organizationId, place.userId);
    if (member === undefined) throw notFound();
    authorize(c.var.subject, 'read', {
      type: 'organization_member',
      id: place.userId,
      organizationId: place.organizationId,
      ownerId: place.userId,
    });
    return c.json(toMember(member), 200);
  });
  app.openapi(add, async (c) => {
    const place = await placeOf(c.var.subject, c.req.valid('param'));
    return c.json(toMember(await addMember(deps, callerOf(c), place)), 200);
  });
  app.openapi(remove, async (c) => {
    await removeMember(deps, callerOf(c), await placeOf(c.var.subject, c.req.valid('param')));
    return c.body(null, 204);
  });
  app.openapi(putRoles, async (c) => {
    const place = await placeOf(c.var.subject, c.req.valid('param'));
    const member = await setMemberRoles(deps, callerOf(c), { ...place, roles: c.req.valid('json').roles });
    return c.json(toMember(member), 200);
  });
}
