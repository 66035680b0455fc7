import { z } from '@hono/zod-openapi';
import type { UserRow } from '../../db/queries/users.ts';
import { loginTypes, userStatuses } from '../../db/queries/users.ts';
import type { AssignableRole } from '../../domain/role-assignment.ts';
import { isSiteRole, siteRoles } from '../../domain/roles.ts';
import { timestamp, toWireTime, uuid } from '../schemas.ts';

export const SlimRole = z
  .object({ name: z.string(), display_name: z.string(), organization_id: z.string().optional() })
  .openapi('SlimRole');

export const User = z
  .object({
    id: uuid(),
    username: z.string(),
    name: z.string(),
    avatar_url: z.string(),
    email: z.string(),
    created_at: timestamp(),
    updated_at: timestamp(),
    last_seen_at: timestamp(),
    status: z.enum(userStatuses),
    login_type: z.enum(loginTypes),
    theme_preference: z.string(),
    organization_ids: z.array(uuid()),
    roles: z.array(SlimRole),
    is_service_account: z.boolean(),
  })
  .openapi('User');

/** Site roles with their display names; a name that this version does not know is shown as it is stored. */
export const toSlimRoles = (names: readonly string[]): z.input<typeof SlimRole>[] =>
  names.map((name) => ({ name, display_name: isSiteRole(name) ? siteRoles[name].displayName : name }));

export const toUser = (row: UserRow): z.input<typeof User> => ({
  id: row.id,
  username: row.username,
  name: row.name,
  avatar_url: row.avatarUrl,
  email: row.email,
  created_at: toWireTime(row.createdAt),
  updated_at: toWireTime(row.updatedAt),
  last_seen_at: toWireTime(row.lastSeenAt),
  status: row.status,
  login_type: row.loginType,
  theme_preference: row.themePreference,
  organization_ids: row.organizationIds,
  roles: toSlimRoles(row.rbacRoles),
  is_service_account: row.isServiceAccount,
});

export const AssignableRoles = z
  .array(
    z.object({
      name: z.string(),
      display_name: z.string(),
      organization_id: z.string(),
      assignable: z.boolean(),
      built_in: z.boolean(),
    }),
  )
  .openapi('AssignableRoles');

export const toAssignableRoles = (
  roles: readonly AssignableRole[],
  organizationId = '',
): z.input<typeof AssignableRoles> =>
  roles.map(({ name, displayName, assignable }) => ({
    name,
    display_name: displayName,
    organization_id: organizationId,
    assignable,
    built_in: true,
  }));
