import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ProcessIdentity } from '../../toolchain/process.ts';

const script = fileURLToPath(new URL('../../test/support/reaper.mjs', import.meta.url));

/** Ends what we started when we are killed ourselves: it holds the other end of a pipe that closes with us. */
export interface Guardian {
  adoptProcess(identity: ProcessIdentity): void;
  adoptDirectory(path: string): void;
  /** Everything is gone already. */
  dismiss(): void;
}

export function startGuardian(): Guardian {
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'ignore', 'inherit'], detached: true });
  child.unref();
  (child.stdin as unknown as { unref?: () => void }).unref?.();
  const say = (line: string): void => void child.stdin.write(`${line}\n`);
  return {
    adoptProcess: ({ pid, start }) => say(`pid ${pid} ${start}`),
    adoptDirectory: (path) => say(`dir ${path}`),
    dismiss() {
      say('done');
      child.stdin.end();
    },
  };
}
