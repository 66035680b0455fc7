import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findJob } from '../db/queries/provisioner-jobs.ts';
import { encodeState, setLateState } from '../db/queries/workspace-build-states.ts';
import { isUuid } from '../domain/ids.ts';
import { findLeftover, interruptLeftover, killLeftover } from '../terraform/leftover.ts';
import type { ProvisionerDeps } from './deps.ts';
import { readNewestState } from './leftovers.ts';

export interface WorkRootSweep {
  readonly removed: number;
  /** Jobs that are over while their Terraform still runs: it was asked to stop, the next sweep removes the directory. */
  readonly running: number;
}

/**
 * Removes what jobs that are over left in the work root: a worker that died before it cleaned up, a run that was given up.
 * A state that only stands in such a directory is stored first, if no later build began without it. Directories of jobs that
 * are not over are their next run's. Source: spec/02 §5.1.
 */
export async function sweepWorkRoot(
  deps: Pick<ProvisionerDeps, 'db' | 'cipher' | 'logger' | 'workRoot'>,
): Promise<WorkRootSweep> {
  let removed = 0;
  let running = 0;
  for (const jobId of (await readdir(deps.workRoot).catch(() => [])).filter(isUuid)) {
    const directory = join(deps.workRoot, jobId);
    const job = await findJob(deps.db, jobId);
    if (job !== undefined && job.completedAt === null) continue;
    if (await endProcesses(directory)) {
      running += 1;
      continue;
    }
    const buildId = job?.input.workspace_build_id;
    if (buildId !== undefined) await storeLateState(deps, directory, buildId);
    await rm(directory, { recursive: true, force: true });
    deps.logger.info({ job_id: jobId }, 'directory of a finished job removed');
    removed += 1;
  }
  return { removed, running };
}

/** True while a Terraform still runs there. */
async function endProcesses(directory: string): Promise<boolean> {
  const runs = join(directory, 'runs');
  let alive = false;
  for (const name of await readdir(runs).catch(() => [])) {
    const leftover = await findLeftover(join(runs, name));
    if (leftover.kind === 'running') {
      await interruptLeftover(join(runs, name));
      alive = true;
    } else await killLeftover(join(runs, name));
  }
  return alive;
}

async function storeLateState(
  deps: Pick<ProvisionerDeps, 'db' | 'cipher' | 'logger'>,
  directory: string,
  buildId: string,
): Promise<void> {
  const newest = await readNewestState(join(directory, 'work'));
  if (newest === undefined) return;
  const state = await encodeState(deps.cipher, { buildId, ...newest });
  if (await setLateState(deps.db, { buildId, state }))
    deps.logger.warn({ build_id: buildId }, 'a newer state was found in the work root and stored');
}
