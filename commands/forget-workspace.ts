import type { Db } from '../db/client.ts';
import { notifyJobEnd } from '../db/notifications.ts';
import { insertJobNote } from '../db/queries/job-logs.ts';
import { endJob } from '../db/queries/provisioner-jobs.ts';
import { finishBuildRow } from '../db/queries/workspace-builds.ts';
import { markWorkspaceDeleted } from '../db/queries/workspaces.ts';

/** Ends a delete build that was just inserted without running Terraform: there is nothing to destroy, or nobody to do it. */
export async function forgetWorkspace(
  tx: Db,
  input: { workspaceId: string; buildId: string; jobId: string; level: 'info' | 'warn'; why: string },
): Promise<void> {
  const { workspaceId, buildId, jobId, level, why } = input;
  await insertJobNote(tx, { jobId, level, output: why });
  await endJob(tx, { jobId, canceled: false });
  await finishBuildRow(tx, buildId);
  await markWorkspaceDeleted(tx, workspaceId);
  await notifyJobEnd(tx, jobId, buildId);
}
