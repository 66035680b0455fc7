import { createHash } from 'node:crypto';
import { and, eq, sql } from 'drizzle-orm';
import { type NotificationTemplate, renderNotification } from '../../domain/notifications.ts';
import { type Db, pipelined } from '../client.ts';
import { inboxChannel, notify } from '../notifications.ts';
import { type NotificationPayload, notificationMessages } from '../schema/notifications.ts';
import { users } from '../schema/users.ts';
import { insertInboxNotification } from './inbox-notifications.ts';

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
  const { template, userId, eventKey, labels, data, now } = notification;
  const method = 'inbox';
  const [recipient] = await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.id, userId), eq(users.status, 'active'), eq(users.isSystem, false), eq(users.deleted, false)));
  if (recipient === undefined) return undefined;
  const targets = [...notification.targets];
  const [message] = await tx
    .insert(notificationMessages)
    .values({
      notificationTemplateId: template.id,
      userId,
      method,
      status: 'sent',
      attemptCount: 1,
      queuedSeconds: 0,
      createdBy: notification.createdBy,
      payload: { notification_name: template.name, labels, data },
      targets,
      createdAt: now,
      updatedAt: now,
      dedupeHash: notificationDedupeHash({ templateId: template.id, userId, method, eventKey }),
    })
    .onConflictDoNothing({ target: notificationMessages.dedupeHash })
    .returning({ id: notificationMessages.id });
  if (message === undefined) return undefined;
  const words = renderNotification(template, { labels, data });
  await pipelined([
    insertInboxNotification(tx, {
      id: message.id,
      userId,
      templateId: template.id,
      targets,
      ...words,
      actions: [...words.actions],
      createdAt: now,
    }),
    notify(tx, inboxChannel, userId),
  ]);
  return message.id;
}
