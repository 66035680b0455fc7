import type { Db } from '../db/client.ts';
import { type Listener, inboxChannel } from '../db/notifications.ts';
import {
  type InboxFilter,
  type InboxPlace,
  type InboxRow,
  countUnread,
  findNewestInboxPlace,
  listInboxAfter,
} from '../db/queries/inbox-notifications.ts';
import { NIL_UUID } from '../domain/ids.ts';

export interface InboxUpdate {
  readonly notification: InboxRow;
  /** Of the whole inbox, when it was read for this. */
  readonly unread: number;
}

/**
 * `created_at` is drawn before the commit: one that lies before the newest may still appear. No transaction of ours is open
 * for longer (db/client.ts cuts idle ones after 10 s).
 */
const overlapMs = 15_000;
const pageSize = 100;

const isAfter = (row: InboxPlace, place: InboxPlace): boolean =>
  row.createdAt.getTime() === place.createdAt.getTime() ? row.id > place.id : row.createdAt > place.createdAt;

/**
 * Each notification that comes into the inbox once. The place where it begins is taken before this resolves, so that whoever is
 * answered after that misses nothing: behind `since`, else behind all that is there. Wake-ups only say when to look; what is new
 * is what the rows from a little before the newest one say, less those already known. Source: spec/07 §12.
 */
export async function openInbox(
  { db, listener }: { readonly db: Db; readonly listener: Listener },
  userId: string,
  { filter, since }: { filter: InboxFilter; since: InboxPlace | undefined },
): Promise<(signal: AbortSignal) => AsyncGenerator<InboxUpdate>> {
  /** Notifications within the overlap that were sent or are not to be. */
  const known = new Map<string, Date>();
  let floor = new Date(0);
  const raiseFloor = (newest: Date): void => {
    floor = new Date(Math.max(floor.getTime(), newest.getTime() - overlapMs));
    for (const [id, createdAt] of known) if (createdAt < floor) known.delete(id);
  };

  async function* readUnknown() {
    for (let after: InboxPlace = { createdAt: floor, id: NIL_UUID }; ;) {
      const page: Awaited<ReturnType<typeof listInboxAfter>> = await listInboxAfter(db, userId, {
        filter,
        after,
        limit: pageSize,
      });
      for (const row of page) if (!known.has(row.id)) yield row;
      const last = page.at(-1);
      if (last === undefined || page.length < pageSize) return;
      after = last;
    }
  }

  const begin = since ?? (await findNewestInboxPlace(db, userId));
  if (begin !== undefined) {
    raiseFloor(begin.createdAt);
    for await (const row of readUnknown()) {
      if (isAfter(row, begin)) break;
      known.set(row.id, row.createdAt);
    }
  }
  return async function* follow(signal) {
    for await (const _ of listener.wakeUps(inboxChannel, userId, { signal })) {
      let newest = floor;
      let unread: number | undefined;
      for await (const { matches, ...notification } of readUnknown()) {
        known.set(notification.id, notification.createdAt);
        if (notification.createdAt > newest) newest = notification.createdAt;
        if (!matches) continue;
        unread ??= await countUnread(db, userId);
        yield { notification, unread };
      }
      if (newest > floor) raiseFloor(newest);
    }
  };
}
