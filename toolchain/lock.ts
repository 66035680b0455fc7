import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { identify, isAlive } from './process.ts';
import type { ProcessIdentity } from './process.ts';

export interface Lock {
  release(): void;
}
export type LockAttempt =
  { readonly kind: 'held'; readonly lock: Lock } | { readonly kind: 'taken'; readonly by: ProcessIdentity };

let attempts = 0;

const readOwner = (path: string): ProcessIdentity | null => {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity;
  } catch {
    return null;
  }
};

/**
 * Takes the lock file at `path` unless a live process has it. A lock of a dead process (kill -9) is replaced. The file is
 * linked into place with its content, so that nobody ever sees it half written.
 */
export async function tryLock(path: string): Promise<LockAttempt> {
  mkdirSync(dirname(path), { recursive: true });
  const own = await identify(process.pid);
  const draft = `${path}.${process.pid}.${(attempts += 1)}`;
  writeFileSync(draft, JSON.stringify(own));
  try {
    for (;;) {
      try {
        linkSync(draft, path);
        return { kind: 'held', lock: releaseOnce(path, own) };
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
      }
      const owner = readOwner(path);
      if (owner !== null && (await isAlive(owner))) return { kind: 'taken', by: owner };
      await removeStale(path);
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** A second call must not take the lock from whoever has it next. */
function releaseOnce(path: string, own: ProcessIdentity): Lock {
  let held = true;
  return {
    release() {
      const owner = held ? readOwner(path) : null;
      held = false;
      if (owner?.pid === own.pid && owner.start === own.start) rmSync(path, { force: true });
    },
  };
}

/** Two processes may find the same stale lock: only the one that gets the guard directory removes it, after a second look. */
async function removeStale(path: string): Promise<void> {
  const guard = `${path}.stale`;
  try {
    mkdirSync(guard);
  } catch {
    // A process that died inside the guard must not block everybody for ever.
    const age = Date.now() - (statSync(guard, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > 10_000) rmSync(guard, { force: true, recursive: true });
    await delay(20);
    return;
  }
  try {
    const owner = readOwner(path);
    if (owner === null || !(await isAlive(owner))) rmSync(path, { force: true });
  } finally {
    rmdirSync(guard);
  }
}

/** Runs `work` under the lock, waiting for other processes. `onWait` is told once whom it waits for. */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  onWait?: (by: ProcessIdentity) => void,
): Promise<T> {
  let told = false;
  for (;;) {
    const attempt = await tryLock(path);
    if (attempt.kind === 'held') {
      try {
        return await work();
      } finally {
        attempt.lock.release();
      }
    }
    if (!told) onWait?.(attempt.by);
    told = true;
    await delay(200);
  }
}

/** Writes a whole file or nothing: readers see the old or the new text. */
export function writeAtomically(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}.${(attempts += 1)}`;
  writeFileSync(draft, text, { mode });
  renameSync(draft, path);
}
