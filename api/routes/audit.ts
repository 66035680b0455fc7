import { z } from '@hono/zod-openapi';
import { auditActions, listAuditLogs } from '../../db/queries/audit-logs.ts';
import type { AuditFilter } from '../../db/queries/audit-logs.ts';
import { findOrganizationByRef } from '../../db/queries/organizations.ts';
import { listUsersByIdsIncludingDeleted } from '../../db/queries/users.ts';
import { auditResourceTypes } from '../../domain/audit.ts';
import { authorize, isAllowed } from '../../domain/authorization.ts';
import { invalidField } from '../../domain/errors.ts';
import { NIL_UUID, isUuid } from '../../domain/ids.ts';
import { parseSearch, searchTerms } from '../../domain/query-language.ts';
import type { Subject } from '../../domain/subject.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, queryInteger, timestamp, toWireTime, uuid } from '../schemas.ts';
import { User, toUser } from '../views/user.ts';

const AuditLog = z
  .object({
    id: uuid(),
    request_id: uuid(),
    time: timestamp(),
    ip: z.string(),
    user_agent: z.string(),
    resource_type: z.string(),
    resource_id: uuid(),
    resource_target: z.string(),
    resource_icon: z.string(),
    action: z.enum(auditActions),
    diff: z.record(z.string(), z.object({ old: z.unknown(), new: z.unknown(), secret: z.boolean() })),
    status_code: z.number().int(),
    additional_fields: z.record(z.string(), z.unknown()),
    description: z.string(),
    resource_link: z.string(),
    is_deleted: z.boolean(),
    organization_id: uuid(),
    organization: z.object({ id: uuid(), name: z.string(), display_name: z.string(), icon: z.string() }).nullable(),
    user: User.nullable(),
    actor: z.string(),
  })
  .openapi('AuditLog');

const list = defineRoute({
  method: 'get',
  path: '/audit',
  access: { type: 'audit_log', action: 'read' },
  tags: ['Audit'],
  summary: 'Audit log, newest first',
  request: {
    query: z.object({
      q: z.string().max(2000).default(''),
      limit: queryInteger(1, 100),
      offset: queryInteger(0, 2_147_483_647).default(0),
    }),
  },
  responses: {
    200: json(
      z.object({ audit_logs: z.array(AuditLog), count: z.number().int() }).openapi('AuditLogResponse'),
      'Page; `count` is exact up to 2000',
    ),
  },
});

const keys = [
  'resource_type',
  'resource_id',
  'resource_target',
  'username',
  'email',
  'action',
  'build_reason',
  'date_from',
  'date_to',
  'organization',
  'request_id',
  'actor',
];
const buildReasons = [
  'initiator',
  'autostart',
  'autostop',
  'dormancy',
  'failedstop',
  'autodelete',
  'dashboard',
  'cli',
  'ssh_connection',
  'vscode_connection',
  'jetbrains_connection',
  'task_auto_pause',
  'task_manual_pause',
  'task_resume',
] as const;

/** Source: spec/07 §11, spec/06 §1.3. An organization that nobody knows matches nothing. */
async function auditFilter(deps: AppDeps, query: string): Promise<AuditFilter> {
  const search = parseSearch(query, keys);
  const terms = searchTerms(search);
  const id = (key: 'resource_id' | 'request_id') => {
    const value = terms.text(key);
    if (value !== undefined && !isUuid(value)) throw invalidField(key, 'must be a uuid');
    return value;
  };
  const bare = search.free === '' ? undefined : auditResourceTypes.find((type) => type === search.free);
  if (search.free !== '' && bare === undefined) throw invalidField('q', `"${search.free}" is not a resource type`);
  const place = terms.text('organization');
  const organization = place === undefined ? undefined : await findOrganizationByRef(deps.db, place);
  const found = {
    resourceType: terms.oneOf('resource_type', auditResourceTypes)?.[0] ?? bare,
    resourceId: id('resource_id'),
    resourceTarget: terms.text('resource_target'),
    username: terms.text('username'),
    email: terms.text('email'),
    action: terms.oneOf('action', auditActions)?.[0],
    buildReason: terms.oneOf('build_reason', buildReasons)?.[0],
    dateFrom: terms.day('date_from', 'start'),
    dateTo: terms.day('date_to', 'end'),
    organizationId: place === undefined ? undefined : (organization?.id ?? NIL_UUID.replace(/0$/, '1')),
    requestId: id('request_id'),
    actor: terms.text('actor'),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

const verbs: Partial<Record<string, string>> = {
  write: 'updated',
  login: 'logged in',
  logout: 'logged out',
  stop: 'stopped',
};
type Row = Awaited<ReturnType<typeof listAuditLogs>>['rows'][number];

/** A sentence with the placeholders that clients fill: `{user}` and `{target}`. */
function describe(row: Row): string {
  const verb = verbs[row.action] ?? (row.action.endsWith('e') ? `${row.action}d` : `${row.action}ed`);
  const tried = row.statusCode >= 400 ? 'unsuccessfully attempted: ' : '';
  if (row.action === 'login' || row.action === 'logout') return `{user} ${tried}${verb}`;
  return `{user} ${tried}${verb} ${row.resourceType.replaceAll('_', ' ')} {target}`;
}

const link = (row: Row): string => {
  if (row.isDeleted) return '';
  if (row.resourceType === 'workspace' && row.username !== null) return `/@${row.username}/${row.resourceTarget}`;
  if (row.resourceType === 'template') return `/templates/${row.resourceTarget}`;
  return row.resourceType === 'user' ? `/users?filter=${encodeURIComponent(row.resourceTarget)}` : '';
};

/** Who may read at least one row: the site's auditors and those of organizations. */
function requireAuditor(subject: Subject): void {
  const somewhere = Object.keys(subject.organizations).some((organizationId) =>
    isAllowed(subject, 'read', { type: 'audit_log', organizationId }),
  );
  if (!somewhere) authorize(subject, 'read', { type: 'audit_log' });
}

export function registerAuditRoutes(app: App, deps: AppDeps): void {
  app.openapi(list, async (c) => {
    requireAuditor(c.var.subject);
    const { q, limit, offset } = c.req.valid('query');
    const filter = await auditFilter(deps, q);
    const { rows, count } = await listAuditLogs(deps.db, c.var.subject, { filter, limit, offset });
    const people = await listUsersByIdsIncludingDeleted(deps.db, [
      ...new Set(rows.flatMap(({ userId }) => userId ?? [])),
    ]);
    const entries = rows.map((row) => {
      const user = people.find(({ id }) => id === row.userId);
      return {
        id: row.id,
        request_id: row.requestId,
        time: toWireTime(row.time),
        ip: row.ip ?? '',
        user_agent: row.userAgent,
        resource_type: row.resourceType,
        resource_id: row.resourceId,
        resource_target: row.resourceTarget,
        resource_icon: row.resourceIcon,
        action: row.action,
        diff: row.diff,
        status_code: row.statusCode,
        additional_fields: row.additionalFields,
        description: describe(row),
        resource_link: link(row),
        is_deleted: row.isDeleted,
        organization_id: row.organizationId,
        organization:
          row.organizationName === null
            ? null
            : {
                id: row.organizationId,
                name: row.organizationName,
                display_name: row.organizationDisplayName ?? '',
                icon: row.organizationIcon ?? '',
              },
        user: user === undefined ? null : toUser(user),
        actor: row.actor,
      };
    });
    return c.json({ audit_logs: entries as z.input<typeof AuditLog>[], count }, 200);
  });
}
