import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JsonObject, flagAt, numberAt, objectAt, parseObject, textAt, textOrNullAt } from './json.ts';
import { type ProcessId, bootId, groupMembers, isProcessAlive, parseStat, processStat } from './process-identity.ts';

/**
 * One run of Terraform is one directory `<job>/runs/<number>`. The shim writes it, any worker of the host reads it:
 * `run.json` (what it is), `process` (who it is), `stdout.log`, `stderr.log`, `exit.json`, and the marks `interrupted` and
 * `killed` with the reason of whoever was first.
 */
export const stdoutFile = (outputDir: string): string => join(outputDir, 'stdout.log');
export const stderrFile = (outputDir: string): string => join(outputDir, 'stderr.log');
export const processFile = (outputDir: string): string => join(outputDir, 'process');
export const exitFile = (outputDir: string): string => join(outputDir, 'exit.json');

/** What a run is for; written by whoever asked for it. */
export interface RunMeta {
  readonly name: string;
  readonly stage: 'init' | 'plan' | 'graph' | 'apply';
  /** The attempt of the job that began it. */
  readonly attempt: number;
  readonly startedAt: string;
  /** It changes the world: after a lost worker it is awaited and read to its end, never begun again. */
  readonly resumable: boolean;
  /** The state it began with; null = none. */
  readonly input: { readonly serial: number; readonly lineage: string } | null;
}

export interface TerraformExit {
  /** null when a signal ended it, or when nobody was there to see it (its shim was gone). */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it was never started. */
  readonly error: string | null;
}

export type RunState =
  /** The shim has begun, Terraform has not said who it is. */
  | { readonly kind: 'starting' }
  | { readonly kind: 'running'; readonly process: ProcessId }
  | { readonly kind: 'ended'; readonly exit: TerraformExit }
  /** Terraform is gone and nobody has written down how; members of its group may live on. */
  | { readonly kind: 'lost'; readonly remains: number | null }
  /** Nothing was ever started here and nothing will be. */
  | { readonly kind: 'closed' };

const closedMark = 'closed';
const readText = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
};
const readJson = (path: string): JsonObject | null => {
  const text = readText(path);
  return text === null ? null : parseObject(text);
};

/** Numbers of the runs of a job in order; `runs` is the directory above them. */
export const listRuns = (runs: string): readonly number[] =>
  (existsSync(runs) ? readdirSync(runs) : [])
    .filter((name) => /^[1-9]\d*$/.test(name))
    .map(Number)
    .toSorted((a, b) => a - b);

/** null while the shim has not written it, or when it is not readable. */
export function readRunMeta(outputDir: string): (RunMeta & { readonly shim: ProcessId }) | null {
  const meta = readJson(join(outputDir, 'run.json'));
  if (meta === null) return null;
  const input = meta['input'];
  const shim = objectAt(meta, 'shim');
  return {
    name: textAt(meta, 'name'),
    stage: textAt(meta, 'stage') as RunMeta['stage'],
    attempt: numberAt(meta, 'attempt'),
    startedAt: textAt(meta, 'startedAt'),
    resumable: flagAt(meta, 'resumable'),
    input:
      input === null
        ? null
        : { serial: numberAt(objectAt(meta, 'input'), 'serial'), lineage: textAt(objectAt(meta, 'input'), 'lineage') },
    shim: { pid: numberAt(shim, 'pid'), startTime: textOrNullAt(shim, 'startTime') },
  };
}

/** Where a run stands. Certain about identity: same boot, and same pid with the same start. */
export function readRunState(outputDir: string): RunState {
  // In this order: an exit was written after all that the record says.
  const exit = readJson(exitFile(outputDir));
  const record = readText(processFile(outputDir));
  if (record === closedMark) return { kind: 'closed' };
  if (exit !== null) {
    const code = exit['code'];
    return {
      kind: 'ended',
      exit: {
        code: typeof code === 'number' ? code : null,
        signal: textOrNullAt(exit, 'signal') as NodeJS.Signals | null,
        error: textOrNullAt(exit, 'error'),
      },
    };
  }
  const [stat = '', boot = '', end] = (record ?? '').split('\n');
  if (end === undefined) return { kind: 'starting' };
  const pid = Number.parseInt(stat, 10);
  const started = parseStat(stat);
  if (started === null || !(pid > 1) || boot !== bootId()) return { kind: 'lost', remains: null };
  const now = processStat(pid);
  if (now?.startTime === started.startTime) return { kind: 'running', process: { pid, startTime: started.startTime } };
  // A pid is not given away while a group of that number lives.
  return { kind: 'lost', remains: now === null && groupMembers(pid).length > 0 ? pid : null };
}

/**
 * Makes sure that nothing will be started under this number any more. False when Terraform was faster: then it has a state
 * to read. Two workers of a host may both believe that a job is theirs; only one of them gets the number.
 */
export function closeRun(outputDir: string): boolean {
  try {
    mkdirSync(outputDir, { mode: 0o700 });
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
  }
  try {
    writeFileSync(processFile(outputDir), closedMark, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
    return readText(processFile(outputDir)) === closedMark;
  }
}

/** Why Terraform was asked to stop, and why its group was killed; null = it was not. */
export const readMarks = (
  outputDir: string,
): { readonly interrupted: string | null; readonly killed: string | null } => ({
  interrupted: readText(join(outputDir, 'interrupted')),
  killed: readText(join(outputDir, 'killed')),
});

/** Whether this is the first mark of its kind in the run. A full disk must not keep anybody from stopping. */
function markFirst(outputDir: string, name: 'interrupted' | 'killed', reason: string): boolean {
  try {
    writeFileSync(join(outputDir, name), reason, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code !== 'EEXIST';
  }
}

const send = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
  }
};

/**
 * Asks a running Terraform to stop: one SIGINT to it alone, once in its life whoever asks. A second one would make it abandon
 * running calls, and the state could miss resources (spec/02 §5.4).
 */
export function interruptRun(outputDir: string, reason: string): void {
  const state = readRunState(outputDir);
  if (state.kind !== 'running' || !markFirst(outputDir, 'interrupted', reason)) return;
  // One that is held back (output-rotation.ts, shim.mjs) has to wake up for it.
  if (processStat(state.process.pid)?.stopped === true) send(-state.process.pid, 'SIGCONT');
  send(state.process.pid, 'SIGINT');
}

/** SIGKILL to the whole group: providers and children of local-exec survive the end of Terraform alone. */
export function killRun(outputDir: string, reason: string): void {
  const state = readRunState(outputDir);
  const pid = state.kind === 'running' ? state.process.pid : state.kind === 'lost' ? state.remains : null;
  if (pid === null) return;
  markFirst(outputDir, 'killed', reason);
  send(-pid, 'SIGKILL');
}

/** Whether the process that supervises this run lives. */
export const isSupervised = (outputDir: string): boolean => {
  const meta = readRunMeta(outputDir);
  return meta !== null && isProcessAlive(meta.shim);
};
