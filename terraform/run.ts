import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DomainError } from '../domain/errors.ts';
import { bootId, processStartTime } from './process-identity.ts';

export interface StartTerraformOptions {
  /** Absolute path of terraform or tofu. */
  readonly binary: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** The whole environment; nothing is inherited besides. Never printed. */
  readonly env: Readonly<Record<string, string>>;
  /** Made if missing: `stdout.log`, `stderr.log`, `process.json`. One directory per run of terraform. */
  readonly outputDir: string;
}

export interface TerraformExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface TerraformProcess {
  readonly pid: number;
  /** Settles when terraform has ended and what was left of its process group was sent SIGKILL. Never rejects. */
  readonly exited: Promise<TerraformExit>;
  /**
   * Asks terraform to stop: one SIGINT to terraform alone, whatever the number of calls. A second one would make it
   * abandon running calls, and the state could miss resources (spec/02 §5.4).
   */
  readonly interrupt: () => void;
  /** SIGKILL to the whole process group: providers and children of local-exec survive the end of terraform alone. */
  readonly killGroup: () => void;
}

/** `process.json`: enough to tell later whether a pid is still the process it was. */
export interface RecordedProcess {
  readonly pid: number;
  /** Clock ticks since boot; null where /proc does not exist. */
  readonly startTime: string | null;
  readonly bootId: string | null;
}

export const stdoutFile = (outputDir: string): string => join(outputDir, 'stdout.log');
export const stderrFile = (outputDir: string): string => join(outputDir, 'stderr.log');
export const processFile = (outputDir: string): string => join(outputDir, 'process.json');

/** Whether this is the first interrupt of the run: a marker file says so also to the process that comes after us. */
export function markInterrupted(outputDir: string): boolean {
  try {
    writeFileSync(join(outputDir, 'interrupted'), '', { flag: 'wx', mode: 0o600 });
    return true;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'EEXIST') return false;
    // A full disk must not keep anybody from stopping.
    return true;
  }
}

/**
 * Starts terraform in a process group of its own, stdin closed, output in files, so that it outlives its parent and another
 * process can take over reading. Throws DomainError TERRAFORM_FAILED when it cannot be started. Source: spec/02 §5.4.
 */
export function startTerraform(options: StartTerraformOptions): TerraformProcess {
  const { binary, args, cwd, env, outputDir } = options;
  const notStarted = (why: string) => new DomainError('TERRAFORM_FAILED', `Terraform could not be started: ${why}.`);
  try {
    accessSync(binary, constants.X_OK);
    accessSync(cwd);
  } catch (err) {
    throw notStarted((err as Error).message);
  }
  mkdirSync(outputDir, { recursive: true, mode: 0o700 });
  const stdout = openSync(stdoutFile(outputDir), 'a', 0o600);
  const stderr = openSync(stderrFile(outputDir), 'a', 0o600);
  const child = spawn(binary, [...args], { cwd, env, detached: true, stdio: ['ignore', stdout, stderr] });
  closeSync(stdout);
  closeSync(stderr);
  const { pid } = child;
  if (pid === undefined) {
    // The event of the same failure has no other listener and would end the process.
    child.on('error', () => undefined);
    throw notStarted(`${binary} is not executable here`);
  }
  const record: RecordedProcess = { pid, startTime: processStartTime(pid), bootId: bootId() };
  writeFileSync(processFile(outputDir), JSON.stringify(record), { mode: 0o600 });

  let ended = false;
  let interrupted = false;
  const killGroup = (): void => {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
    }
  };
  const exited = new Promise<TerraformExit>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = true;
      killGroup();
      resolve({ code, signal });
    });
  });
  return {
    pid,
    exited,
    interrupt() {
      if (ended || interrupted) return;
      interrupted = true;
      if (markInterrupted(outputDir)) child.kill('SIGINT');
    },
    killGroup() {
      // Afterwards the number may belong to somebody else.
      if (!ended) killGroup();
    },
  };
}
