import { listUsableKeys } from '../db/queries/api-keys.ts';
import { isTouchDue } from '../domain/session-token.ts';
import type { AppDeps } from './context.ts';

/** Streams that ask within this time are answered by one statement. */
const gatherMs = 1_000;

/** `due`: valid, and its use has to be written down again. */
export type KeyState = 'valid' | 'due' | 'ended';

export interface KeyStates {
  ask(keyId: string): Promise<KeyState>;
}

const perProcess = new WeakMap<AppDeps, KeyStates>();

/** Whether keys still open the door, asked for many streams at once. */
export function keyStates(deps: AppDeps): KeyStates {
  const known = perProcess.get(deps) ?? createKeyStates(deps);
  perProcess.set(deps, known);
  return known;
}

function createKeyStates({ db, now }: Pick<AppDeps, 'db' | 'now'>): KeyStates {
  let waiting = new Map<string, ((state: KeyState) => void)[]>();
  let timer: NodeJS.Timeout | undefined;

  async function answer(): Promise<void> {
    timer = undefined;
    const askers = waiting;
    waiting = new Map();
    const instant = now();
    const rows = await listUsableKeys(db, [...askers.keys()], instant).catch(() => undefined);
    const usable = new Map(rows?.map((row) => [row.id, row]));
    for (const [keyId, resolves] of askers) {
      const row = usable.get(keyId);
      // The database is away: that is no reason to end a stream.
      const state: KeyState = rows === undefined ? 'valid' : row === undefined ? 'ended' : stateOf(row, instant);
      for (const resolve of resolves) resolve(state);
    }
  }
  return {
    ask: (keyId) =>
      new Promise((resolve) => {
        waiting.set(keyId, [...(waiting.get(keyId) ?? []), resolve]);
        timer ??= setTimeout(() => void answer(), gatherMs);
      }),
  };
}

const stateOf = (row: { lastUsed: Date; lastSeenAt: Date | null }, now: Date): KeyState =>
  isTouchDue(row.lastUsed, now) || isTouchDue(row.lastSeenAt, now) ? 'due' : 'valid';
