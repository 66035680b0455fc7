import type { Db } from '../db/client.ts';
import { notifyJobEnd } from '../db/notifications.ts';
import { insertJobNote } from '../db/queries/job-logs.ts';
import { endJob } from '../db/queries/provisioner-jobs.ts';
import { settleBuild } from './settle-build.ts';

/** Ends a delete build that was just inserted without running Terraform: there is nothing to destroy, or nobody to do it. */
export async function forgetWorkspace(
  tx: Db,
  input: { buildId: string; jobId: string; level: 'info' | 'warn'; why: string },
): Promise<void> {
  const { buildId, jobId, level, why } = input;
  await insertJobNote(tx, { jobId, level, output: why });
  await endJob(tx, { jobId, canceled: false });
  await settleBuild(tx, buildId, { outcome: 'succeeded', started: false });
  await notifyJobEnd(tx, jobId, buildId);
}
