import { desc, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { provisionerDaemons } from '../schema/provisioner-jobs.ts';
import { authorize } from '../../domain/authorization.ts';
import type { Subject } from '../../domain/subject.ts';

export interface WorkspaceCounts {
  readonly pending: number;
  readonly building: number;
  readonly running: number;
  readonly failed: number;
  readonly stopped: number;
}

/** Live workspaces by what their latest build says. Needs deployment_stats.read. */
export async function countWorkspacesByStatus(db: Db, subject: Subject): Promise<WorkspaceCounts> {
  authorize(subject, 'read', { type: 'deployment_stats' });
  const [row] = await db.execute<Record<keyof WorkspaceCounts, number>>(sql`
    select
      count(*) filter (where j.job_status = 'pending')::int as pending,
      count(*) filter (where j.job_status in ('running', 'canceling'))::int as building,
      count(*) filter (where j.job_status = 'succeeded' and b.transition = 'start')::int as running,
      count(*) filter (where j.job_status in ('failed', 'canceled', 'unknown'))::int as failed,
      count(*) filter (where j.job_status = 'succeeded' and b.transition = 'stop')::int as stopped
    from workspaces w
    join workspace_builds b on b.workspace_id = w.id and b.is_latest
    join provisioner_jobs j on j.id = b.job_id
    where not w.deleted`);
  return row ?? { pending: 0, building: 0, running: 0, failed: 0, stopped: 0 };
}

/** Milliseconds of one round trip to the database. */
export async function pingDatabase(db: Db): Promise<number> {
  const startedAt = performance.now();
  await db.execute(sql`select 1`);
  return performance.now() - startedAt;
}

/** Number of migrations that this database has seen; 0 before the first. */
export async function countMigrations(db: Db): Promise<number> {
  const [known] = await db.execute<{ known: boolean }>(
    sql`select to_regclass('drizzle.__drizzle_migrations') is not null as known`,
  );
  if (known?.known !== true) return 0;
  const [row] = await db.execute<{ count: number }>(sql`select count(*)::int from drizzle.__drizzle_migrations`);
  return row?.count ?? 0;
}

/** Heartbeats of workers, newest first. */
export async function listWorkerHeartbeats(db: Db, subject: Subject) {
  authorize(subject, 'read', { type: 'provisioner_daemon' });
  return db
    .select({
      name: provisionerDaemons.name,
      version: provisionerDaemons.version,
      lastSeenAt: provisionerDaemons.lastSeenAt,
    })
    .from(provisionerDaemons)
    .orderBy(desc(provisionerDaemons.lastSeenAt))
    .limit(100);
}
