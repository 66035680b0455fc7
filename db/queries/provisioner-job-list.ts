import { type SQL, and, desc, eq, inArray, sql } from 'drizzle-orm';
import type { JobStatus } from '../../domain/jobs.ts';
import type { Db } from '../client.ts';
import { provisionerDaemons, provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templateVersions, templates } from '../schema/templates.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';
import { jobViewColumns } from './job-views.ts';

export interface JobFilter {
  readonly organizationId: string;
  readonly ids?: readonly string[] | undefined;
  readonly statuses?: readonly JobStatus[] | undefined;
  /** Jobs that have at least these tags. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  readonly initiatorId?: string | undefined;
}

/** Jobs of one organization with what they are about, newest first; one statement. Source: spec/06 §11. */
const selectJobs = (db: Db) =>
  db
    .select({
      job: jobViewColumns,
      versionName: templateVersions.name,
      templateId: templates.id,
      templateName: templates.name,
      templateDisplayName: templates.displayName,
      templateIcon: templates.icon,
      workspaceId: workspaces.id,
      workspaceName: workspaces.name,
      transition: workspaceBuilds.transition,
    })
    .from(provisionerJobs)
    .leftJoin(provisionerDaemons, eq(provisionerDaemons.id, provisionerJobs.workerId))
    .leftJoin(workspaceBuilds, eq(workspaceBuilds.jobId, provisionerJobs.id))
    .leftJoin(workspaces, eq(workspaces.id, workspaceBuilds.workspaceId))
    .leftJoin(
      templateVersions,
      eq(
        templateVersions.id,
        sql`coalesce(${workspaceBuilds.templateVersionId}, (${provisionerJobs.input} ->> 'template_version_id')::uuid)`,
      ),
    )
    .leftJoin(templates, eq(templates.id, templateVersions.templateId));
export type ListedJob = Awaited<ReturnType<typeof selectJobs>>[number];

function conditions(filter: JobFilter): SQL | undefined {
  return and(
    eq(provisionerJobs.organizationId, filter.organizationId),
    filter.ids === undefined ? undefined : inArray(provisionerJobs.id, [...filter.ids]),
    filter.statuses === undefined ? undefined : inArray(provisionerJobs.jobStatus, [...filter.statuses]),
    filter.tags === undefined ? undefined : sql`${provisionerJobs.tags} @> ${JSON.stringify(filter.tags)}::text::jsonb`,
    filter.initiatorId === undefined ? undefined : eq(provisionerJobs.initiatorId, filter.initiatorId),
  );
}

export async function listJobs(db: Db, filter: JobFilter, limit: number): Promise<ListedJob[]> {
  return selectJobs(db)
    .where(conditions(filter))
    .orderBy(desc(provisionerJobs.createdAt), desc(provisionerJobs.id))
    .limit(limit);
}
