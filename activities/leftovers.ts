import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeState, setBuildState } from '../db/queries/workspace-build-states.ts';
import { killLeftover } from '../terraform/leftover.ts';
import { parseState } from '../terraform/state.ts';
import type { JobRun } from './job-run.ts';

/** Ends the Terraform processes that an earlier attempt on this host left behind. */
export async function killLeftovers(runsDirectory: string): Promise<void> {
  const names = await readdir(runsDirectory).catch(() => []);
  for (const name of names) await killLeftover(join(runsDirectory, name));
}

/**
 * Stores the state that an attempt on this host wrote but could not persist any more (worker killed, database away). The
 * query refuses it when it is older than what is stored.
 */
export async function salvageState(run: JobRun): Promise<void> {
  const buildId = run.job.input.workspace_build_id;
  if (buildId === undefined) return;
  for (const name of ['terraform.tfstate', 'errored.tfstate']) {
    const bytes = await readFile(join(sourceDirectory(run), name)).catch(() => undefined);
    const parsed = bytes === undefined ? null : parseState(bytes);
    if (bytes === undefined || parsed === null) continue;
    const state = await encodeState(run.deps.cipher, {
      buildId,
      bytes,
      serial: parsed.serial,
      lineage: parsed.lineage,
    });
    await setBuildState(run.deps.db, { buildId, jobId: run.job.id, attempt: run.job.attempt, state });
  }
}

/** Where the template lies and Terraform runs. */
export const sourceDirectory = (run: Pick<JobRun, 'directory'>): string => join(run.directory, 'work');
