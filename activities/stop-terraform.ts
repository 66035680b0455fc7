import { statSync } from 'node:fs';
import { join } from 'node:path';
import { closeRun, interruptRun, killRun } from '../terraform/run-directory.ts';
import { isTakenOnThisHost } from './job-lease.ts';
import { type JobRun, RunStopped } from './job-run.ts';
import type { BegunRun } from './terraform-command.ts';

/** A Terraform that is just saying who it is cannot be interrupted for a moment. */
const askAgainMs = 100;

export interface StopSupervision {
  /** Aborts with RunStopped when this worker has to let go of the run and leave it as it is. */
  readonly letGo: AbortSignal;
  close(): void;
}

/**
 * Turns what the run is told into what Terraform is told. Canceled or out of time: one SIGINT, and SIGKILL to the group when
 * the grace is over; whoever takes the run over later counts from the same SIGINT. A worker that leaves, or that lost the job
 * to another attempt, lets go: what changes the world goes on under its shim, anything else is killed.
 * Source: design §2, spec/02 §5.4.
 */
export function superviseStops(
  run: JobRun,
  { outputDir, meta }: Pick<BegunRun, 'outputDir' | 'meta'>,
): StopSupervision {
  const letGo = new AbortController();
  let asking: NodeJS.Timeout | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  /** One that has not begun yet never does. */
  const ask = (reason: string) => {
    if (!closeRun(outputDir)) interruptRun(outputDir, reason);
  };
  const interrupt = (reason: string) => {
    const { forceCancelMs } = run.deps;
    asking = setInterval(() => ask(reason), askAgainMs);
    ask(reason);
    const interrupted = statSync(join(outputDir, 'interrupted'), { throwIfNoEntry: false });
    const sinceMs = interrupted === undefined ? 0 : Date.now() - interrupted.mtimeMs;
    killTimer = setTimeout(() => killRun(outputDir, reason), Math.max(0, forceCancelMs - sinceMs));
  };
  const leave = (reason: 'worker-stopped' | 'fenced') => {
    if (!meta.resumable && !closeRun(outputDir)) killRun(outputDir, reason);
    letGo.abort(new RunStopped(reason));
  };
  const onFenced = async () => {
    // Taken up again on this host: Terraform is that attempt's. Otherwise nobody wants it any more.
    const taken = await isTakenOnThisHost(run.deps, run.job.id).catch(() => true);
    if (!taken) ask('fenced');
    leave('fenced');
  };
  const onStop = () => {
    if (run.stop.reason === 'fenced') void onFenced();
    else interrupt(run.stop.reason as string);
  };
  const onLeave = () => leave('worker-stopped');
  run.stop.addEventListener('abort', onStop, { once: true });
  run.leave.addEventListener('abort', onLeave, { once: true });
  if (run.stop.aborted) onStop();
  if (run.leave.aborted) onLeave();
  return {
    letGo: letGo.signal,
    close() {
      run.stop.removeEventListener('abort', onStop);
      run.leave.removeEventListener('abort', onLeave);
      clearInterval(asking);
      clearTimeout(killTimer);
    },
  };
}
