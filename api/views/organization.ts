import { z } from '@hono/zod-openapi';
import type { MemberRow } from '../../db/queries/members.ts';
import type { OrganizationRow } from '../../db/queries/organizations.ts';
import { loginTypes, userStatuses } from '../../db/queries/users.ts';
import { isOrganizationRole, organizationRoles } from '../../domain/roles.ts';
import { timestamp, toWireTime, uuid } from '../schemas.ts';
import { SlimRole, toSlimRoles } from './user.ts';

export const Organization = z
  .object({
    id: uuid(),
    name: z.string(),
    display_name: z.string(),
    description: z.string(),
    icon: z.string(),
    created_at: timestamp(),
    updated_at: timestamp(),
    is_default: z.boolean(),
    default_org_member_roles: z.array(z.string()),
  })
  .openapi('Organization');

export const toOrganization = (row: OrganizationRow): z.input<typeof Organization> => ({
  id: row.id,
  name: row.name,
  display_name: row.displayName === '' ? row.name : row.displayName,
  description: row.description,
  icon: row.icon,
  created_at: toWireTime(row.createdAt),
  updated_at: toWireTime(row.updatedAt),
  is_default: row.isDefault,
  default_org_member_roles: row.defaultOrgMemberRoles,
});

export const Member = z
  .object({
    user_id: uuid(),
    organization_id: uuid(),
    created_at: timestamp(),
    updated_at: timestamp(),
    roles: z.array(SlimRole),
    username: z.string(),
    name: z.string(),
    avatar_url: z.string(),
    email: z.string(),
    global_roles: z.array(SlimRole),
    status: z.enum(userStatuses),
    login_type: z.enum(loginTypes),
    last_seen_at: timestamp(),
    is_service_account: z.boolean(),
  })
  .openapi('OrganizationMemberWithUserData');

export const toMember = (row: MemberRow): z.input<typeof Member> => ({
  user_id: row.userId,
  organization_id: row.organizationId,
  created_at: toWireTime(row.createdAt),
  updated_at: toWireTime(row.updatedAt),
  roles: row.roles.map((name) => ({
    name,
    display_name: isOrganizationRole(name) ? organizationRoles[name].displayName : name,
    organization_id: row.organizationId,
  })),
  username: row.username,
  name: row.name,
  avatar_url: row.avatarUrl,
  email: row.email,
  global_roles: toSlimRoles(row.siteRoles),
  status: row.status,
  login_type: row.loginType,
  last_seen_at: toWireTime(row.lastSeenAt),
  is_service_account: row.isServiceAccount,
});
