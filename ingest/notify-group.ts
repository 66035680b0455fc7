import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import type { Channel } from '../db/notifications.ts';

/** 190 uuids with commas stay below what PostgreSQL takes as a payload (8,000 bytes). */
const idsPerPayload = 190;
const apartMs = 250;

export interface NotifyGroup {
  /** Tells listeners of all processes that the thing with this id has changed; at most four times a second per channel. */
  add(channel: Channel, ids: Iterable<string>): void;
  close(): Promise<void>;
}

/** Notifications of this process, gathered: the first goes out at once, those of the next 250 ms together. Source: spec/05 §8. */
export function createNotifyGroup(deps: { db: Db; onFailed: (err: unknown) => void }): NotifyGroup {
  const waiting = new Map<Channel, Set<string>>();
  let timer: NodeJS.Timeout | undefined;
  let sentAt = -Infinity;
  let sending: Promise<void> = Promise.resolve();

  async function send(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const payloads = [...waiting].flatMap(([channel, ids]) => {
      const all = [...ids];
      return Array.from({ length: Math.ceil(all.length / idsPerPayload) }, (_, index) => ({
        channel,
        payload: all.slice(index * idsPerPayload, (index + 1) * idsPerPayload).join(','),
      }));
    });
    waiting.clear();
    if (payloads.length === 0) return;
    sentAt = performance.now();
    await deps.db
      .execute(
        sql`select pg_notify(n.channel, n.payload) from json_to_recordset(${JSON.stringify(payloads)}::text::json) as n(channel text, payload text)`,
      )
      // Readers look again by themselves (design §5): a lost notification only delays.
      .catch(deps.onFailed);
  }

  return {
    add(channel, ids) {
      const set = waiting.get(channel) ?? new Set();
      for (const id of ids) set.add(id);
      waiting.set(channel, set);
      timer ??= setTimeout(() => (sending = sending.then(send)), Math.max(0, sentAt + apartMs - performance.now()));
    },
    async close() {
      await (sending = sending.then(send));
    },
  };
}
