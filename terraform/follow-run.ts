import { type FSWatcher, watch } from 'node:fs';
import { type RunState, type TerraformExit, closeRun, isSupervised, killRun, readRunState } from './run-directory.ts';
import type { RunGuard, Shims } from './shims.ts';

const pollEveryMs = 200;
/** Until the run's directory exists there are no file events. */
const firstPollEveryMs = 5;
/** After a process is gone its shim needs a moment to write down how. */
const exitWrittenWithinMs = 5_000;

const unseen: TerraformExit = { code: null, signal: null, error: null };

/**
 * How a run ended.
 * - `ended`: Terraform ended by itself or by a signal; `exit.code` null without a signal = nobody saw the code.
 * - `lost`: Terraform and its shim are gone without a word: killed from outside, or the machine went down.
 * - `never-started`: another worker closed the run's number, or its shim died before Terraform began.
 */
export type RunEnd =
  | { readonly kind: 'ended'; readonly exit: TerraformExit }
  | { readonly kind: 'lost' }
  | { readonly kind: 'never-started' };

/**
 * Waits for the end of a run that this or an earlier worker started; what is left of its process group is killed then. A
 * Terraform that has lost its shim gets a new one. Rejects with the signal's reason when it aborts first, and leaves the run
 * alone. Source: design §2.
 */
export async function followRun(shims: Shims, guard: RunGuard, signal?: AbortSignal): Promise<RunEnd> {
  const { outputDir } = guard;
  let goneSince: number | undefined;
  let adopted = false;
  const wakeUp = createWakeUp(outputDir);
  try {
    for (;;) {
      signal?.throwIfAborted();
      // Asked first: a shim that is gone by then has written everything that it had to say.
      const supervised = isSupervised(outputDir);
      const served = supervised || shims.serves(outputDir);
      const state = readRunState(outputDir);
      const end = endOf(state);
      if (end !== undefined) {
        killRun(outputDir, 'terraform-ended');
        return end;
      }
      wakeUp.watch();
      if (state.kind === 'running' && !supervised && !adopted) {
        adopted = true;
        shims.adopt(guard, state.process);
      }
      // Gone, or not begun: with its shim alive the word may still come.
      goneSince = state.kind === 'running' ? undefined : (goneSince ?? Date.now());
      const waitedMs = Date.now() - (goneSince ?? Date.now());
      if (state.kind === 'lost' && (waitedMs > exitWrittenWithinMs || (!supervised && !adopted))) {
        killRun(outputDir, 'terraform-ended');
        return adopted ? { kind: 'ended', exit: unseen } : { kind: 'lost' };
      }
      const hopeless = waitedMs > exitWrittenWithinMs || !served;
      if (state.kind === 'starting' && hopeless && closeRun(outputDir)) return { kind: 'never-started' };
      await wakeUp.next(signal);
    }
  } finally {
    wakeUp.close();
    shims.release(outputDir);
  }
}

function endOf(state: RunState): RunEnd | undefined {
  switch (state.kind) {
    case 'ended':
      return state.exit.error === 'the lease is over' ? { kind: 'never-started' } : { kind: 'ended', exit: state.exit };
    case 'closed':
      return { kind: 'never-started' };
    case 'starting':
    case 'running':
    case 'lost':
      return undefined;
  }
}

/** File events of the run's directory, with a poll for where they are lost. */
function createWakeUp(directory: string) {
  let watcher: FSWatcher | undefined;
  let wake: (() => void) | undefined;
  return {
    watch() {
      if (watcher !== undefined) return;
      try {
        watcher = watch(directory, { persistent: false }, (_event, name) => {
          if (name !== 'stdout.log' && name !== 'stderr.log') wake?.();
        });
        watcher.on('error', () => undefined);
      } catch {
        // Not there yet, or no watches left: the poll goes on.
      }
    },
    async next(signal: AbortSignal | undefined) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, watcher === undefined ? firstPollEveryMs : pollEveryMs);
        function done() {
          clearTimeout(timer);
          signal?.removeEventListener('abort', done);
          resolve();
        }
        wake = done;
        signal?.addEventListener('abort', done, { once: true });
      });
    },
    close: () => watcher?.close(),
  };
}
