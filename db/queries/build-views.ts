import { type SQL, and, desc, eq, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import { type Db, preparedByIds, preparedQuery } from '../client.ts';
import { provisionerDaemons, provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templateVersions, templates } from '../schema/templates.ts';
import { users } from '../schema/users.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';
import { workspaceAuthColumns } from './auth-rows.ts';
import { jobViewColumns } from './job-views.ts';

export const buildOwner = alias(users, 'build_owner');
const initiator = alias(users, 'initiator');

const buildViewColumns = {
  id: workspaceBuilds.id,
  createdAt: workspaceBuilds.createdAt,
  updatedAt: workspaceBuilds.updatedAt,
  workspaceId: workspaceBuilds.workspaceId,
  /** What decides who may see it. */
  workspace: workspaceAuthColumns,
  workspaceName: workspaces.name,
  ownerId: workspaces.ownerId,
  ownerName: buildOwner.username,
  ownerAvatarUrl: buildOwner.avatarUrl,
  templateVersionId: workspaceBuilds.templateVersionId,
  templateVersionName: templateVersions.name,
  buildNumber: workspaceBuilds.buildNumber,
  transition: workspaceBuilds.transition,
  initiatorId: workspaceBuilds.initiatorId,
  initiatorName: initiator.username,
  reason: workspaceBuilds.reason,
  deadline: workspaceBuilds.deadline,
  maxDeadline: workspaceBuilds.maxDeadline,
  dailyCost: workspaceBuilds.dailyCost,
  presetId: workspaceBuilds.templateVersionPresetId,
  hasAiTask: workspaceBuilds.hasAiTask,
  hasExternalAgent: workspaceBuilds.hasExternalAgent,
  possibleOrphans: workspaceBuilds.possibleOrphans,
  refreshOnly: workspaceBuilds.refreshOnly,
  handedOver: workspaceBuilds.handedOver,
  templateId: templates.id,
  templateName: templates.name,
  templateDisplayName: templates.displayName,
  templateIcon: templates.icon,
  job: jobViewColumns,
};

/** Builds with everything their response shows except resources. State is never among it. */
const selectBuildViews = (db: Db) =>
  db
    .select(buildViewColumns)
    .from(workspaceBuilds)
    .innerJoin(workspaces, eq(workspaces.id, workspaceBuilds.workspaceId))
    .innerJoin(buildOwner, eq(buildOwner.id, workspaces.ownerId))
    .innerJoin(initiator, eq(initiator.id, workspaceBuilds.initiatorId))
    .innerJoin(templateVersions, eq(templateVersions.id, workspaceBuilds.templateVersionId))
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .leftJoin(provisionerDaemons, eq(provisionerDaemons.id, provisionerJobs.workerId));
export type BuildView = Awaited<ReturnType<typeof selectBuildViews>>[number];

export async function findBuildView(db: Db, where: SQL | undefined): Promise<BuildView | undefined> {
  const [row] = await selectBuildViews(db).where(where).limit(1);
  return row;
}

export async function findBuildViewById(db: Db, buildId: string): Promise<BuildView | undefined> {
  const [row] = await buildViewsById(db, { buildId });
  return row;
}
const buildViewsById = preparedQuery<{ buildId: string }, BuildView>((db) =>
  selectBuildViews(db)
    .where(eq(workspaceBuilds.id, sql.placeholder('buildId')))
    .prepare('build_view'),
);
export const findBuildViewByNumber = (db: Db, workspaceId: string, buildNumber: number) =>
  findBuildView(db, and(eq(workspaceBuilds.workspaceId, workspaceId), eq(workspaceBuilds.buildNumber, buildNumber)));

/** The latest build of each of these workspaces. */
export const listLatestBuildViews = preparedByIds<BuildView>((db, among) =>
  selectBuildViews(db)
    .where(and(among(workspaceBuilds.workspaceId), eq(workspaceBuilds.isLatest, true)))
    .prepare('latest_build_views'),
);
export const findLatestBuildView = async (db: Db, workspaceId: string): Promise<BuildView | undefined> =>
  (await listLatestBuildViews(db, [workspaceId]))[0];

/** A page of builds, newest first. */
export async function listBuildViews(
  db: Db,
  input: { where: SQL | undefined; limit: number; offset: number },
): Promise<BuildView[]> {
  return selectBuildViews(db)
    .where(input.where)
    .orderBy(desc(workspaceBuilds.buildNumber))
    .limit(input.limit)
    .offset(input.offset);
}
