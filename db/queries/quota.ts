import { type SQL, sql } from 'drizzle-orm';
import type { QuotaFacts } from '../../domain/quota.ts';
import { type Db, pipelined } from '../client.ts';

export interface QuotaPlace {
  readonly ownerId: string;
  readonly organizationId: string;
}

/** Far longer than any holder needs: it decides, and commits. */
const lockTimeout = sql.raw(`set local lock_timeout = '30s'`);

/**
 * Those who spend one owner's budget do so one after the other: until the transaction ends nobody else decides. What is read has to
 * be a later statement, which sees what the holder before has committed. Throws SQLSTATE 55P03 when that takes too long.
 */
export async function lockQuota(tx: Db, { ownerId, organizationId }: QuotaPlace): Promise<void> {
  await pipelined([
    tx.execute(lockTimeout),
    tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`berth-quota/${organizationId}/${ownerId}`}, 0))`),
  ]);
}

/** Sum of the allowances of the owner's groups; Everyone has the organization's id, and no membership rows. */
export const budgetOf = (owner: SQL, organization: SQL): SQL => sql`(
  select coalesce(sum(g.quota_allowance), 0)::float8 from groups g
  where g.organization_id = ${organization} and (g.id = g.organization_id
    or exists (select from group_members m where m.group_id = g.id and m.user_id = ${owner})))`;

/**
 * What a workspace costs: what its latest build has committed, 0 until it has. A build that ended before it changed anything (it was
 * refused, canceled in time, or could not be planned) leaves what was there, and so does a delete that failed: the build before
 * tells the cost then.
 */
const costOf = (workspace: SQL, before?: SQL): SQL => sql`coalesce((
  select b.daily_cost from workspace_builds b join provisioner_jobs j on j.id = b.job_id
  where b.workspace_id = ${workspace} ${before === undefined ? sql`` : sql`and b.build_number < ${before}`} and (
    (b.active and j.error_code is distinct from 'INSUFFICIENT_QUOTA') or j.job_status = 'succeeded'
    or (j.unsettled is not null and not b.refresh_only and b.transition <> 'delete'))
  order by b.build_number desc limit 1), 0)::float8`;

/** What the owner's workspaces in the organization cost together. */
export const consumedBy = (owner: SQL, organization: SQL, except?: string): SQL => sql`(
  select coalesce(sum(${costOf(sql`w.id`)}), 0) from workspaces w
  where w.owner_id = ${owner} and w.organization_id = ${organization} and w.deleted = false
    ${except === undefined ? sql`` : sql`and w.id <> ${except}::uuid`})`;

const placeOf = ({ ownerId, organizationId }: QuotaPlace): [SQL, SQL] => [
  sql`${ownerId}::uuid`,
  sql`${organizationId}::uuid`,
];

export async function findQuota(db: Db, place: QuotaPlace): Promise<{ budget: number; consumed: number }> {
  const [row] = await db.execute<{ budget: number; consumed: number }>(sql`
    select ${budgetOf(...placeOf(place))} as budget, ${consumedBy(...placeOf(place))} as consumed`);
  return { budget: row!.budget, consumed: row!.consumed };
}

/** What a build's cost is compared with. Its own workspace is left out, so that a run that asks again does not count itself. */
export async function findQuotaOf(
  db: Db,
  build: QuotaPlace & { readonly workspaceId: string; readonly buildNumber: number },
): Promise<Omit<QuotaFacts, 'cost'>> {
  const { workspaceId, buildNumber } = build;
  const [row] = await db.execute<Omit<QuotaFacts, 'cost'>>(sql`
    select ${budgetOf(...placeOf(build))} as budget, ${consumedBy(...placeOf(build), workspaceId)} as consumed,
      ${costOf(sql`${workspaceId}::uuid`, sql`${buildNumber}::int`)} as previous`);
  return { budget: row!.budget, consumed: row!.consumed, previous: row!.previous };
}

/** Writes what a build costs, or would cost; the caller has locked its job. A refusal counts from now on, not when the job ends. */
export async function setBuildCost(
  tx: Db,
  build: { readonly buildId: string; readonly jobId: string; readonly cost: number; readonly granted: boolean },
): Promise<void> {
  await pipelined([
    tx.execute(sql`update workspace_builds set daily_cost = ${build.cost} where id = ${build.buildId}`),
    tx.execute(sql`
      update provisioner_jobs set error_code = ${build.granted ? null : 'INSUFFICIENT_QUOTA'} where id = ${build.jobId}`),
  ]);
}
