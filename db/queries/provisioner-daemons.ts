import { and, eq, gt, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { provisionerDaemons, provisionerJobs } from '../schema/provisioner-jobs.ts';

/** A worker without a heartbeat for this long is offline (spec/06 §11). */
export const offlineAfterMs = 90_000;

/** Heartbeat of a provisioner worker process; the first one inserts its row. */
export async function upsertDaemon(
  db: Db,
  daemon: { id: string; name: string; tags: Record<string, string>; version: string; taskQueues: readonly string[] },
): Promise<void> {
  await db.execute(sql`
    insert into provisioner_daemons (id, created_at, name, provisioners, tags, last_seen_at, version, organization_id, task_queues)
    select ${daemon.id}, now(), ${daemon.name}, '{terraform}', ${JSON.stringify(daemon.tags)}::text::jsonb, now(), ${daemon.version},
      o.id, (select coalesce(array_agg(q), '{}') from jsonb_array_elements_text(${JSON.stringify(daemon.taskQueues)}::text::jsonb) q)
    from organizations o where o.is_default
    on conflict (id) do update set last_seen_at = now(), task_queues = excluded.task_queues`);
}

/** A worker that ends tidily is offline at once. */
export async function deleteDaemon(db: Db, id: string): Promise<void> {
  await db.delete(provisionerDaemons).where(eq(provisionerDaemons.id, id));
}

/** Distinct tag sets of template versions and unfinished jobs: what there is to poll for. */
export async function listTagSets(db: Db): Promise<Record<string, string>[]> {
  const rows = await db.execute<{ tags: Record<string, string> }>(sql`
    select distinct tags from provisioner_jobs
    where completed_at is null or id in (select job_id from template_versions where not archived)`);
  return rows.map((row) => row.tags);
}

/** Live workers that poll the queue: count, those seen lately, and when the newest was seen (spec/02 §1.4). */
export async function matchProvisioners(db: Db, taskQueue: string) {
  const [row] = await db
    .select({
      count: sql<number>`count(*)::int`,
      available: sql<number>`(count(*) filter (where ${provisionerDaemons.lastSeenAt} > now() - interval '90 seconds'))::int`,
      mostRecentlySeen: sql<Date | null>`max(${provisionerDaemons.lastSeenAt})`.mapWith(provisionerDaemons.lastSeenAt),
    })
    .from(provisionerDaemons)
    .where(and(sql`${taskQueue} = any(${provisionerDaemons.taskQueues})`));
  return row ?? { count: 0, available: 0, mostRecentlySeen: null };
}

/** Jobs of a worker that are running now. */
export async function countRunningJobs(db: Db, workerId: string): Promise<number> {
  const [row] = await db
    .select({ count: sql<number>`count(*)::int` })
    .from(provisionerJobs)
    .where(
      and(
        eq(provisionerJobs.workerId, workerId),
        eq(provisionerJobs.jobStatus, 'running'),
        gt(provisionerJobs.attempt, 0),
      ),
    );
  return row?.count ?? 0;
}
