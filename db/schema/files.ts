import { check, pgTable, uniqueIndex, uuid, varchar } from 'drizzle-orm/pg-core';
import { sql } from 'drizzle-orm';
import { bytea, instant } from './columns.ts';

/** Template and module archives; never joined by ordinary queries. Source: spec/01 §2.4. */
export const files = pgTable(
  'files',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    /** Lower-case hex SHA-256 of `data`. */
    hash: varchar('hash', { length: 64 }).notNull(),
    /** Uploader; the nil uuid for files that the system writes. */
    createdBy: uuid('created_by').notNull(),
    mimetype: varchar('mimetype', { length: 64 }).notNull(),
    data: bytea('data').notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    uniqueIndex('files_hash_created_by_idx').on(t.hash, t.createdBy),
    check('files_size', sql`octet_length(data) <= 104857600`),
  ],
);
