import { type SQL, and, eq, sql } from 'drizzle-orm';
import type { Subject } from '../../domain/subject.ts';
import { readableBy } from '../authorization-filter.ts';
import { type Db, preparedByIds } from '../client.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templates } from '../schema/templates.ts';
import { organizations, users } from '../schema/users.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';
import { type BuildView, listLatestBuildViews } from './build-views.ts';
import { workspaceConditions } from './workspace-filter.ts';

const workspaceViewColumns = {
  id: workspaces.id,
  createdAt: workspaces.createdAt,
  updatedAt: workspaces.updatedAt,
  name: workspaces.name,
  deleted: workspaces.deleted,
  ownerId: workspaces.ownerId,
  ownerName: users.username,
  ownerAvatarUrl: users.avatarUrl,
  organizationId: workspaces.organizationId,
  organizationName: organizations.name,
  templateId: workspaces.templateId,
  templateName: templates.name,
  templateDisplayName: templates.displayName,
  templateIcon: templates.icon,
  templateAllowUserCancelWorkspaceJobs: templates.allowUserCancelWorkspaceJobs,
  templateActiveVersionId: templates.activeVersionId,
  templateRequireActiveVersion: templates.requireActiveVersion,
  templateUseClassicParameterFlow: templates.useClassicParameterFlow,
  templateUserAcl: templates.userAcl,
  templateGroupAcl: templates.groupAcl,
  autostartSchedule: workspaces.autostartSchedule,
  ttlMs: workspaces.ttlMs,
  lastUsedAt: workspaces.lastUsedAt,
  deletingAt: workspaces.deletingAt,
  dormantAt: workspaces.dormantAt,
  nextStartAt: workspaces.nextStartAt,
  automaticUpdates: workspaces.automaticUpdates,
  favorite: workspaces.favorite,
  claimedAt: workspaces.claimedAt,
  userAcl: workspaces.userAcl,
  groupAcl: workspaces.groupAcl,
};

/** Workspaces with the names that stand beside them and their latest build, without resources. */
export async function listWorkspaceViews(db: Db, ids: readonly string[]) {
  if (ids.length === 0) return [];
  const [rows, builds] = await Promise.all([workspacesById(db, ids), listLatestBuildViews(db, ids)]);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const latest = new Map(builds.map((build) => [build.workspaceId, build]));
  // The page decides the order; a row deleted in between is left out.
  return ids.flatMap((id): ((typeof rows)[number] & { latestBuild: BuildView })[] => {
    const row = byId.get(id);
    const build = latest.get(id);
    return row === undefined || build === undefined ? [] : [{ ...row, latestBuild: build }];
  });
}
const selectWorkspaces = (db: Db, where: SQL) =>
  db
    .select(workspaceViewColumns)
    .from(workspaces)
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .innerJoin(organizations, eq(organizations.id, workspaces.organizationId))
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .where(where);
const workspacesById = preparedByIds<Awaited<ReturnType<typeof selectWorkspaces>>[number]>((db, among) =>
  selectWorkspaces(db, among(workspaces.id)).prepare('workspace_views'),
);
export type WorkspaceView = Awaited<ReturnType<typeof listWorkspaceViews>>[number];

export async function findWorkspaceView(db: Db, id: string): Promise<WorkspaceView | undefined> {
  return (await listWorkspaceViews(db, [id]))[0];
}

/**
 * Ids of one page of readable workspaces and the number of all that match, in the order of spec/01 §6.4: the requester's
 * favorites, running ones, owner, name. The statement carries only what filter and order need; the page is loaded by id.
 * Names are ASCII, so that byte order is alphabetical and sorts several times faster than a language's.
 */
export async function listWorkspaceIds(
  db: Db,
  subject: Subject,
  page: { q: string; limit: number; offset: number },
): Promise<{ ids: string[]; count: number }> {
  const readable = readableWorkspaces(subject);
  const [ids, count] = await Promise.all([
    orderedIds(db, subject, { ...page, where: and(readable, ...workspaceConditions(page.q, subject)) }),
    // Without a search every workspace has its owner and latest build: the count needs no join.
    page.q === ''
      ? db.$count(workspaces, and(readable, eq(workspaces.deleted, false)))
      : countMatching(db, subject, page.q),
  ]);
  return { ids, count };
}

async function orderedIds(
  db: Db,
  subject: Subject,
  page: { q: string; where: SQL | undefined; limit: number; offset: number },
): Promise<string[]> {
  const rows = db
    .select({ id: workspaces.id })
    .from(workspaces)
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .innerJoin(workspaceBuilds, and(eq(workspaceBuilds.workspaceId, workspaces.id), eq(workspaceBuilds.isLatest, true)))
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .$dynamic();
  // Only the conditions of a search name these two; joined to every row they cost a quarter of the statement.
  if (page.q !== '')
    void rows
      .innerJoin(organizations, eq(organizations.id, workspaces.organizationId))
      .innerJoin(templates, eq(templates.id, workspaces.templateId));
  const ordered = await rows
    .where(page.where)
    .orderBy(
      sql`(${workspaces.ownerId} = ${subject.id} and ${workspaces.favorite}) desc`,
      sql`(${provisionerJobs.jobStatus} = 'succeeded' and ${workspaceBuilds.transition} = 'start') desc`,
      sql`lower(${users.username}) collate "C"`,
      sql`lower(${workspaces.name}) collate "C"`,
      workspaces.id,
    )
    .limit(page.limit)
    .offset(page.offset);
  return ordered.map((row) => row.id);
}

async function countMatching(db: Db, subject: Subject, q: string): Promise<number> {
  const [row] = await db
    .select({ count: sql<number>`count(*)::int` })
    .from(workspaces)
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .innerJoin(organizations, eq(organizations.id, workspaces.organizationId))
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .innerJoin(workspaceBuilds, and(eq(workspaceBuilds.workspaceId, workspaces.id), eq(workspaceBuilds.isLatest, true)))
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .where(and(readableWorkspaces(subject), ...workspaceConditions(q, subject)));
  return row?.count ?? 0;
}

/** Rows of `workspaces` that the subject may read. */
export const readableWorkspaces = (subject: Subject): SQL =>
  readableBy(subject, 'workspace', {
    id: workspaces.id,
    organizationId: workspaces.organizationId,
    ownerId: workspaces.ownerId,
    userAcl: workspaces.userAcl,
    groupAcl: workspaces.groupAcl,
    dormantAt: workspaces.dormantAt,
  });
