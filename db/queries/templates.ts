import { type SQL, type SQLWrapper, and, asc, eq, inArray, ne, sql } from 'drizzle-orm';
import type { Subject } from '../../domain/subject.ts';
import type { TemplateFilter } from '../../domain/template-search.ts';
import { PREBUILDS_SYSTEM_USER_ID, isUuid } from '../../domain/ids.ts';
import { readableBy } from '../authorization-filter.ts';
import { type Db, preparedQuery } from '../client.ts';
import { templateVersions, templates } from '../schema/templates.ts';
import { organizations, users } from '../schema/users.ts';
import { workspaces } from '../schema/workspaces.ts';
import { contains } from './users.ts';

/** What every decision about a template rests on, deleted ones included. */
export async function findTemplate(db: Db, templateId: string) {
  const [row] = await db
    .select({
      id: templates.id,
      name: templates.name,
      organizationId: templates.organizationId,
      activeVersionId: templates.activeVersionId,
      deleted: templates.deleted,
      userAcl: templates.userAcl,
      groupAcl: templates.groupAcl,
    })
    .from(templates)
    .where(eq(templates.id, templateId));
  return row;
}

const columns = {
  id: templates.id,
  createdAt: templates.createdAt,
  updatedAt: templates.updatedAt,
  organizationId: templates.organizationId,
  name: templates.name,
  displayName: templates.displayName,
  description: templates.description,
  icon: templates.icon,
  provisioner: templates.provisioner,
  activeVersionId: templates.activeVersionId,
  createdBy: templates.createdBy,
  deleted: templates.deleted,
  deprecated: templates.deprecated,
  defaultTtlMs: templates.defaultTtlMs,
  activityBumpMs: templates.activityBumpMs,
  allowUserAutostart: templates.allowUserAutostart,
  allowUserAutostop: templates.allowUserAutostop,
  allowUserCancelWorkspaceJobs: templates.allowUserCancelWorkspaceJobs,
  autostopRequirementDaysOfWeek: templates.autostopRequirementDaysOfWeek,
  autostopRequirementWeeks: templates.autostopRequirementWeeks,
  autostartBlockDaysOfWeek: templates.autostartBlockDaysOfWeek,
  failureTtlMs: templates.failureTtlMs,
  timeTilAutostopNotifyMs: templates.timeTilAutostopNotifyMs,
  timeTilDormantMs: templates.timeTilDormantMs,
  timeTilDormantAutodeleteMs: templates.timeTilDormantAutodeleteMs,
  requireActiveVersion: templates.requireActiveVersion,
  maxPortSharingLevel: templates.maxPortSharingLevel,
  useClassicParameterFlow: templates.useClassicParameterFlow,
  corsBehavior: templates.corsBehavior,
  disableModuleCache: templates.disableModuleCache,
  instantClaim: templates.instantClaim,
  userAcl: templates.userAcl,
  groupAcl: templates.groupAcl,
};

/** Locks the template for a change and returns its whole row, for the audit diff; deleted ones included. */
export async function lockTemplate(tx: Db, templateId: string) {
  const [row] = await tx.select(columns).from(templates).where(eq(templates.id, templateId)).for('update');
  return row;
}

/** Holds a template until the transaction ends, so that it is not deleted under a new workspace; false = it is already. */
export async function holdTemplate(tx: Db, templateId: string): Promise<boolean> {
  const [row] = await heldTemplates(tx, { templateId });
  return row?.deleted === false;
}
const heldTemplates = preparedQuery<{ templateId: string }, { deleted: boolean }>((db) =>
  db
    .select({ deleted: templates.deleted })
    .from(templates)
    .where(eq(templates.id, sql.placeholder('templateId')))
    .for('key share')
    .prepare('hold_template'),
);

/** The same of a workspace's template, so that its settings stay as they are read. Before the workspace is locked: template first. */
export async function holdTemplateOf(tx: Db, workspaceId: string): Promise<void> {
  await tx
    .select({ id: templates.id })
    .from(templates)
    .where(
      inArray(
        templates.id,
        tx.select({ id: workspaces.templateId }).from(workspaces).where(eq(workspaces.id, workspaceId)),
      ),
    )
    .for('key share');
}

export type TemplateRow = NonNullable<Awaited<ReturnType<typeof lockTemplate>>>;

/** A taken name violates `templates_organization_name_idx`. */
export async function insertTemplate(tx: Db, template: typeof templates.$inferInsert): Promise<void> {
  await tx.insert(templates).values(template);
}

export async function updateTemplate(
  tx: Db,
  templateId: string,
  change: Partial<typeof templates.$inferInsert>,
): Promise<void> {
  await tx.update(templates).set(change).where(eq(templates.id, templateId));
}

/** Live workspaces of people; unclaimed prebuilds are not among them. */
export async function countHumanWorkspaces(tx: Db, templateId: string): Promise<number> {
  const [row] = await tx
    .select({ count: sql<number>`count(*)::int` })
    .from(workspaces)
    .where(
      and(
        eq(workspaces.templateId, templateId),
        eq(workspaces.deleted, false),
        ne(workspaces.ownerId, PREBUILDS_SYSTEM_USER_ID),
      ),
    );
  return row?.count ?? 0;
}

/** Templates with the names their response shows. */
const selectTemplateViews = (db: Db) =>
  db
    .select({
      ...columns,
      organizationName: organizations.name,
      organizationDisplayName: organizations.displayName,
      organizationIcon: organizations.icon,
      createdByName: users.username,
    })
    .from(templates)
    .innerJoin(organizations, eq(organizations.id, templates.organizationId))
    .innerJoin(users, eq(users.id, templates.createdBy));
export type TemplateView = Awaited<ReturnType<typeof selectTemplateViews>>[number];

async function findTemplateView(db: Db, where: SQL | undefined): Promise<TemplateView | undefined> {
  const [row] = await selectTemplateViews(db).where(where);
  return row;
}

/** A template by id, deleted ones included. */
export const findTemplateViewById = (db: Db, templateId: string) => findTemplateView(db, eq(templates.id, templateId));
/** A live template by name, any case. */
export const findTemplateViewByName = (db: Db, organizationId: string, name: string) =>
  findTemplateView(
    db,
    and(
      eq(templates.organizationId, organizationId),
      sql`lower(${templates.name}) = lower(${name})`,
      eq(templates.deleted, false),
    ),
  );

const templateAuth = {
  id: templates.id,
  organizationId: templates.organizationId,
  userAcl: templates.userAcl,
  groupAcl: templates.groupAcl,
};

/** The templates on which the subject may do `action`, as a condition on the `templates` table. */
export const templatesAllowing = (subject: Subject, action: 'read' | 'update'): SQL =>
  readableBy(subject, 'template', templateAuth, action);

function conditions(subject: Subject, filter: TemplateFilter): SQL | undefined {
  const given = <T>(value: T | undefined, condition: (value: T) => SQL | undefined) =>
    value === undefined ? undefined : condition(value);
  const activeVersion = (column: SQLWrapper, value: boolean) =>
    sql`coalesce((select ${column} from ${templateVersions} where ${templateVersions.id} = ${templates.activeVersionId}), false) = ${value}`;
  return and(
    templatesAllowing(subject, 'read'),
    eq(templates.deleted, filter.deleted),
    given(filter.organization, (ref) =>
      isUuid(ref) ? eq(templates.organizationId, ref) : sql`lower(${organizations.name}) = ${ref}`,
    ),
    given(filter.name, (text) => contains(templates.name, text)),
    given(filter.displayName, (text) => contains(templates.displayName, text)),
    given(filter.exactName, (text) => sql`lower(${templates.name}) = ${text}`),
    given(filter.exactDisplayName, (text) => sql`lower(${templates.displayName}) = ${text}`),
    given(filter.ids, (ids) => inArray(templates.id, [...ids])),
    given(filter.deprecated, (is) => (is ? ne(templates.deprecated, '') : eq(templates.deprecated, ''))),
    given(filter.author, (name) => sql`lower(${users.username}) = ${name}`),
    given(filter.authorId, (id) => eq(templates.createdBy, id)),
    given(filter.hasAiTask, (is) => activeVersion(templateVersions.hasAiTask, is)),
    given(filter.hasExternalAgent, (is) => activeVersion(templateVersions.hasExternalAgent, is)),
    given(filter.free, (text) =>
      contains(sql`coalesce(nullif(${templates.displayName}, ''), ${templates.name})`, text),
    ),
  );
}

/** Readable templates by lower(name), id. */
export async function listTemplateViews(db: Db, subject: Subject, filter: TemplateFilter): Promise<TemplateView[]> {
  return selectTemplateViews(db)
    .where(conditions(subject, filter))
    .orderBy(asc(sql`lower(${templates.name})`), asc(templates.id))
    .limit(1000);
}
