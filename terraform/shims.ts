import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DomainError } from '../domain/errors.ts';
import type { ProcessId } from './process-identity.ts';
import type { RunMeta } from './run-directory.ts';

/** What the shim watches while Terraform runs. */
export interface RunGuard {
  /** Made by the shim; its last part is the run's number. */
  readonly outputDir: string;
  readonly cwd: string;
  /** `{"until": <ms since boot>}`, kept by the worker that renews the lease; null = no lease. */
  readonly leaseFile: string | null;
  readonly killGraceMs: number;
  /** A file whose bytes are given up when the disk gets tight; null = none. */
  readonly reserveFile: string | null;
  /** Free bytes below which Terraform is asked to stop; 0 = never. */
  readonly minFreeBytes: number;
  /** Processes of the group beyond which it is killed; 0 = any number. */
  readonly maxProcesses: number;
}

export interface StartCommand extends RunGuard {
  /** Absolute path of terraform or tofu. */
  readonly binary: string;
  readonly args: readonly string[];
  /** The whole environment; nothing is inherited besides. Goes through a pipe, never to a disk or a command line. */
  readonly env: Readonly<Record<string, string>>;
  readonly meta: RunMeta;
  readonly openFiles: number;
  /** Directory of a cgroup (v2) that Terraform enters; null = none. */
  readonly cgroup: string | null;
}

export interface Shims {
  /** Lets an idle shim start Terraform. Throws DomainError TERRAFORM_FAILED when the binary or directory is unusable. */
  start(command: StartCommand): void;
  /** Lets an idle shim watch over a Terraform whose own shim is gone. */
  adopt(guard: RunGuard, terraform: ProcessId): void;
  /** Whether a shim of this worker has been given the run and lives. */
  serves(outputDir: string): boolean;
  /** Says that the run in this directory is over: its shim may take the next one. */
  release(outputDir: string): void;
  /** Leaves the shims that are at work to themselves; the others end. */
  close(): void;
}

const script = fileURLToPath(new URL('./shim.mjs', import.meta.url));
/** Shims beyond the first that wait for so long without work end: each takes about 40 MiB. */
const idleMs = 60_000;

interface Shim {
  readonly child: ChildProcess;
  /** Run at work; null = idle. */
  outputDir: string | null;
  idleSince: number;
}

/**
 * Shims of one worker. One is always kept ready, because Node takes longer to start than all else that a build needs before
 * Terraform; each serves one run at a time and the next one afterwards. They end with their last run when the worker is gone.
 */
export function createShims(): Shims {
  const shims = new Set<Shim>();
  let closed = false;
  const launch = (): Shim => {
    // No setting of the worker reaches it: what Terraform may see comes with each command.
    const child = spawn(process.execPath, [script], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
      env: {},
    });
    const shim: Shim = { child, outputDir: null, idleSince: Date.now() };
    const forget = () => shims.delete(shim);
    child.once('exit', forget).once('error', forget);
    // A shim that was killed is noticed by whoever follows its run.
    child.stdin?.on('error', forget);
    child.unref();
    (child.stdin as unknown as { unref?: () => void } | null)?.unref?.();
    shims.add(shim);
    return shim;
  };
  const send = (outputDir: string, command: object): void => {
    const idle = [...shims].find((shim) => shim.outputDir === null) ?? launch();
    idle.outputDir = outputDir;
    idle.child.stdin?.write(`${JSON.stringify(command)}\n`);
    keepOneReady();
  };
  const keepOneReady = (): void => {
    if (!closed && ![...shims].some((shim) => shim.outputDir === null)) launch();
  };
  const retire = setInterval(() => {
    const idle = [...shims].filter((shim) => shim.outputDir === null);
    for (const shim of idle.slice(1)) if (Date.now() - shim.idleSince > idleMs) shim.child.stdin?.end();
  }, idleMs / 2);
  retire.unref();
  keepOneReady();
  return {
    start(command) {
      try {
        accessSync(command.binary, constants.X_OK);
        accessSync(command.cwd);
      } catch (err) {
        throw new DomainError('TERRAFORM_FAILED', `Terraform could not be started: ${(err as Error).message}.`);
      }
      send(command.outputDir, { type: 'start', ...command });
    },
    adopt: (guard, terraform) => send(guard.outputDir, { type: 'adopt', ...guard, ...terraform }),
    serves: (outputDir) => [...shims].some((shim) => shim.outputDir === outputDir),
    release(outputDir) {
      for (const shim of shims)
        if (shim.outputDir === outputDir) {
          shim.outputDir = null;
          shim.idleSince = Date.now();
        }
    },
    close() {
      closed = true;
      clearInterval(retire);
      for (const shim of shims) shim.child.stdin?.end();
    },
  };
}
