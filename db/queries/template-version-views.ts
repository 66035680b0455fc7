import { type SQL, and, asc, desc, eq, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import { invalidField } from '../../domain/errors.ts';
import type { Db } from '../client.ts';
import { provisionerDaemons, provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templateVersions, templates } from '../schema/templates.ts';
import { users } from '../schema/users.ts';
import { jobViewColumns } from './job-views.ts';

const creator = alias(users, 'version_creator');

/** Versions with their import job, creator and what decides who may see them; one statement for any number of rows. */
const selectVersionViews = (db: Db) =>
  db
    .select({
      id: templateVersions.id,
      templateId: templateVersions.templateId,
      organizationId: templateVersions.organizationId,
      createdAt: templateVersions.createdAt,
      updatedAt: templateVersions.updatedAt,
      name: templateVersions.name,
      message: templateVersions.message,
      readme: templateVersions.readme,
      archived: templateVersions.archived,
      hasExternalAgent: templateVersions.hasExternalAgent,
      externalAuthProviders: templateVersions.externalAuthProviders,
      createdBy: { id: creator.id, username: creator.username, name: creator.name, avatarUrl: creator.avatarUrl },
      template: {
        id: templates.id,
        organizationId: templates.organizationId,
        name: templates.name,
        displayName: templates.displayName,
        icon: templates.icon,
        userAcl: templates.userAcl,
        groupAcl: templates.groupAcl,
      },
      job: jobViewColumns,
    })
    .from(templateVersions)
    .innerJoin(creator, eq(creator.id, templateVersions.createdBy))
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, templateVersions.jobId))
    .leftJoin(provisionerDaemons, eq(provisionerDaemons.id, provisionerJobs.workerId))
    .leftJoin(templates, eq(templates.id, templateVersions.templateId));
export type VersionView = Awaited<ReturnType<typeof selectVersionViews>>[number];

export async function findVersionView(db: Db, versionId: string): Promise<VersionView | undefined> {
  const [row] = await selectVersionViews(db).where(eq(templateVersions.id, versionId));
  return row;
}

export async function findVersionViewByName(
  db: Db,
  templateId: string,
  name: string,
): Promise<VersionView | undefined> {
  const [row] = await selectVersionViews(db).where(
    and(eq(templateVersions.templateId, templateId), eq(templateVersions.name, name)),
  );
  return row;
}

/** The newest version of the template that is older than the given one. */
export async function findPreviousVersionView(
  db: Db,
  version: { id: string; templateId: string },
): Promise<VersionView | undefined> {
  const [row] = await selectVersionViews(db)
    .where(
      and(
        eq(templateVersions.templateId, version.templateId),
        // Compared with the stored row: an instant read as Date has lost its microseconds.
        sql`(${templateVersions.createdAt}, ${templateVersions.id}) < (select created_at, id from template_versions where id = ${version.id})`,
      ),
    )
    .orderBy(desc(templateVersions.createdAt), desc(templateVersions.id))
    .limit(1);
  return row;
}

/** Versions of a template by (created_at, id); `afterId` continues strictly after that row, an unknown one is refused. */
export async function listVersionViews(
  db: Db,
  templateId: string,
  page: { limit: number; offset?: number | undefined; afterId?: string | undefined; includeArchived: boolean },
): Promise<VersionView[]> {
  let after: SQL | undefined;
  if (page.afterId !== undefined) {
    const [cursor] = await db
      .select({ id: templateVersions.id })
      .from(templateVersions)
      .where(and(eq(templateVersions.id, page.afterId), eq(templateVersions.templateId, templateId)));
    if (cursor === undefined) throw invalidField('after_id', 'no version of this template has this id');
    after = sql`(${templateVersions.createdAt}, ${templateVersions.id}) > (select created_at, id from template_versions where id = ${cursor.id})`;
  }
  return selectVersionViews(db)
    .where(
      and(
        eq(templateVersions.templateId, templateId),
        page.includeArchived ? undefined : eq(templateVersions.archived, false),
        after,
      ),
    )
    .orderBy(asc(templateVersions.createdAt), asc(templateVersions.id))
    .limit(page.limit)
    .offset(page.offset ?? 0);
}
