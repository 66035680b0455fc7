import { sql } from 'drizzle-orm';
import type { Db, Sql } from './client.ts';

/** The fixed NOTIFY channels; payload = id of the job or workspace that changed (design §5). */
export const jobLogsChannel = 'berth_job_logs';
export const jobsChannel = 'berth_jobs';
export const workspacesChannel = 'berth_workspaces';
const channels = [jobLogsChannel, jobsChannel, workspacesChannel] as const;
export type Channel = (typeof channels)[number];

/** Sends on commit of the transaction it is called in. */
export async function notify(tx: Db, channel: Channel, payload: string): Promise<void> {
  await tx.execute(sql`select pg_notify(${channel}, ${payload})`);
}

/** Tells followers that a job is over, and watchers of the workspace whose build it was that it changed. */
export async function notifyJobEnd(tx: Db, jobId: string, buildId: string | undefined): Promise<void> {
  await tx.execute(sql`
    select pg_notify(${jobLogsChannel}, ${jobId}), pg_notify(${jobsChannel}, ${jobId}),
      (select pg_notify(${workspacesChannel}, b.workspace_id::text) from workspace_builds b
       where b.id = ${buildId ?? null}::uuid)`);
}

export interface Listener {
  /**
   * Wakes after each notification for `payload`, on reconnect, and every `recheckMs` (default 30 s): a lost
   * notification only delays. Ends when `signal` aborts.
   */
  wakeUps(channel: Channel, payload: string, options: { signal: AbortSignal; recheckMs?: number }): AsyncIterable<void>;
  close(): Promise<void>;
}

/** One LISTEN connection per process that fans out to any number of waiters. */
export async function createListener(sql: Sql): Promise<Listener> {
  const waiters = new Map<string, Set<() => void>>();
  const wakeAll = () => {
    for (const set of waiters.values()) for (const wake of set) wake();
  };
  const subscriptions = await Promise.all(
    channels.map((channel) =>
      sql.listen(
        channel,
        (payload) => {
          for (const wake of waiters.get(`${channel} ${payload}`) ?? []) wake();
        },
        // Called after every (re)connect: notifications sent in between are gone.
        wakeAll,
      ),
    ),
  );
  return {
    async *wakeUps(channel, payload, { signal, recheckMs = 30_000 }) {
      const key = `${channel} ${payload}`;
      let pending = true;
      let resolve: (() => void) | undefined;
      const wake = () => {
        pending = true;
        resolve?.();
      };
      const set = waiters.get(key) ?? new Set();
      waiters.set(key, set.add(wake));
      signal.addEventListener('abort', wake);
      const timer = setInterval(wake, recheckMs);
      try {
        while (!signal.aborted) {
          if (!pending) await new Promise<void>((done) => (resolve = done));
          if (signal.aborted) return;
          pending = false;
          yield;
        }
      } finally {
        clearInterval(timer);
        signal.removeEventListener('abort', wake);
        set.delete(wake);
        if (set.size === 0 && waiters.get(key) === set) waiters.delete(key);
      }
    },
    async close() {
      wakeAll();
      await Promise.all(subscriptions.map((subscription) => subscription.unlisten()));
    },
  };
}
