import { and, desc, eq, gt, inArray, lt, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { provisionerDaemons, provisionerJobs } from '../schema/provisioner-jobs.ts';

/** A worker without a heartbeat for this long is offline (spec/06 §11). */
export const offlineAfterMs = 90_000;

/** Heartbeat of a provisioner worker process; the first one inserts its row. */
export async function upsertDaemon(
  db: Db,
  daemon: {
    id: string;
    name: string;
    tags: Record<string, string>;
    version: string;
    taskQueues: readonly string[];
    /** Terraform runs at once. */
    slots?: number;
  },
): Promise<void> {
  await db.execute(sql`
    insert into provisioner_daemons (id, created_at, name, provisioners, tags, last_seen_at, version, organization_id, task_queues, slots)
    select ${daemon.id}, now(), ${daemon.name}, '{terraform}', ${JSON.stringify(daemon.tags)}::text::jsonb, now(), ${daemon.version},
      o.id, (select coalesce(array_agg(q), '{}') from jsonb_array_elements_text(${JSON.stringify(daemon.taskQueues)}::text::jsonb) q), ${daemon.slots ?? 1}
    from organizations o where o.is_default
    on conflict (id) do update set last_seen_at = now(), task_queues = excluded.task_queues, slots = excluded.slots`);
}

/** A worker that ends tidily is offline at once; its row stays, because jobs name it, until nobody has seen it for a week. */
export async function markDaemonOffline(db: Db, id: string): Promise<void> {
  await db
    .update(provisionerDaemons)
    .set({ lastSeenAt: sql`now() - interval '90 seconds'` })
    .where(eq(provisionerDaemons.id, id));
  await db.delete(provisionerDaemons).where(lt(provisionerDaemons.lastSeenAt, sql`now() - interval '7 days'`));
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

export interface MatchedProvisioners {
  readonly count: number;
  readonly available: number;
  readonly mostRecentlySeen: Date | null;
}

/** Workers per task queue, for many queues in one statement; a queue without any is not in the map. */
export async function listMatchedProvisioners(
  db: Db,
  taskQueues: readonly string[],
): Promise<Map<string, MatchedProvisioners & { readonly availableIds: readonly string[] }>> {
  if (taskQueues.length === 0) return new Map();
  const isAvailable = sql`last_seen_at > now() - ${`${offlineAfterMs} milliseconds`}::interval`;
  const rows = await db.execute<{
    queue: string;
    count: number;
    available_ids: string[];
    most_recently_seen: string | null;
  }>(sql`
    select q.queue, count(*)::int as count,
      coalesce(array_agg(d.id::text order by d.name, d.id) filter (where ${isAvailable}), '{}') as available_ids,
      max(d.last_seen_at) as most_recently_seen
    from jsonb_array_elements_text(${JSON.stringify([...new Set(taskQueues)])}::text::jsonb) q(queue)
    join provisioner_daemons d on q.queue = any(d.task_queues)
    group by q.queue`);
  return new Map(
    rows.map((row) => [
      row.queue,
      {
        count: row.count,
        available: row.available_ids.length,
        availableIds: row.available_ids,
        mostRecentlySeen: row.most_recently_seen === null ? null : new Date(row.most_recently_seen),
      },
    ]),
  );
}

export type DaemonStatus = 'offline' | 'idle' | 'busy';

export interface DaemonFilter {
  readonly ids?: readonly string[] | undefined;
  readonly statuses?: readonly DaemonStatus[] | undefined;
  readonly offline: boolean;
  /** Hides workers that were last seen longer ago. */
  readonly maxAgeMs?: number | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

export interface DaemonJob {
  readonly id: string;
  readonly status: string;
  readonly templateName: string;
  readonly templateIcon: string;
  readonly templateDisplayName: string;
}

/**
 * The newest job of a worker under a condition, as JSON of DaemonJob. Columns are spelled out: in a select of one table
 * drizzle leaves the table's name away, and inside a subquery that would mean another column.
 */
const jobOf = (condition: ReturnType<typeof sql>, order: ReturnType<typeof sql>) => sql<DaemonJob | null>`(
  select jsonb_build_object('id', j.id, 'status', j.job_status, 'templateName', coalesce(t.name, ''),
    'templateIcon', coalesce(t.icon, ''), 'templateDisplayName', coalesce(t.display_name, ''))
  from provisioner_jobs j
  left join workspace_builds b on b.job_id = j.id
  left join template_versions v on v.id = coalesce(b.template_version_id, (j.input ->> 'template_version_id')::uuid)
  left join templates t on t.id = v.template_id
  where j.worker_id = provisioner_daemons.id and ${condition} order by ${order} limit 1)`;

/**
 * Workers with status, current and previous job, newest first; one statement. Offline ones are hidden unless asked for.
 * Source: spec/06 §11.
 */
export async function listDaemons(db: Db, organizationId: string, options: DaemonFilter & { readonly limit: number }) {
  const seen = sql`${provisionerDaemons.lastSeenAt} > now() - ${`${offlineAfterMs} milliseconds`}::interval`;
  const isBusy = sql`exists (select 1 from provisioner_jobs r where r.worker_id = provisioner_daemons.id
    and r.completed_at is null and r.started_at is not null)`;
  const status = sql<DaemonStatus>`case when not (${seen}) then 'offline' when ${isBusy} then 'busy' else 'idle' end`;
  const { ids, statuses, maxAgeMs, tags } = options;
  const showOffline = options.offline || statuses?.includes('offline') === true;
  return db
    .select({
      id: provisionerDaemons.id,
      organizationId: provisionerDaemons.organizationId,
      keyId: provisionerDaemons.keyId,
      createdAt: provisionerDaemons.createdAt,
      lastSeenAt: provisionerDaemons.lastSeenAt,
      name: provisionerDaemons.name,
      version: provisionerDaemons.version,
      apiVersion: provisionerDaemons.apiVersion,
      provisioners: provisionerDaemons.provisioners,
      tags: provisionerDaemons.tags,
      status,
      currentJob: jobOf(sql`j.completed_at is null and j.started_at is not null`, sql`j.started_at desc`),
      previousJob: jobOf(sql`j.completed_at is not null`, sql`j.completed_at desc`),
    })
    .from(provisionerDaemons)
    .where(
      and(
        eq(provisionerDaemons.organizationId, organizationId),
        showOffline ? undefined : seen,
        ids === undefined ? undefined : inArray(provisionerDaemons.id, [...ids]),
        statuses === undefined ? undefined : inArray(status, [...statuses]),
        maxAgeMs === undefined
          ? undefined
          : sql`${provisionerDaemons.lastSeenAt} >= now() - ${`${maxAgeMs} milliseconds`}::interval`,
        tags === undefined ? undefined : sql`${provisionerDaemons.tags} @> ${JSON.stringify(tags)}::text::jsonb`,
      ),
    )
    .orderBy(desc(provisionerDaemons.createdAt), provisionerDaemons.id)
    .limit(options.limit);
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
