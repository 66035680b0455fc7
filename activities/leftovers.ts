import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeState, setBuildState } from '../db/queries/workspace-build-states.ts';
import { findLeftover, interruptLeftover, killLeftover } from '../terraform/leftover.ts';
import { isNewerState, parseState } from '../terraform/state.ts';
import { type JobRun, RunStopped, stopReason } from './job-run.ts';

const lookEveryMs = 200;

/** Output directories of the job's Terraform runs, of this attempt and of earlier ones on this host. */
async function runDirectories(run: JobRun): Promise<string[]> {
  const runs = join(run.directory, 'runs');
  return (await readdir(runs).catch(() => [])).map((name) => join(runs, name));
}

/**
 * Terraform outlives its worker. What an earlier attempt on this host left running goes on to its end: interrupting it would
 * leave half-made resources, a second one beside it would make them twice. A cancel interrupts it; a worker that stops leaves
 * it to the next one. What remains of its process group afterwards is killed.
 */
export async function awaitLeftovers(run: JobRun): Promise<void> {
  for (const directory of await runDirectories(run)) {
    if ((await findLeftover(directory)).kind === 'running')
      run.log.say('info', 'The worker was lost while Terraform ran on; its end is awaited.');
    let killAt: number | undefined;
    while ((await findLeftover(directory)).kind === 'running') {
      if (run.stop.aborted) {
        const reason = stopReason(run);
        if (reason !== 'canceled') throw new RunStopped(reason);
        killAt ??= Date.now() + Math.max(run.deps.forceCancelMs, lookEveryMs);
        await interruptLeftover(directory);
        if (Date.now() > killAt) break;
      }
      await new Promise((done) => setTimeout(done, lookEveryMs));
    }
    await killLeftover(directory);
  }
}

/** Whether a Terraform of this job still runs on this host. */
export async function hasLeftover(run: JobRun): Promise<boolean> {
  for (const directory of await runDirectories(run))
    if ((await findLeftover(directory)).kind === 'running') return true;
  return false;
}

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
export async function salvageState(run: JobRun): Promise<void> {
  const buildId = run.job.input.workspace_build_id;
  const newest = buildId === undefined ? undefined : await readNewestState(sourceDirectory(run));
  if (buildId === undefined || newest === undefined) return;
  const state = await encodeState(run.deps.cipher, { buildId, ...newest });
  await setBuildState(run.deps.db, { buildId, jobId: run.job.id, attempt: run.job.attempt, state });
}

/** Where the template lies and Terraform runs. */
export const sourceDirectory = (run: Pick<JobRun, 'directory'>): string => join(run.directory, 'work');
