import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { messageOf } from './log.ts';

export type CommandStatus = 'ok' | 'exit_failure' | 'timed_out' | 'pipes_left_open';

export interface CommandResult {
  readonly exitCode: number;
  readonly status: CommandStatus;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

export interface RunCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** 0 = none. */
  readonly timeoutMs: number;
  readonly killGraceMs: number;
  readonly openPipesMs: number;
  readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Buffer) => void;
  /** Ends the command as a time-out would, without being one. */
  readonly signal?: AbortSignal | undefined;
}

/** What a death without an exit code is reported as. Source: spec/05 §11. */
const unknownExitCode = 255;
/** setTimeout takes no more (24.8 days); a longer limit is none in practice. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * Runs a command in a process group of its own to its end and the end of its output. A background process that keeps the
 * pipes open is waited for a moment and then left alone. Never rejects: what cannot be started has exit code 127 and its
 * reason as output. Source: spec/05 §11.
 */
export function runCommand(command: RunCommand): Promise<CommandResult> {
  const { file, args, env, cwd, timeoutMs, killGraceMs, openPipesMs, onOutput, signal } = command;
  const startedAt = new Date();
  const result = (status: CommandStatus, exitCode: number): CommandResult => {
    const now = new Date();
    // A clock that was set back must not make a run end before it began: the server refuses that.
    return { status, exitCode, startedAt, endedAt: now < startedAt ? startedAt : now };
  };
  return new Promise((resolve) => {
    let child: ChildProcess;
    try {
      child = spawn(file, args, { env, cwd, detached: true, windowsHide: true, stdio: ['ignore', 'pipe', 'pipe'] });
    } catch (err) {
      onOutput('stderr', Buffer.from(`${messageOf(err)}\n`));
      return resolve(result('exit_failure', 127));
    }
    const timers: NodeJS.Timeout[] = [];
    let ending: 'timed_out' | 'aborted' | null = null;
    let exit: { code: number } | null = null;

    const after = (ms: number, act: () => void): void => void timers.push(setTimeout(act, Math.min(ms, maxTimerMs)));
    const end = (why: 'timed_out' | 'aborted') => (): void => {
      if (ending !== null || exit !== null) return;
      ending = why;
      signalGroup(child, 'SIGINT');
      after(killGraceMs, () => signalGroup(child, 'SIGKILL'));
    };
    const onAbort = end('aborted');
    const finish = (status: CommandStatus, code: number): void => {
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(result(status, code));
    };
    const settle = (pipesOpen: boolean): void => {
      const code = exit?.code ?? unknownExitCode;
      if (ending === 'timed_out') finish('timed_out', code);
      else if (ending === 'aborted') finish('exit_failure', code);
      else finish(pipesOpen ? 'pipes_left_open' : code === 0 ? 'ok' : 'exit_failure', code);
    };

    child.stdout?.on('data', (chunk: Buffer) => onOutput('stdout', chunk));
    child.stderr?.on('data', (chunk: Buffer) => onOutput('stderr', chunk));
    child.once('error', (err) => {
      if (child.pid !== undefined) return;
      onOutput('stderr', Buffer.from(`${messageOf(err)}\n`));
      finish('exit_failure', 127);
    });
    child.once('exit', (code) => {
      exit = { code: code ?? unknownExitCode };
      after(openPipesMs, () => {
        // Children of a script that was stopped go with it; those of one that ended by itself may be its purpose.
        if (ending !== null) signalGroup(child, 'SIGKILL');
        child.stdout?.destroy();
        child.stderr?.destroy();
        settle(true);
      });
    });
    child.once('close', () => {
      if (exit !== null) settle(false);
    });
    if (timeoutMs > 0) after(timeoutMs, end('timed_out'));
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** To the child and all that it started and that did not leave its group. */
function signalGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') spawnSync('taskkill', ['/pid', String(child.pid), '/T', '/F']);
    else process.kill(-child.pid, name);
  } catch {
    // Gone already.
  }
}
