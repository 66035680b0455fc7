import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeState, setBuildState } from '../db/queries/workspace-build-states.ts';
import { isNewerState, parseState } from '../terraform/state.ts';
import { persist } from './job-end.ts';
import { type JobRun, sourceDirectory } from './job-run.ts';

/** The newest state that Terraform left in a directory; `errored.tfstate` is there when it could not write the usual file. */
export async function readNewestState(
  directory: string,
): Promise<{ bytes: Buffer; serial: number; lineage: string } | undefined> {
  let newest: { bytes: Buffer; serial: number; lineage: string } | undefined;
  for (const name of ['terraform.tfstate', 'errored.tfstate']) {
    const bytes = await readFile(join(directory, name)).catch(() => undefined);
    const parsed = bytes === undefined ? null : parseState(bytes);
    if (bytes === undefined || parsed === null || (newest !== undefined && !isNewerState(newest, parsed))) continue;
    newest = { bytes, serial: parsed.serial, lineage: parsed.lineage };
  }
  return newest;
}

/**
 * Stores the state that an attempt on this host wrote but could not persist any more (worker killed, database away). The
 * query refuses it when it is older than what is stored.
 */
export async function salvageState(run: JobRun, buildId: string): Promise<void> {
  const newest = await readNewestState(sourceDirectory(run));
  if (newest === undefined) return;
  const state = await encodeState(run.deps.cipher, { buildId, ...newest });
  const { id: jobId, attempt } = run.job;
  await persist(run, (db) => setBuildState(db, { buildId, jobId, attempt, state }));
}
