import { z } from '@hono/zod-openapi';
import { authorizeInbox, markAllNotificationsRead, markNotification } from '../../commands/inbox-notifications.ts';
import {
  type InboxFilter,
  type InboxPlace,
  type InboxRow,
  countUnread,
  findInboxPlace,
  listInbox,
  readStatuses,
} from '../../db/queries/inbox-notifications.ts';
import { DomainError, invalidField } from '../../domain/errors.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { openInbox } from '../inbox-updates.ts';
import { commaUuids } from '../job-query.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, timestamp, toWireTime, toWireTimeOrNull, uuid } from '../schemas.ts';
import { streamSse, streamWebSocket, wantsWebSocket } from '../streams.ts';

const InboxNotification = z
  .object({
    id: uuid(),
    user_id: uuid(),
    template_id: uuid(),
    targets: z.array(uuid()),
    title: z.string(),
    content: z.string().openapi({ description: 'plain text that is also Markdown' }),
    icon: z.string(),
    actions: z.array(
      z.object({ label: z.string(), url: z.string().openapi({ description: 'path within the deployment' }) }),
    ),
    read_at: timestamp().nullable(),
    created_at: timestamp(),
  })
  .openapi('InboxNotification');
export type InboxNotificationBody = z.infer<typeof InboxNotification>;
const unreadCount = z.number().int().openapi({ description: 'of the whole inbox, whatever the filter' });
const Inbox = z
  .object({ notifications: z.array(InboxNotification), unread_count: unreadCount })
  .openapi('ListInboxNotificationsResponse');
export type InboxBody = z.infer<typeof Inbox>;
const InboxUpdate = z
  .object({ notification: InboxNotification, unread_count: unreadCount })
  .openapi('GetInboxNotificationResponse');
const ReadStatus = z.object({ is_read: z.boolean() }).openapi('UpdateInboxNotificationReadStatusRequest');

const tags = ['Notifications'];
const of = (action: 'read' | 'update') => ({ type: 'inbox_notification', action }) as const;
const filterQuery = z.object({
  targets: commaUuids(),
  templates: commaUuids(),
  read_status: z.enum(readStatuses).default('all'),
});
const pageSize = 25;

const list = defineRoute({
  method: 'get',
  path: '/notifications/inbox',
  access: of('read'),
  tags,
  summary: 'Your notifications, newest first',
  request: {
    query: filterQuery.extend({
      starting_before: uuid().optional().openapi({ description: 'the last notification of the page before' }),
    }),
  },
  responses: { 200: json(Inbox, `At most ${pageSize}`) },
});
const putReadStatus = defineRoute({
  method: 'put',
  path: '/notifications/inbox/{id}/read-status',
  access: of('update'),
  tags,
  summary: 'Say that you have read a notification, or not',
  request: { params: z.object({ id: uuid() }), ...jsonBody(ReadStatus) },
  responses: { 200: json(InboxUpdate, 'As it is now') },
});
const markAll = defineRoute({
  method: 'put',
  path: '/notifications/inbox/mark-all-as-read',
  access: of('update'),
  tags,
  summary: 'Say that you have read all notifications',
  responses: { 204: { description: 'None is unread' } },
});
const watch = defineRoute({
  method: 'get',
  path: '/notifications/inbox/watch',
  access: of('read'),
  stream: true,
  tags,
  summary: 'Watch your notifications (WebSocket, or SSE with Accept: text/event-stream)',
  request: {
    query: filterQuery.extend({
      since: uuid().optional().openapi({ description: 'also those behind this one: the last that was seen' }),
    }),
  },
  responses: { 200: json(InboxUpdate, 'One per message; each notification once') },
});

const toInboxNotification = (row: InboxRow): InboxNotificationBody => ({
  id: row.id,
  user_id: row.userId,
  template_id: row.templateId,
  targets: row.targets,
  title: row.title,
  content: row.content,
  icon: row.icon,
  actions: [...row.actions],
  read_at: toWireTimeOrNull(row.readAt),
  created_at: toWireTime(row.createdAt),
});
const toFilter = (query: z.output<typeof filterQuery>): InboxFilter => ({
  targets: query.targets,
  templates: query.templates,
  readStatus: query.read_status,
});

/** Source: spec/06 §12, spec/07 §12. */
export function registerNotificationRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  /** A place in the caller's own inbox; INVALID_INPUT naming the field when there is none. */
  const placeOf = async (userId: string, field: string, id: string | undefined): Promise<InboxPlace | undefined> => {
    if (id === undefined) return undefined;
    const place = await findInboxPlace(db, userId, id);
    if (place === undefined) throw invalidField(field, 'must be a notification of yours');
    return place;
  };
  app.openapi(list, async (c) => {
    const { id: userId } = c.var.subject;
    authorizeInbox(c.var.subject, 'read');
    const { starting_before: before, ...query } = c.req.valid('query');
    const startingBefore = await placeOf(userId, 'starting_before', before);
    const [rows, unread] = await Promise.all([
      listInbox(db, userId, { filter: toFilter(query), startingBefore, limit: pageSize }),
      countUnread(db, userId),
    ]);
    return c.json({ notifications: rows.map(toInboxNotification), unread_count: unread }, 200);
  });
  app.openapi(markAll, async (c) => {
    await markAllNotificationsRead(deps, callerOf(c));
    return c.body(null, 204);
  });
  app.openapi(putReadStatus, async (c) => {
    const change = { id: c.req.valid('param').id, isRead: c.req.valid('json').is_read };
    const { notification, unread } = await markNotification(deps, callerOf(c), change);
    return c.json({ notification: toInboxNotification(notification), unread_count: unread }, 200);
  });
  app.openapi(watch, async (c) => {
    const { id: userId } = c.var.subject;
    authorizeInbox(c.var.subject, 'read');
    const asSse = !wantsWebSocket(c);
    if (asSse && c.req.header('Accept')?.includes('text/event-stream') !== true)
      throw new DomainError('INVALID_INPUT', 'Watching needs a WebSocket, or Accept: text/event-stream');
    const { since, ...query } = c.req.valid('query');
    const place = await placeOf(userId, 'since', since);
    const follow = await openInbox(deps, userId, { filter: toFilter(query), since: place });
    const source = async function* (signal: AbortSignal) {
      for await (const { notification, unread } of follow(signal))
        yield { notification: toInboxNotification(notification), unread_count: unread };
    };
    return (asSse ? streamSse(c, source) : await streamWebSocket(c, source, { frames: 'logs' })) as never;
  });
}
