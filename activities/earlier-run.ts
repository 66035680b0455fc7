import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isUuid } from '../domain/ids.ts';
import { type RunMeta, closeRun, killRun, listRuns, readRunMeta, readRunState } from '../terraform/run-directory.ts';
import { type JobRun, runsDirectory, sourceDirectory } from './job-run.ts';
import type { BegunRun } from './terraform-command.ts';

const lookEveryMs = 50;
const killedWithinMs = 5_000;

/**
 * The Terraform that an earlier attempt on this host began and that changes the world, whether it still runs, has ended or was
 * lost; undefined = there is none. A command that only reads is ended instead. From here on no earlier attempt can start
 * anything in this job's directory, also when its worker wakes up again.
 */
export async function findEarlierRun(run: JobRun): Promise<BegunRun | undefined> {
  const runs = runsDirectory(run);
  // Numbers are given by making their directory: the next one is closed, unless somebody is just using it.
  for (let next = (listRuns(runs).at(-1) ?? 0) + 1; !closeRun(join(runs, String(next))); next += 1);
  for (const number of listRuns(runs).toReversed()) {
    const outputDir = join(runs, String(number));
    const meta = await readBegun(outputDir);
    if (meta === undefined) continue;
    if (!meta.resumable) {
      await endReader(outputDir);
      return undefined;
    }
    const { logRun, logOffset, logErrorOffset } = run.job;
    const read = logRun === number ? { stdout: logOffset, stderr: logErrorOffset } : { stdout: 0, stderr: 0 };
    return { outputDir, cwd: sourceDirectory(run), meta, position: { run: number, ...read } };
  }
  return undefined;
}

/** undefined when nothing was or will be started there. */
async function readBegun(outputDir: string): Promise<RunMeta | undefined> {
  const state = readRunState(outputDir);
  if (state.kind === 'closed' || (state.kind === 'starting' && closeRun(outputDir))) return undefined;
  return readRunMeta(outputDir) ?? undefined;
}

async function endReader(outputDir: string): Promise<void> {
  for (const deadline = Date.now() + killedWithinMs; Date.now() < deadline;) {
    killRun(outputDir, 'taken-over');
    const state = readRunState(outputDir);
    if (state.kind === 'ended' || (state.kind === 'lost' && state.remains === null)) return;
    await new Promise((done) => setTimeout(done, lookEveryMs));
  }
}

/** Whether a Terraform of this job still runs on this host and may go on without its worker. */
export const isLeftRunning = (run: Pick<JobRun, 'directory'>): boolean =>
  listRuns(runsDirectory(run)).some((number) => {
    const outputDir = join(runsDirectory(run), String(number));
    const state = readRunState(outputDir).kind;
    return state === 'running' || state === 'starting';
  });

/** How many jobs of a work root have a Terraform that goes on without a worker. */
export const countLeftRunning = (workRoot: string): number =>
  (existsSync(workRoot) ? readdirSync(workRoot) : [])
    .filter(isUuid)
    .filter((jobId) => isLeftRunning({ directory: join(workRoot, jobId) })).length;
