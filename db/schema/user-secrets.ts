import { sql } from 'drizzle-orm';
import { boolean, integer, pgTable, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import { bytea, instant } from './columns.ts';
import { users } from './users.ts';

/** Values that reach the agents of their owner and nothing else; limits per user are held by a trigger. Source: spec/07 §9. */
export const userSecrets = pgTable(
  'user_secrets',
  {
    id: uuid('id').primaryKey(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    envName: text('env_name').notNull().default(''),
    filePath: text('file_path').notNull().default(''),
    enabled: boolean('enabled').notNull().default(true),
    value: bytea('value').notNull(),
    valueKeyId: text('value_key_id').notNull(),
    /** Of the plain value: encryption does not shrink anybody's budget. */
    valueBytes: integer('value_bytes').notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('user_secrets_name_idx').on(t.userId, t.name),
    uniqueIndex('user_secrets_env_name_idx')
      .on(t.userId, t.envName)
      .where(sql`env_name <> ''`),
    uniqueIndex('user_secrets_file_path_idx')
      .on(t.userId, t.filePath)
      .where(sql`file_path <> ''`),
  ],
);
