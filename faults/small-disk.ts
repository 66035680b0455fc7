import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { workerEnvironment } from '../config.ts';
import { SetupFailure } from '../toolchain/failure.ts';
import { run } from '../toolchain/process.ts';

/** A file system of its own, small enough to be filled. It is there for one command and what that starts, and goes with them. */
export interface SmallDisk {
  readonly directory: string;
  /** Runs a command so that it sees the disk. */
  wrap(command: readonly string[]): readonly string[];
  /** Takes every byte. `pid` is a process that sees the disk. */
  fill(pid: number): void;
  /** Gives them back. Safe to call when it was never filled. */
  empty(pid: number): void;
}

const filler = 'filler';
const megabyte = Buffer.alloc(1024 * 1024, 'x');
const page = Buffer.alloc(4096, 'x');

/**
 * A tmpfs in a mount namespace of the command that is run on it, so that nothing is left of it whatever happens to us. Without
 * root's rights in a user namespace. Throws SetupFailure when this machine does not allow that.
 */
export async function createSmallDisk(
  directory: string,
  { megabytes, isRoot = process.getuid?.() === 0 }: { megabytes: number; isRoot?: boolean },
): Promise<SmallDisk> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  // In a script, because the mount has to be made inside of the namespace; `exec` keeps the process id.
  const script = `mount -t tmpfs -o size=${megabytes}m,mode=0700 tmpfs "$1" && shift && exec "$@"`;
  const unshare = ['unshare', isRoot ? '-m' : '-Urm'];
  const wrap = (command: readonly string[]) => [...unshare, 'sh', '-c', script, 'sh', directory, ...command];
  const [command = '', ...args] = wrap(['true']);
  if (!(await succeeds(command, args)))
    throw new SetupFailure(
      `a disk that can be filled needs a tmpfs in a mount namespace, and ${unshare.join(' ')} is not allowed here`,
      'run as root with CAP_SYS_ADMIN, or allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)',
    );
  const through = (pid: number): string => `/proc/${pid}/root${directory}`;
  return {
    directory,
    wrap,
    fill: (pid) => fill(through(pid)),
    empty: (pid) => rmSync(join(through(pid), filler), { force: true }),
  };
}

async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  try {
    return (await run(command, args, { env: workerEnvironment() })).code === 0;
  } catch {
    return false;
  }
}

/** Writes until nothing fits any more, in large pieces and then in small ones. */
function fill(directory: string): void {
  const descriptor = openSync(join(directory, filler), 'w');
  try {
    for (const piece of [megabyte, page]) {
      try {
        while (writeSync(descriptor, piece) > 0);
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'ENOSPC') throw err;
      }
    }
  } finally {
    closeSync(descriptor);
  }
}
