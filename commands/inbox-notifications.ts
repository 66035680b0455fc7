import type { Db } from '../db/client.ts';
import { type InboxRow, countUnread, setAllRead, setRead } from '../db/queries/inbox-notifications.ts';
import { type Action, authorize } from '../domain/authorization.ts';
import { notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import type { AccessDeps, Caller } from './caller.ts';

/** One's own inbox: even those who may read all others have no way to it here. */
export const authorizeInbox = (subject: Subject, action: Action, id?: string): void =>
  authorize(subject, action, { type: 'inbox_notification', ownerId: subject.id, ...(id !== undefined && { id }) });

export interface ReadInbox {
  readonly notification: InboxRow;
  readonly unread: number;
}

/** Throws NOT_FOUND, for another's as well. Not audited: nobody else is concerned. */
export async function markNotification(
  deps: Pick<AccessDeps, 'db' | 'now'>,
  { subject }: Pick<Caller, 'subject'>,
  { id, isRead }: { id: string; isRead: boolean },
): Promise<ReadInbox> {
  authorizeInbox(subject, 'update', id);
  const notification = await setRead(deps.db, { userId: subject.id, id, readAt: isRead ? deps.now() : null });
  if (notification === undefined) throw notFound();
  return { notification, unread: await countUnread(deps.db, subject.id) };
}

export async function markAllNotificationsRead(
  deps: { readonly db: Db; now(): Date },
  { subject }: Pick<Caller, 'subject'>,
): Promise<void> {
  authorizeInbox(subject, 'update');
  await setAllRead(deps.db, subject.id, deps.now());
}
