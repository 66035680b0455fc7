import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findJob } from '../db/queries/provisioner-jobs.ts';
import { encodeState, setLateState } from '../db/queries/workspace-build-states.ts';
import { isUuid } from '../domain/ids.ts';
import { interruptRun, killRun, listRuns, readRunState } from '../terraform/run-directory.ts';
import type { ProvisionerDeps } from './deps.ts';
import { sourceDirectory, runsDirectory } from './job-run.ts';
import { readNewestState } from './salvage-state.ts';

export interface WorkRootSweep {
  readonly removed: number;
  /** Jobs that are over while their Terraform still runs: it was asked to stop, the next sweep removes the directory. */
  readonly running: number;
}

type SweepDeps = Pick<ProvisionerDeps, 'db' | 'cipher' | 'logger' | 'workRoot' | 'hostId'>;

/**
 * Removes what jobs that are over left in the work root: a worker that died before it cleaned up, a run that was given up.
 * A state that only stands in such a directory is stored first, if this host had the job last and no later build began without
 * it. Directories of jobs that are not over are their next run's. Source: spec/02 §5.1.
 */
export async function sweepWorkRoot(deps: SweepDeps): Promise<WorkRootSweep> {
  let removed = 0;
  let running = 0;
  for (const jobId of (existsSync(deps.workRoot) ? await readdir(deps.workRoot) : []).filter(isUuid)) {
    const directory = join(deps.workRoot, jobId);
    const job = await findJob(deps.db, jobId);
    if (job !== undefined && job.completedAt === null) continue;
    if (endProcesses(directory)) {
      running += 1;
      continue;
    }
    const buildId = job?.input.workspace_build_id;
    // Another host that took the job over knows better what there is.
    if (buildId !== undefined && job?.hostId === deps.hostId) await storeLateState(deps, directory, buildId);
    await rm(directory, { recursive: true, force: true });
    deps.logger.info({ job_id: jobId }, 'directory of a finished job removed');
    removed += 1;
  }
  return { removed, running };
}

/** True while a Terraform still runs there. */
function endProcesses(directory: string): boolean {
  let alive = false;
  for (const number of listRuns(runsDirectory({ directory }))) {
    const outputDir = join(runsDirectory({ directory }), String(number));
    if (readRunState(outputDir).kind === 'running') {
      interruptRun(outputDir, 'job-over');
      alive = true;
    } else killRun(outputDir, 'job-over');
  }
  return alive;
}

async function storeLateState(deps: SweepDeps, directory: string, buildId: string): Promise<void> {
  const newest = await readNewestState(sourceDirectory({ directory }));
  if (newest === undefined) return;
  const state = await encodeState(deps.cipher, { buildId, ...newest });
  if (await setLateState(deps.db, { buildId, state }))
    deps.logger.warn({ build_id: buildId }, 'a newer state was found in the work root and stored');
}
