import { isReady } from '../../scripts/stack/launch.ts';
import { launch, logTail } from '../../toolchain/running.ts';
import type { ProcessIdentity } from '../../toolchain/process.ts';
import type { RunningUnit } from '../../toolchain/running.ts';
import { demand, eventually } from '../patience.ts';

/** An API, a control worker or a provisioner worker, restarted like by a service manager when it ends by itself. */
export interface BerthProcess {
  readonly name: string;
  /** Null while it does not run. */
  pid(): number | null;
  start(): Promise<void>;
  /** Waits until it answers on its ready address, unless it is not to run. Throws with the end of its log. */
  ready(): Promise<void>;
  /** Ends it, by a signal or in another way, and waits; nothing restarts it until `start`. */
  end(how: NodeJS.Signals | (() => void)): Promise<void>;
  /** Sends a signal that does not end it. */
  send(signal: NodeJS.Signals): void;
  logTail(lines: number): string;
}

export interface BerthProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly logFile: string;
  readonly readyUrl: string;
  /** Told of each process that is started. */
  readonly adopt: (identity: ProcessIdentity) => void;
  /** Told when it ended although nobody ended it; it is started again then. */
  readonly onUnexpectedEnd: (how: string) => void;
}

const restartAfterMs = 500;

export function createBerthProcess(options: BerthProcessOptions): BerthProcess {
  const { name, command, args, env, cwd, logFile, readyUrl, adopt, onUnexpectedEnd } = options;
  let unit: RunningUnit | undefined;
  let wanted = false;
  const start = async (): Promise<void> => {
    wanted = true;
    const started = await launch({ command, args, env, cwd, logFile });
    unit = started;
    adopt(started.identity);
    void started.exited.then(({ code, signal }) => {
      if (unit === started) unit = undefined;
      if (!wanted) return;
      onUnexpectedEnd(`${name} ended by itself (${signal ?? `exit ${code}`})`);
      setTimeout(() => {
        if (wanted && unit === undefined) void start();
      }, restartAfterMs);
    });
  };
  return {
    name,
    pid: () => unit?.identity.pid ?? null,
    start,
    async ready() {
      const answered = await eventually(async () => !wanted || isReady(readyUrl), { boundMs: 60_000, everyMs: 50 });
      if (answered === undefined) throw new Error(`${name} is not ready after 60 s:\n    ${logTail(logFile)}`);
    },
    async end(how) {
      wanted = false;
      const ending = unit;
      if (ending === undefined) return;
      if (typeof how === 'function') how();
      else process.kill(ending.identity.pid, how);
      await demand(`the end of ${name}`, () => unit !== ending, { boundMs: 120_000, everyMs: 5 });
    },
    send(signal) {
      if (unit !== undefined) process.kill(unit.identity.pid, signal);
    },
    logTail: (lines) => logTail(logFile, lines),
  };
}
