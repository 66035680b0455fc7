import type { Db } from '../db/client.ts';
import { type Listener, agentMetadataChannel } from '../db/notifications.ts';
import { type MetadataRow, listMetadata } from '../db/queries/agent-metadata.ts';

/** Events of one watcher are at least so far apart, and come at least so often (the age of a value goes on). */
const apartMs = 1_000;
const heartbeatMs = 5_000;
const agentsPerRead = 500;

interface Watched {
  watchers: number;
  readonly wakes: Set<() => void>;
  /** Undefined until the first read. */
  rows: readonly MetadataRow[] | undefined;
  changedAt: number;
}

export interface MetadataWatch {
  /** The agent's metadata at once, then after changes (at most once a second) and at least every five seconds. */
  watch(agentId: string, signal: AbortSignal): AsyncGenerator<readonly MetadataRow[]>;
  close(): void;
}

/**
 * Metadata for any number of watchers: what changed is read once per process and second, for all watched agents together.
 * Source: spec/05 §9.
 */
export function createMetadataWatch(deps: {
  db: Db;
  listener: Listener;
  onFailed: (err: unknown) => void;
}): MetadataWatch {
  const { db, listener } = deps;
  const watched = new Map<string, Watched>();
  const stale = new Set<string>();
  let reading: Promise<void> | undefined;

  async function readStale(): Promise<void> {
    while (stale.size > 0) {
      const ids = [...stale].slice(0, agentsPerRead);
      for (const id of ids) stale.delete(id);
      try {
        const rows = await listMetadata(db, ids);
        const now = performance.now();
        for (const id of ids) {
          const entry = watched.get(id);
          if (entry === undefined) continue;
          entry.rows = rows.filter((row) => row.agentId === id);
          entry.changedAt = now;
          for (const wake of entry.wakes) wake();
        }
      } catch (err) {
        deps.onFailed(err);
        for (const id of ids) if (watched.has(id)) stale.add(id);
        await new Promise((done) => setTimeout(done, apartMs));
      }
    }
  }
  const read = () => {
    reading ??= readStale().finally(() => (reading = undefined));
  };
  const unsubscribe = listener.subscribe(agentMetadataChannel, (ids) => {
    for (const id of ids ?? watched.keys()) if (watched.has(id)) stale.add(id);
    if (stale.size > 0) read();
  });
  /** Lost notifications only delay. */
  const rechecking = setInterval(() => {
    for (const id of watched.keys()) stale.add(id);
    if (stale.size > 0) read();
  }, 60_000).unref();

  return {
    async *watch(agentId, signal) {
      const entry = watched.get(agentId) ?? { watchers: 0, wakes: new Set(), rows: undefined, changedAt: -1 };
      watched.set(agentId, entry);
      entry.watchers += 1;
      try {
        if (entry.rows === undefined) {
          stale.add(agentId);
          read();
        }
        let seen = -1;
        while (!signal.aborted) {
          if (entry.changedAt <= seen || entry.rows === undefined)
            await wakeUp(heartbeatMs - apartMs, signal, entry.wakes);
          if (signal.aborted || entry.rows === undefined) continue;
          seen = entry.changedAt;
          yield entry.rows;
          await wakeUp(apartMs, signal);
        }
      } finally {
        entry.watchers -= 1;
        if (entry.watchers === 0) watched.delete(agentId);
      }
    },
    close() {
      clearInterval(rechecking);
      unsubscribe();
    },
  };
}

/** Resolves after the time, when the signal aborts, or when somebody wakes it. */
const wakeUp = (ms: number, signal: AbortSignal, wakes?: Set<() => void>): Promise<void> =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      wakes?.delete(end);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    wakes?.add(end);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
