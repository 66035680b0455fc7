import { createHash } from 'node:crypto';
import { and, eq, inArray, sql } from 'drizzle-orm';
import { type NotificationTemplate, renderNotification } from '../../domain/notifications.ts';
import { type Db, pipelined } from '../client.ts';
import { inboxChannel, notify } from '../notifications.ts';
import { type NotificationPayload, notificationMessages } from '../schema/notifications.ts';
import { users } from '../schema/users.ts';
import { insertInboxNotifications } from './inbox-notifications.ts';

type Method = (typeof notificationMessages.$inferSelect)['method'];

export interface NewNotification {
  readonly template: NotificationTemplate;
  readonly userId: string;
  /** Names the fact, not its wording: the same fact is told once. */
  readonly eventKey: string;
  readonly labels: NotificationPayload['labels'];
  readonly data: NotificationPayload['data'];
  /** Ids of what it is about. */
  readonly targets: readonly string[];
  /** The actor that saw the fact. */
  readonly createdBy: string;
  readonly now: Date;
}

/** SHA-256 of template, user, method and fact; unique in the table. */
export const notificationDedupeHash = (message: {
  templateId: string;
  userId: string;
  method: Method;
  eventKey: string;
}): Buffer =>
  createHash('sha256')
    .update([message.templateId, message.userId, message.method, message.eventKey].join('|'))
    .digest();

/** Who keeps the templates of an organization; owners of the deployment only when they have that role as well. */
export async function listTemplateAdmins(db: Db, organizationId: string): Promise<string[]> {
  const rows = await db.execute<{ id: string }>(sql`
    select u.id from users u where u.deleted = false and u.status = 'active' and u.is_system = false and (
      'template-admin' = any(u.rbac_roles) or exists (
        select from organization_members m where m.user_id = u.id and m.organization_id = ${organizationId}
          and 'organization-template-admin' = any(m.roles)))
    order by u.id`);
  return rows.map(({ id }) => id);
}

/** Tells all template administrators of the organization, each once per fact. */
export async function notifyTemplateAdmins(
  tx: Db,
  organizationId: string,
  notification: Omit<NewNotification, 'userId'>,
): Promise<void> {
  for (const userId of await listTemplateAdmins(tx, organizationId))
    await enqueueNotification(tx, { ...notification, userId });
}

/**
 * Writes the message in the transaction of the fact that it tells. Nothing is written for system users, for people who are not
 * active, or for a fact that was told already. The inbox is in the same database, so there is nothing to wait for: its row is
 * written here, and the message is `sent` from the start. Both are there or neither, once, without a lease or a retry. Answers
 * the new message's id. Call it in a transaction. Source: spec/07 §12.
 */
export async function enqueueNotification(tx: Db, notification: NewNotification): Promise<string | undefined> {
  const [id] = await enqueueNotifications(tx, [notification]);
  return id;
}

/** The same for many at once, at most 1,000: by a fixed number of statements. Answers the ids of those that were not told before. */
export async function enqueueNotifications(tx: Db, notifications: readonly NewNotification[]): Promise<string[]> {
  const told = new Map(notifications.map((each) => [keyOf(hashOf(each)), each]));
  const userIds = [...new Set(notifications.map(({ userId }) => userId))];
  if (userIds.length === 0) return [];
  const active = await tx
    .select({ id: users.id })
    .from(users)
    .where(
      and(inArray(users.id, userIds), eq(users.status, 'active'), eq(users.isSystem, false), eq(users.deleted, false)),
    );
  const recipients = new Set(active.map(({ id }) => id));
  const wanted = [...told.values()].filter(({ userId }) => recipients.has(userId));
  if (wanted.length === 0) return [];
  const messages = await tx
    .insert(notificationMessages)
    .values(wanted.map(messageRow))
    .onConflictDoNothing({ target: notificationMessages.dedupeHash })
    .returning({ id: notificationMessages.id, dedupeHash: notificationMessages.dedupeHash });
  if (messages.length === 0) return [];
  const rows = messages.map(({ id, dedupeHash }) => inboxRow(id, told.get(keyOf(dedupeHash))!));
  const inboxes = [...new Set(rows.map(({ userId }) => userId))];
  await pipelined([
    insertInboxNotifications(tx, rows),
    ...pagesOf(inboxes, idsPerPayload).map((ids) => notify(tx, inboxChannel, ids.join(','))),
  ]);
  return rows.map(({ id }) => id);
}

const method = 'inbox';
const hashOf = ({ template, userId, eventKey }: NewNotification): Buffer =>
  notificationDedupeHash({ templateId: template.id, userId, method, eventKey });
const keyOf = (hash: Buffer): string => hash.toString('hex');

const messageRow = (notification: NewNotification): typeof notificationMessages.$inferInsert => {
  const { template, userId, labels, data, now } = notification;
  return {
    notificationTemplateId: template.id,
    userId,
    method,
    status: 'sent',
    attemptCount: 1,
    queuedSeconds: 0,
    createdBy: notification.createdBy,
    payload: { notification_name: template.name, labels, data },
    targets: [...notification.targets],
    createdAt: now,
    updatedAt: now,
    dedupeHash: hashOf(notification),
  };
};

function inboxRow(id: string, { template, userId, labels, data, targets, now }: NewNotification) {
  const words = renderNotification(template, { labels, data });
  return {
    id,
    userId,
    templateId: template.id,
    targets: [...targets],
    ...words,
    actions: [...words.actions],
    createdAt: now,
  };
}

/** A payload of PostgreSQL has less than 8,000 bytes. */
const idsPerPayload = 200;
const pagesOf = <T>(all: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, page) => all.slice(page * size, (page + 1) * size));
