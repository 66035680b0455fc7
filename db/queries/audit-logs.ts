import { and, desc, eq, gte, inArray, lte, sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import { NIL_UUID } from '../../domain/ids.ts';
import type { Subject } from '../../domain/subject.ts';
import { readableBy } from '../authorization-filter.ts';
import type { Db } from '../client.ts';
import { toJson } from '../json.ts';
import type { AuditDiff } from '../schema/audit-logs.ts';
import { auditLogs } from '../schema/audit-logs.ts';
import { organizations, users } from '../schema/users.ts';

/** Where a change came from. A person's request has no actor; background work has no address. */
export interface AuditOrigin {
  readonly requestId: string;
  readonly ip: string | null;
  readonly userAgent: string;
  /** On whose behalf; null before anybody is known (a failed login of an unknown account). */
  readonly userId: string | null;
  /** Name of the background actor, empty for a person. */
  readonly actor: string;
}

export const auditActions = auditLogs.action.enumValues;

export interface NewAuditRow {
  readonly origin: AuditOrigin;
  readonly time: Date;
  readonly resourceType: string;
  readonly resourceId: string;
  /** What a person calls it: a name, never a secret. */
  readonly resourceTarget: string;
  readonly action: (typeof auditLogs.action.enumValues)[number];
  readonly organizationId?: string;
  readonly resourceIcon?: string;
  readonly diff?: AuditDiff;
  readonly statusCode?: number;
  readonly additionalFields?: Readonly<Record<string, unknown>>;
}

/** Writes one row; see insertAudits. */
export const insertAudit = (tx: Db, row: NewAuditRow): Promise<void> => insertAudits(tx, [row]);

/**
 * Writes rows; call it in the transaction of the change, so that both happen or neither. A retry of background work
 * (`origin.actor` set) meets its own rows and changes nothing. Source: spec/07 §11.
 */
export async function insertAudits(tx: Db, rows: readonly NewAuditRow[]): Promise<void> {
  const records = rows.map((row) => ({
    time: row.time,
    user_id: row.origin.userId,
    actor: row.origin.actor,
    organization_id: row.organizationId ?? NIL_UUID,
    ip: row.origin.ip,
    user_agent: row.origin.userAgent.slice(0, 256),
    resource_type: row.resourceType,
    resource_id: row.resourceId,
    resource_target: row.resourceTarget,
    resource_icon: row.resourceIcon ?? '',
    action: row.action,
    diff: row.diff ?? {},
    status_code: row.statusCode ?? 200,
    additional_fields: row.additionalFields ?? {},
    request_id: row.origin.requestId,
  }));
  await tx.execute(sql`
    insert into audit_logs (time, user_id, actor, organization_id, ip, user_agent, resource_type, resource_id, resource_target,
      resource_icon, action, diff, status_code, additional_fields, request_id)
    select time, user_id, actor, organization_id, ip, user_agent, resource_type, resource_id, resource_target,
      resource_icon, action, diff, status_code, additional_fields, request_id
    from json_populate_recordset(null::audit_logs, ${toJson(records)}::text::json)
    on conflict do nothing`);
}

export interface AuditFilter {
  readonly resourceType?: string;
  readonly resourceId?: string;
  readonly resourceTarget?: string;
  readonly action?: (typeof auditLogs.action.enumValues)[number];
  readonly username?: string;
  readonly email?: string;
  readonly dateFrom?: Date;
  readonly dateTo?: Date;
  readonly organizationId?: string;
  readonly requestId?: string;
  readonly buildReason?: string;
  readonly actor?: string;
}

const countCap = 2000;

const conditions = (subject: Subject, filter: AuditFilter): SQL | undefined => {
  const equal = <T>(column: SQL | Parameters<typeof eq>[0], value: T | undefined) =>
    value === undefined ? undefined : eq(column as Parameters<typeof eq>[0], value);
  const byUser = (column: SQL, value: string | undefined) =>
    value === undefined
      ? undefined
      : inArray(auditLogs.userId, sql`(select id from users where ${column} = lower(${value}))`);
  return and(
    readableBy(subject, 'audit_log', { id: auditLogs.id, organizationId: auditLogs.organizationId }),
    equal(auditLogs.resourceType, filter.resourceType),
    equal(auditLogs.resourceId, filter.resourceId),
    filter.resourceTarget === undefined
      ? undefined
      : sql`lower(${auditLogs.resourceTarget}) = ${filter.resourceTarget}`,
    equal(auditLogs.action, filter.action),
    byUser(sql`lower(username)`, filter.username),
    byUser(sql`lower(email)`, filter.email),
    filter.dateFrom === undefined ? undefined : gte(auditLogs.time, filter.dateFrom),
    filter.dateTo === undefined ? undefined : lte(auditLogs.time, filter.dateTo),
    equal(auditLogs.organizationId, filter.organizationId),
    equal(auditLogs.requestId, filter.requestId),
    filter.buildReason === undefined
      ? undefined
      : sql`${auditLogs.additionalFields} ->> 'build_reason' = ${filter.buildReason}`,
    equal(auditLogs.actor, filter.actor),
  );
};

/** Readable rows, newest first, and their number (exact up to 2000). Source: spec/06 §12, spec/07 §11. */
export async function listAuditLogs(
  db: Db,
  subject: Subject,
  options: { filter: AuditFilter; limit: number; offset: number },
) {
  const where = conditions(subject, options.filter);
  const rows = await db
    .select({
      id: auditLogs.id,
      requestId: auditLogs.requestId,
      time: auditLogs.time,
      userId: auditLogs.userId,
      actor: auditLogs.actor,
      ip: auditLogs.ip,
      userAgent: auditLogs.userAgent,
      resourceType: auditLogs.resourceType,
      resourceId: auditLogs.resourceId,
      resourceTarget: auditLogs.resourceTarget,
      resourceIcon: auditLogs.resourceIcon,
      action: auditLogs.action,
      diff: auditLogs.diff,
      statusCode: auditLogs.statusCode,
      additionalFields: auditLogs.additionalFields,
      organizationId: auditLogs.organizationId,
      organizationName: organizations.name,
      organizationDisplayName: organizations.displayName,
      organizationIcon: organizations.icon,
      username: users.username,
      isDeleted: resourceIsDeleted,
    })
    .from(auditLogs)
    .leftJoin(organizations, eq(organizations.id, auditLogs.organizationId))
    .leftJoin(users, eq(users.id, auditLogs.userId))
    .where(where)
    .orderBy(desc(auditLogs.time), desc(auditLogs.id))
    .limit(options.limit)
    .offset(options.offset);
  const [counted] = await db.select({ count: sql<number>`count(*)::int` }).from(
    db
      .select({ one: sql`1`.as('one') })
      .from(auditLogs)
      .where(where)
      .limit(countCap)
      .as('matching'),
  );
  return { rows, count: counted?.count ?? 0 };
}

/** Whether the thing a row speaks of is gone; rows of other types are never marked. */
const resourceIsDeleted = sql<boolean>`case ${auditLogs.resourceType}
  when 'workspace' then coalesce((select w.deleted from workspaces w where w.id = ${auditLogs.resourceId}), true)
  when 'template' then coalesce((select t.deleted from templates t where t.id = ${auditLogs.resourceId}), true)
  when 'user' then coalesce((select u.deleted from users u where u.id = ${auditLogs.resourceId}), true)
  when 'organization' then coalesce((select o.deleted from organizations o where o.id = ${auditLogs.resourceId}), true)
  else false end`;
