import { sql } from 'drizzle-orm';
import { index, integer, jsonb, pgTable, text, uniqueIndex, uuid, varchar } from 'drizzle-orm/pg-core';
import { inet, instant } from './columns.ts';
import { auditAction } from './enums.ts';

export type AuditDiff = Record<string, { old: unknown; new: unknown; secret: boolean }>;

/** Append-only (a trigger refuses UPDATE and DELETE). Source: spec/01 §5, spec/07 §11. */
export const auditLogs = pgTable(
  'audit_logs',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    time: instant('time').notNull(),
    userId: uuid('user_id'),
    /** Name of the background actor, empty for a person's request. */
    actor: text('actor').notNull().default(''),
    organizationId: uuid('organization_id').notNull(),
    ip: inet('ip'),
    userAgent: varchar('user_agent', { length: 256 }).notNull().default(''),
    resourceType: text('resource_type').notNull(),
    resourceId: uuid('resource_id').notNull(),
    resourceTarget: text('resource_target').notNull(),
    resourceIcon: text('resource_icon').notNull().default(''),
    action: auditAction('action').notNull(),
    diff: jsonb('diff').$type<AuditDiff>().notNull().default({}),
    statusCode: integer('status_code').notNull(),
    additionalFields: jsonb('additional_fields').$type<Record<string, unknown>>().notNull().default({}),
    requestId: uuid('request_id').notNull(),
  },
  (t) => [
    index('audit_logs_time_idx').on(t.time.desc()),
    index('audit_logs_resource_idx').on(t.resourceId),
    index('audit_logs_user_idx').on(t.userId),
    index('audit_logs_organization_idx').on(t.organizationId),
    uniqueIndex('audit_logs_background_once_idx')
      .on(t.requestId, t.resourceType, t.resourceId, t.action, t.statusCode)
      .where(sql`actor <> ''`),
  ],
);
