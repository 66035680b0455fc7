import { randomUUID } from 'node:crypto';
import { and, eq, sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { Db } from '../client.ts';
import { groups } from '../schema/users.ts';
import { changeGroupMembers } from './groups.ts';
import { insertMember } from './members.ts';

/** Its allowance is what pools of the organization may cost; administrators raise it. Source: spec/03 §2. */
const prebuildsGroup = { name: 'coderprebuiltworkspaces', displayName: 'Prebuilt Workspaces', quotaAllowance: 0 };

export interface PrebuildMembership {
  readonly organizationId: string;
  readonly organizationName: string;
  readonly isMember: boolean;
  readonly groupId: string | null;
  readonly isInGroup: boolean;
}

/** Organizations with pools, and what their prebuilds user still lacks there. */
export async function listPrebuildMemberships(db: Db): Promise<PrebuildMembership[]> {
  const rows = await db.execute<{
    organization_id: string;
    organization_name: string;
    is_member: boolean;
    group_id: string | null;
    is_in_group: boolean;
  }>(sql`
    select o.id as organization_id, o.name as organization_name, g.id as group_id,
      exists (select from organization_members m where m.organization_id = o.id and m.user_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid) as is_member,
      exists (select from group_members m where m.group_id = g.id and m.user_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid) as is_in_group
    from organizations o
    left join groups g on g.organization_id = o.id and lower(g.name) = ${prebuildsGroup.name}
    where o.deleted = false and exists (
      select from templates t join template_version_presets p on p.template_version_id = t.active_version_id
      where t.organization_id = o.id and t.deleted = false and p.desired_instances is not null)
    order by o.name`);
  return rows.map((row) => ({
    organizationId: row.organization_id,
    organizationName: row.organization_name,
    isMember: row.is_member,
    groupId: row.group_id,
    isInGroup: row.is_in_group,
  }));
}

/** Adds what is missing and changes nothing that is there; two at once both succeed. */
export async function addPrebuildMembership(tx: Db, state: PrebuildMembership, now: Date): Promise<void> {
  const { organizationId } = state;
  const userId = PREBUILDS_SYSTEM_USER_ID;
  if (!state.isMember) await insertMember(tx, { organizationId, userId, roles: [], now });
  const groupId = state.groupId ?? (await ensureGroup(tx, organizationId));
  if (!state.isInGroup) await changeGroupMembers(tx, groupId, { add: [userId], remove: [] });
}

/** Its id, whoever inserted it. */
async function ensureGroup(tx: Db, organizationId: string): Promise<string> {
  await tx
    .insert(groups)
    .values({ id: randomUUID(), organizationId, ...prebuildsGroup })
    .onConflictDoNothing();
  const [group] = await tx
    .select({ id: groups.id })
    .from(groups)
    .where(and(eq(groups.organizationId, organizationId), sql`lower(${groups.name}) = ${prebuildsGroup.name}`));
  return group!.id;
}
