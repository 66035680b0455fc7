import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}
export interface RunOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Each line of stdout and stderr as it comes. */
  readonly onLine?: (line: string) => void;
}

/** Runs a command to its end without a shell and without standard input. Rejects only when it cannot be started. */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const { env, cwd, timeoutMs, uid, gid, onLine } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd !== undefined && { cwd }),
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
      ...(timeoutMs !== undefined && { timeout: timeoutMs, killSignal: 'SIGKILL' }),
    });
    const text = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        text[name] += chunk;
        if (onLine !== undefined) for (const line of chunk.split('\n')) if (line.trim() !== '') onLine(line.trim());
      });
    }
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, ...text }));
  });
}

/** A process as a pid plus its start, because pids are reused. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly start: string;
}

/** The start of a live process as an opaque text, null when there is none. A zombie counts as gone. */
export async function processStart(pid: number): Promise<string | null> {
  if (existsSync('/proc/self/stat')) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The command name is in parentheses and may hold spaces; field 3 (state) is the first one after it.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
    } catch {
      return null;
    }
  }
  const { code, stdout } = await run('ps', ['-o', 'lstart=', '-p', String(pid)], { env: { PATH: '/bin:/usr/bin' } });
  return code === 0 && stdout.trim() !== '' ? stdout.trim() : null;
}

export async function identify(pid: number): Promise<ProcessIdentity> {
  return { pid, start: (await processStart(pid)) ?? '' };
}

export async function isAlive({ pid, start }: ProcessIdentity): Promise<boolean> {
  return start !== '' && (await processStart(pid)) === start;
}

/** Polls `condition` until it holds; false when `timeoutMs` are over first. */
export async function waitFor(condition: () => Promise<boolean>, timeoutMs: number, everyMs = 50): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    if (await condition()) return true;
    if (Date.now() >= deadline) return false;
    await delay(everyMs);
  }
}

/**
 * Sends `signal`, waits `graceMs`, then SIGKILL. Resolves when the process is gone, with whether it was there at all; a pid
 * that was given to another process is left alone.
 */
export async function terminate(
  target: ProcessIdentity,
  { signal = 'SIGTERM', graceMs = 10_000 }: { signal?: NodeJS.Signals; graceMs?: number } = {},
): Promise<boolean> {
  const send = (name: NodeJS.Signals): void => {
    try {
      process.kill(target.pid, name);
    } catch {
      // Gone between the look and the signal.
    }
  };
  if (!(await isAlive(target))) return false;
  send(signal);
  if (await waitFor(async () => !(await isAlive(target)), graceMs)) return true;
  send('SIGKILL');
  await waitFor(async () => !(await isAlive(target)), 5_000);
  return true;
}

const tryListen = (port: number): Promise<number | null> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : null));
    });
  });

/** `preferred` when it is free on the loopback interface, else any free port. */
export async function freePort(preferred = 0): Promise<number> {
  const port = (await tryListen(preferred)) ?? (await tryListen(0));
  if (port === null) throw new Error('no free port on 127.0.0.1');
  return port;
}
