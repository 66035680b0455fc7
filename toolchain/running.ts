import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { SetupFailure } from './failure.ts';
import { identify, terminate } from './process.ts';
import type { ProcessIdentity } from './process.ts';

export interface ExitInfo {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}
/** A process of ours that goes on until it is stopped. */
export interface RunningUnit {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<ExitInfo>;
  /** Ends it gracefully, then by force. Safe to call twice and after its end. */
  stop(): Promise<void>;
}

export interface LaunchOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Output goes straight to this file, so that it outlives us; null = nowhere. */
  readonly logFile: string | null;
  readonly uid?: number;
  readonly gid?: number;
  readonly stopSignal?: NodeJS.Signals;
  readonly stopGraceMs?: number;
}

const rotateAboveBytes = 10 * 1024 * 1024;

function openLog(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > rotateAboveBytes) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}

/**
 * Starts a process in a session of its own: Ctrl-C in our terminal reaches only us, and we stop everything in order.
 * Throws SetupFailure when the command cannot be started at all.
 */
export async function launch(options: LaunchOptions): Promise<RunningUnit> {
  const { command, args, env, cwd, logFile, uid, gid, stopSignal = 'SIGTERM', stopGraceMs = 15_000 } = options;
  const output = logFile === null ? 'ignore' : openLog(logFile);
  try {
    const child = spawn(command, args, {
      env,
      detached: true,
      stdio: ['ignore', output, output],
      ...(cwd !== undefined && { cwd }),
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
    });
    const exited = new Promise<ExitInfo>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
      child.once('error', () => resolve({ code: null, signal: null }));
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (err) =>
        reject(new SetupFailure(`cannot start ${command}: ${err.message}`, 'see the message')),
      );
    });
    const identity = await identify(child.pid ?? 0);
    const stop = async (): Promise<void> => {
      await Promise.race([exited, terminate(identity, { signal: stopSignal, graceMs: stopGraceMs })]);
      // What others do at its end (a lock that is released) has to be done when this returns.
      await exited;
    };
    return { identity, exited, stop };
  } finally {
    if (typeof output === 'number') closeSync(output);
  }
}

/** Last lines of a log file, for error messages. */
export function logTail(path: string, lines = 20): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n    ');
  } catch {
    return '(no log)';
  }
}
