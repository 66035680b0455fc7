import { type SQL, and, arrayContains, asc, count, desc, eq, inArray, isNotNull, isNull, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { inboxNotifications as inbox } from '../schema/notifications.ts';

/** Every statement names the user: an inbox is nobody else's, whatever the roles. Source: spec/07 §12. */

const columns = {
  id: inbox.id,
  userId: inbox.userId,
  templateId: inbox.templateId,
  targets: inbox.targets,
  title: inbox.title,
  content: inbox.content,
  icon: inbox.icon,
  actions: inbox.actions,
  readAt: inbox.readAt,
  createdAt: inbox.createdAt,
};
export type InboxRow = Pick<typeof inbox.$inferSelect, keyof typeof columns>;

export const readStatuses = ['all', 'unread', 'read'] as const;
export interface InboxFilter {
  /** All of them are among the notification's. */
  readonly targets: readonly string[] | undefined;
  /** Its template is one of them. */
  readonly templates: readonly string[] | undefined;
  readonly readStatus: (typeof readStatuses)[number];
}

const matching = ({ targets, templates, readStatus }: InboxFilter): SQL | undefined =>
  and(
    targets === undefined ? undefined : arrayContains(inbox.targets, [...targets]),
    templates === undefined ? undefined : inArray(inbox.templateId, [...templates]),
    readStatus === 'all' ? undefined : readStatus === 'read' ? isNotNull(inbox.readAt) : isNull(inbox.readAt),
  );

export async function insertInboxNotifications(tx: Db, rows: readonly (typeof inbox.$inferInsert)[]): Promise<void> {
  await tx
    .insert(inbox)
    .values([...rows])
    .onConflictDoNothing({ target: inbox.id });
}

/** Newest first, behind `startingBefore` if it is given. */
export const listInbox = (
  db: Db,
  userId: string,
  page: { filter: InboxFilter; startingBefore: InboxPlace | undefined; limit: number },
): Promise<InboxRow[]> =>
  db
    .select(columns)
    .from(inbox)
    .where(
      and(
        eq(inbox.userId, userId),
        matching(page.filter),
        page.startingBefore === undefined ? undefined : sql`${placeOf} < ${valuesOf(page.startingBefore)}`,
      ),
    )
    .orderBy(desc(inbox.createdAt), desc(inbox.id))
    .limit(page.limit);

/** Where a notification stands in its inbox. Exact: `created_at` was written from a `Date`. */
export type InboxPlace = Pick<InboxRow, 'createdAt' | 'id'>;
const placeOf = sql`(${inbox.createdAt}, ${inbox.id})`;
const valuesOf = ({ createdAt, id }: InboxPlace) => sql`(${createdAt.toISOString()}::timestamptz, ${id}::uuid)`;

/** Oldest first, whatever the filter says of them: `matches` is what it says. */
export const listInboxAfter = (
  db: Db,
  userId: string,
  page: { filter: InboxFilter; after: InboxPlace; limit: number },
): Promise<(InboxRow & { matches: boolean })[]> =>
  db
    .select({ ...columns, matches: sql<boolean>`${matching(page.filter) ?? sql`true`}` })
    .from(inbox)
    .where(and(eq(inbox.userId, userId), sql`${placeOf} > ${valuesOf(page.after)}`))
    .orderBy(asc(inbox.createdAt), asc(inbox.id))
    .limit(page.limit);

export async function findInboxPlace(db: Db, userId: string, id: string): Promise<InboxPlace | undefined> {
  const [row] = await db
    .select({ id: inbox.id, createdAt: inbox.createdAt })
    .from(inbox)
    .where(and(eq(inbox.id, id), eq(inbox.userId, userId)));
  return row;
}

export async function findNewestInboxPlace(db: Db, userId: string): Promise<InboxPlace | undefined> {
  const [row] = await db
    .select({ id: inbox.id, createdAt: inbox.createdAt })
    .from(inbox)
    .where(eq(inbox.userId, userId))
    .orderBy(desc(inbox.createdAt), desc(inbox.id))
    .limit(1);
  return row;
}

export async function countUnread(db: Db, userId: string): Promise<number> {
  const [row] = await db
    .select({ unread: count() })
    .from(inbox)
    .where(and(eq(inbox.userId, userId), isNull(inbox.readAt)));
  return row?.unread ?? 0;
}

/** One that was read keeps the time at which it first was. */
export async function setRead(
  db: Db,
  of: { userId: string; id: string; readAt: Date | null },
): Promise<InboxRow | undefined> {
  const [row] = await db
    .update(inbox)
    .set({
      readAt: of.readAt === null ? null : sql`coalesce(${inbox.readAt}, ${of.readAt.toISOString()}::timestamptz)`,
    })
    .where(and(eq(inbox.id, of.id), eq(inbox.userId, of.userId)))
    .returning(columns);
  return row;
}

export async function setAllRead(db: Db, userId: string, readAt: Date): Promise<void> {
  await db
    .update(inbox)
    .set({ readAt })
    .where(and(eq(inbox.userId, userId), isNull(inbox.readAt)));
}
