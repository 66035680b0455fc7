import type { Db } from '../db/client.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { type NewAuditRow, insertAudit } from '../db/queries/audit-logs.ts';
import { type LockedVersion, lockVersion } from '../db/queries/template-versions.ts';
import { type TemplateRow, lockTemplate } from '../db/queries/templates.ts';
import { type Action, type AuthObject, authorize, templateObject } from '../domain/authorization.ts';
import { notFound } from '../domain/errors.ts';
import type { Caller } from './caller.ts';

/** What the commands on templates need. */
export interface TemplateDeps {
  readonly db: Db;
  now(): Date;
}

/** Locks a live template on which the caller may do `action`; NOT_FOUND or FORBIDDEN otherwise. */
export async function lockTemplateFor(
  tx: Db,
  caller: Caller,
  want: { readonly templateId: string; readonly action: Action },
): Promise<TemplateRow> {
  const template = await lockTemplate(tx, want.templateId);
  if (template === undefined || template.deleted) throw notFound();
  authorize(caller.subject, want.action, templateObject(template));
  return template;
}

/** The object that decides about a version: its template, or the organization while it has none (then nobody has an ACL). */
export const versionObject = (version: {
  organizationId: string;
  template: Parameters<typeof templateObject>[0] | null;
}): AuthObject =>
  version.template === null
    ? { type: 'template', organizationId: version.organizationId }
    : templateObject(version.template);

/** Who may read templates of the organization reads its versions without a template; to others they do not exist. */
export function authorizeVersion(
  caller: Pick<Caller, 'subject'>,
  action: Action,
  version: Parameters<typeof versionObject>[0],
): void {
  const object = versionObject(version);
  // Without an id `authorize` would tell a member of the organization FORBIDDEN, and so that the version exists.
  if (object.id === undefined) authorize(caller.subject, action, { ...object, id: version.organizationId });
  else authorize(caller.subject, action, object);
}

/** Locks a version and its template (template first, as everywhere) for a change by the caller. */
export async function lockVersionFor(
  tx: Db,
  caller: Caller,
  want: { readonly versionId: string; readonly templateId: string | null },
): Promise<{ version: LockedVersion; template: TemplateRow | null }> {
  const template = want.templateId === null ? null : ((await lockTemplate(tx, want.templateId)) ?? null);
  const version = await lockVersion(tx, want.versionId);
  // The version was given to a template between the look-up and the lock: the caller may try again.
  if (version === undefined || version.templateId !== want.templateId || template?.deleted === true) throw notFound();
  authorizeVersion(caller, 'update', { organizationId: version.organizationId, template });
  return { version, template };
}

interface AuditedChange {
  readonly action: NewAuditRow['action'];
  readonly now: Date;
  readonly before: object | null;
  readonly after: object | null;
}

/** The audit row of a change of a template, in its transaction. */
export const auditTemplate = (
  tx: Db,
  caller: Caller,
  template: { id: string; name: string; icon: string; organizationId: string },
  change: AuditedChange,
): Promise<void> =>
  insertAudit(tx, {
    origin: caller.origin,
    time: change.now,
    resourceType: 'template',
    resourceId: template.id,
    resourceTarget: template.name,
    resourceIcon: template.icon,
    organizationId: template.organizationId,
    action: change.action,
    statusCode: change.action === 'create' ? 201 : 200,
    diff: auditDiff('template', asRecord(change.before), asRecord(change.after)),
  });

/** The audit row of what is done to a template's pools: its own columns stay as they are. */
export const auditPools = (
  tx: Db,
  caller: Caller,
  template: { id: string; name: string; icon: string; organizationId: string },
  done: {
    readonly now: Date;
    readonly statusCode?: number;
    readonly additionalFields: Readonly<Record<string, unknown>>;
  },
): Promise<void> => {
  const { now, ...columns } = done;
  return insertAudit(tx, {
    origin: caller.origin,
    time: now,
    resourceType: 'template',
    resourceId: template.id,
    resourceTarget: template.name,
    resourceIcon: template.icon,
    organizationId: template.organizationId,
    action: 'write',
    ...columns,
  });
};

/** The audit row of a change of a version. */
export const auditVersion = (
  tx: Db,
  caller: Caller,
  version: { id: string; name: string; organizationId: string },
  change: AuditedChange,
): Promise<void> =>
  insertAudit(tx, {
    origin: caller.origin,
    time: change.now,
    resourceType: 'template_version',
    resourceId: version.id,
    resourceTarget: version.name,
    organizationId: version.organizationId,
    action: change.action,
    diff: auditDiff('template_version', asRecord(change.before), asRecord(change.after)),
  });

const asRecord = (row: object | null) => row as Record<string, unknown> | null;
