import { and, asc, eq, gt, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { workspaceBuilds } from '../schema/workspaces.ts';

/**
 * Builds whose job changed its status behind a place in the stream of all changes, in the order of that stream. A job stands
 * at the place of its last change only. Places are drawn before they are committed: a lower one may appear later.
 */
export async function listBuildUpdates(db: Db, { after, limit }: { after: number; limit: number }) {
  return db
    .select({
      updateSequence: provisionerJobs.updateSequence,
      workspaceId: workspaceBuilds.workspaceId,
      buildId: workspaceBuilds.id,
      buildNumber: workspaceBuilds.buildNumber,
      transition: workspaceBuilds.transition,
      jobStatus: provisionerJobs.jobStatus,
    })
    .from(provisionerJobs)
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, provisionerJobs.id))
    .where(and(eq(provisionerJobs.type, 'workspace_build'), gt(provisionerJobs.updateSequence, after)))
    .orderBy(asc(provisionerJobs.updateSequence))
    .limit(limit);
}
export type BuildUpdate = Awaited<ReturnType<typeof listBuildUpdates>>[number];

/** The last place that anybody can see; 0 when there is none. */
export async function lastUpdateSequence(db: Db): Promise<number> {
  const [row] = await db
    .select({ last: sql<number>`coalesce(max(${provisionerJobs.updateSequence}), 0)::float8` })
    .from(provisionerJobs)
    .where(eq(provisionerJobs.type, 'workspace_build'));
  return row?.last ?? 0;
}
