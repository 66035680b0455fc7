import { sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import type { Db, Sql } from './client.ts';

/** The fixed NOTIFY channels; payload = ids of the jobs, workspaces or agents that changed, with commas (design §5). */
export const jobLogsChannel = 'berth_job_logs';
export const jobsChannel = 'berth_jobs';
export const workspacesChannel = 'berth_workspaces';
/** Ids of workspaces whose agents or apps are in another state: no change that decides who may speak for them. */
export const agentStatesChannel = 'berth_agent_states';
export const agentLogsChannel = 'berth_agent_logs';
export const agentMetadataChannel = 'berth_agent_metadata';
/** An agent was asked to shut down. */
export const agentCommandsChannel = 'berth_agent_commands';
/** A question to an agent waits (payload: agent), or has its answer (payload: the request). */
export const agentRequestsChannel = 'berth_agent_requests';
/** What may change a pool: the reconciler looks at once. Payload: the template, or `resume`. */
export const prebuildsChannel = 'berth_prebuilds';
/** Something is due that the clock did not bring: a user was suspended. */
export const lifecycleChannel = 'berth_lifecycle';
/** Something was put into an inbox. Payload: its user. */
export const inboxChannel = 'berth_inbox';
const channels = [
  jobLogsChannel,
  jobsChannel,
  workspacesChannel,
  agentStatesChannel,
  agentLogsChannel,
  agentMetadataChannel,
  agentCommandsChannel,
  agentRequestsChannel,
  prebuildsChannel,
  lifecycleChannel,
  inboxChannel,
] as const;
export type Channel = (typeof channels)[number];

/** Sends on commit of the transaction it is called in. */
export async function notify(tx: Db, channel: Channel, payload: string): Promise<void> {
  await tx.execute(sql`select pg_notify(${channel}, ${payload})`);
}

/** The same of several channels, in one statement. */
export async function notifyAll(tx: Db, notices: readonly (readonly [Channel, payload: string])[]): Promise<void> {
  await tx.execute(
    sql`select ${sql.join(
      notices.map(([channel, payload]) => sql`pg_notify(${channel}, ${payload})`),
      sql`, `,
    )}`,
  );
}

/**
 * Tells followers that a job is over, watchers of the workspace whose build it was that it changed, and the reconciler when it is
 * a prebuild's.
 */
export async function notifyJobEnd(tx: Db, jobId: string, buildId: string | undefined): Promise<void> {
  await tx.execute(sql`
    select pg_notify(${jobLogsChannel}, ${jobId}), pg_notify(${jobsChannel}, ${jobId}),
      case when w.id is not null then pg_notify(${workspacesChannel}, w.id::text) end,
      case when w.owner_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid then pg_notify(${prebuildsChannel}, w.template_id::text) end
    from (select ${buildId ?? null}::uuid as build_id) as ended
    left join workspace_builds b on b.id = ended.build_id
    left join workspaces w on w.id = b.workspace_id`);
}

export interface Listener {
  /**
   * Wakes after each notification for `payload` (or `also`), on reconnect, and every `recheckMs` (default 30 s): a lost
   * notification only delays. Ends when `signal` aborts.
   */
  wakeUps(
    channel: Channel,
    payload: string,
    options: { signal: AbortSignal; recheckMs?: number; also?: { channel: Channel; payload: string } },
  ): AsyncIterable<void>;
  /**
   * Every notification of a channel as the list of its ids; `undefined` after a reconnect, when any id may have been missed.
   * Answers the function that ends it.
   */
  subscribe(channel: Channel, onIds: (ids: readonly string[] | undefined) => void): () => void;
  close(): Promise<void>;
}

/** One LISTEN connection per process that fans out to any number of waiters. */
export async function createListener(sql: Sql): Promise<Listener> {
  const waiters = new Map<string, Set<() => void>>();
  const subscribers = new Map<Channel, Set<(ids: readonly string[] | undefined) => void>>();
  const wakeAll = () => {
    for (const set of waiters.values()) for (const wake of set) wake();
    for (const set of subscribers.values()) for (const onIds of set) onIds(undefined);
  };
  const subscriptions = await Promise.all(
    channels.map((channel) =>
      sql.listen(
        channel,
        (payload) => {
          const ids = payload.split(',');
          for (const id of ids) for (const wake of waiters.get(`${channel} ${id}`) ?? []) wake();
          for (const onIds of subscribers.get(channel) ?? []) onIds(ids);
        },
        // Called after every (re)connect: notifications sent in between are gone.
        wakeAll,
      ),
    ),
  );
  return {
    async *wakeUps(channel, payload, { signal, recheckMs = 30_000, also }) {
      const keys = [{ channel, payload }, ...(also === undefined ? [] : [also])].map(
        (each) => `${each.channel} ${each.payload}`,
      );
      let pending = true;
      let resolve: (() => void) | undefined;
      const wake = () => {
        pending = true;
        resolve?.();
      };
      for (const key of keys) waiters.set(key, (waiters.get(key) ?? new Set()).add(wake));
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
        for (const key of keys) {
          const set = waiters.get(key);
          set?.delete(wake);
          if (set?.size === 0) waiters.delete(key);
        }
      }
    },
    subscribe(channel, onIds) {
      const set = subscribers.get(channel) ?? new Set();
      subscribers.set(channel, set.add(onIds));
      return () => void set.delete(onIds);
    },
    async close() {
      wakeAll();
      await Promise.all(subscriptions.map((subscription) => subscription.unlisten()));
    },
  };
}
