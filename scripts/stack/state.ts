import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeAtomically } from '../../toolchain/lock.ts';
import { isAlive } from '../../toolchain/process.ts';
import type { ProcessIdentity } from '../../toolchain/process.ts';

/** What `npm run up` is doing, for a second `up`, `--status`, `--stop` and other scripts. Lies in `<data dir>/up.json`. */
export interface StackState {
  readonly format: 1;
  readonly phase: 'starting' | 'ready' | 'stopping' | 'failed';
  readonly supervisor: ProcessIdentity;
  /** In the order of their start. */
  readonly units: readonly { readonly name: string; readonly identity: ProcessIdentity; readonly restarts: number }[];
  readonly urls: StackUrls | null;
  /** Why it failed, with the fix. */
  readonly error: string | null;
}
export interface StackUrls {
  readonly api: string;
  readonly docs: string;
  /** Null when an existing Temporal is used whose Web UI is not known (TEMPORAL_UI_URL). */
  readonly temporalUi: string | null;
  readonly temporalAddress: string;
  readonly temporalNamespace: string;
}

export const statePath = (dataDir: string): string => join(dataDir, 'up.json');
export const lockPath = (dataDir: string): string => join(dataDir, 'up.lock');
export const logPath = (dataDir: string, name: string): string => join(dataDir, 'logs', `${name}.log`);

export function readState(dataDir: string): StackState | null {
  const path = statePath(dataDir);
  if (!existsSync(path)) return null;
  const state = JSON.parse(readFileSync(path, 'utf8')) as StackState;
  return state.format === 1 ? state : null;
}

export const writeState = (dataDir: string, state: StackState): void =>
  writeAtomically(statePath(dataDir), `${JSON.stringify(state, null, 2)}\n`);

/** The state when its supervisor lives, else null: a file without a process is what a kill -9 leaves. */
export async function runningState(dataDir: string): Promise<StackState | null> {
  const state = readState(dataDir);
  return state !== null && (await isAlive(state.supervisor)) ? state : null;
}
