import { sql } from 'drizzle-orm';
import { index, integer, jsonb, pgTable, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import { bytea, instant } from './columns.ts';
import { notificationMessageStatus, notificationMethod } from './enums.ts';
import { users } from './users.ts';

export interface NotificationPayload {
  readonly notification_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, unknown>>;
}
export interface NotificationAction {
  readonly label: string;
  readonly url: string;
}

/** Messages that are to be delivered, written in the transaction of what they tell of. Source: spec/07 §12. */
export const notificationMessages = pgTable(
  'notification_messages',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    notificationTemplateId: uuid('notification_template_id').notNull(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    method: notificationMethod('method').notNull(),
    status: notificationMessageStatus('status').notNull().default('pending'),
    statusReason: text('status_reason'),
    createdBy: text('created_by').notNull(),
    payload: jsonb('payload').$type<NotificationPayload>().notNull(),
    attemptCount: integer('attempt_count').notNull().default(0),
    targets: uuid('targets')
      .array()
      .notNull()
      .default(sql`'{}'::uuid[]`),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    nextRetryAfter: instant('next_retry_after'),
    queuedSeconds: integer('queued_seconds'),
    /** One message per fact, user and method. */
    dedupeHash: bytea('dedupe_hash').notNull(),
  },
  (t) => [
    uniqueIndex('notification_messages_dedupe_idx').on(t.dedupeHash),
    index('notification_messages_pending_idx')
      .on(t.createdAt)
      .where(sql`status in ('pending', 'temporary_failure')`),
  ],
);

/**
 * What people find in their inbox. It outlives its message, whose id it has: sent messages are kept for days, the inbox for
 * months. Source: spec/07 §12.
 */
export const inboxNotifications = pgTable(
  'inbox_notifications',
  {
    /** The message's: delivered again, it meets its own row. */
    id: uuid('id').primaryKey(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    templateId: uuid('template_id').notNull(),
    targets: uuid('targets')
      .array()
      .notNull()
      .default(sql`'{}'::uuid[]`),
    title: text('title').notNull(),
    content: text('content').notNull(),
    icon: text('icon').notNull(),
    actions: jsonb('actions')
      .$type<readonly NotificationAction[]>()
      .notNull()
      .default(sql`'[]'::jsonb`),
    readAt: instant('read_at'),
    createdAt: instant('created_at').notNull(),
  },
  // Read backwards for pages and forwards by watchers: `desc()` would be NULLS LAST, which no ORDER BY of ours asks for.
  (t) => [
    index('inbox_notifications_user_idx').on(t.userId, t.createdAt, t.id),
    index('inbox_notifications_unread_idx')
      .on(t.userId, t.createdAt, t.id)
      .where(sql`read_at is null`),
  ],
);
