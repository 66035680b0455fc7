import { eq, sql } from 'drizzle-orm';
import type { JobTiming } from '../../domain/provisioned.ts';
import type { Db } from '../client.ts';
import { provisionerJobTimings } from '../schema/provisioner-jobs.ts';

/** Timings of a run; a repeated attempt overwrites. Unreal instants never arrive here (terraform/output.ts). */
export async function upsertTimings(db: Db, jobId: string, timings: readonly JobTiming[]): Promise<void> {
  if (timings.length === 0) return;
  const last = new Map(timings.map((timing) => [`${timing.stage}|${timing.resource}|${timing.action}`, timing]));
  await db
    .insert(provisionerJobTimings)
    .values(
      [...last.values()].map((timing) => ({
        ...timing,
        jobId,
        endedAt: timing.endedAt < timing.startedAt ? timing.startedAt : timing.endedAt,
      })),
    )
    .onConflictDoUpdate({
      target: [
        provisionerJobTimings.jobId,
        provisionerJobTimings.stage,
        provisionerJobTimings.resource,
        provisionerJobTimings.action,
      ],
      set: { startedAt: sql`excluded.started_at`, endedAt: sql`excluded.ended_at`, source: sql`excluded.source` },
    });
}

export async function listTimings(db: Db, jobId: string) {
  return db
    .select({
      jobId: provisionerJobTimings.jobId,
      startedAt: provisionerJobTimings.startedAt,
      endedAt: provisionerJobTimings.endedAt,
      stage: provisionerJobTimings.stage,
      source: provisionerJobTimings.source,
      action: provisionerJobTimings.action,
      resource: provisionerJobTimings.resource,
    })
    .from(provisionerJobTimings)
    .where(eq(provisionerJobTimings.jobId, jobId))
    .orderBy(provisionerJobTimings.startedAt, provisionerJobTimings.resource);
}
