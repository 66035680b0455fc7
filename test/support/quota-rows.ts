import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import type { Db } from '../../db/client.ts';
import { insertGroup } from '../../db/queries/groups.ts';
import { groupMembers, groups } from '../../db/schema/users.ts';

/** What everybody in the organization may spend a day. */
export async function allowEveryone(db: Db, organizationId: string, quotaAllowance: number): Promise<void> {
  await db.update(groups).set({ quotaAllowance }).where(eq(groups.id, organizationId));
}

/** A group with an allowance of its own. */
export async function insertQuotaGroup(
  db: Db,
  group: { organizationId: string; quotaAllowance: number; members: readonly string[] },
): Promise<void> {
  const id = randomUUID();
  const { organizationId, quotaAllowance, members } = group;
  await insertGroup(db, { id, name: `group-${id.slice(0, 8)}`, organizationId, quotaAllowance });
  if (members.length > 0) await db.insert(groupMembers).values(members.map((userId) => ({ groupId: id, userId })));
}

/** Lets the latest build of a workspace cost so much, as its run would have written it. */
export async function setCost(db: Db, workspaceId: string, cost: number): Promise<void> {
  await db.execute(
    sql`update workspace_builds set daily_cost = ${cost} where workspace_id = ${workspaceId} and is_latest`,
  );
}
