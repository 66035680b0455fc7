import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A process of the bench that answers questions over IPC. */
export interface Child {
  readonly pid: number;
  ask<T>(method: string, params?: object): Promise<T>;
  /** Resolves when it is gone; `graceMs` after the signal it is killed. Answers whether that was needed. */
  end(signal: NodeJS.Signals, graceMs?: number): Promise<{ killed: boolean }>;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

export interface StartOptions {
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Standard output goes there; default nowhere. */
  readonly logFile?: string;
}

/** Node with the given arguments. Node itself raises its limit of open files to the hard one. */
export function startChild({ args, env, logFile }: StartOptions): Child {
  const log = logFile === undefined ? 'ignore' : openSync(logFile, 'a');
  const child = spawn(process.execPath, [...args], { env, stdio: ['ignore', log, 'inherit', 'ipc'] });
  if (typeof log === 'number') closeSync(log);
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (err: Error) => void }>();
  let asked = 0;
  child.on('message', ({ id, result, error }: Answer) => {
    const question = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) question?.resolve(result);
    else question?.reject(new Error(error));
  });
  const exited = once(child, 'exit').then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`process ${child.pid} has ended`));
  });
  return {
    pid: child.pid!,
    ask: <T>(method: string, params: object = {}) =>
      new Promise<T>((resolve, reject) => {
        asked += 1;
        waiting.set(asked, { resolve: resolve as (value: unknown) => void, reject });
        child.send({ id: asked, method, params }, (err) => err !== null && reject(err));
      }),
    async end(signal, graceMs = 40_000) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      let killed = false;
      const late = setTimeout(() => (killed = child.kill('SIGKILL')), graceMs);
      await exited;
      clearTimeout(late);
      return { killed };
    },
  };
}

/** A TypeScript file of this directory as a process. */
export const startDriver = (file: string, env: NodeJS.ProcessEnv): Child =>
  startChild({
    args: ['--import', import.meta.resolve('tsx'), fileURLToPath(new URL(file, import.meta.url))],
    env,
  });

/** Answers the questions of the process that started this one. */
export function answer(methods: Readonly<Record<string, (params: never) => unknown>>): void {
  process.on('message', ({ id, method, params }: { id: number; method: string; params: never }) => {
    void Promise.resolve()
      .then(() => methods[method]!(params))
      .then(
        (result) => process.send!({ id, result }),
        (err: unknown) => process.send!({ id, error: String(err) }),
      );
  });
  process.on('disconnect', () => process.exit(0));
}
