import { eq, inArray } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templateVersions, templates } from '../schema/templates.ts';
import { users } from '../schema/users.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

/** What the sweep needs to start these jobs' workflows: names of build, workspace, owner, template. One statement a type. */
export async function listBuildFacts(db: Db, jobIds: readonly string[]) {
  if (jobIds.length === 0) return [];
  return db
    .select({
      jobId: provisionerJobs.id,
      workflowId: provisionerJobs.workflowId,
      tags: provisionerJobs.tags,
      priority: provisionerJobs.priority,
      buildId: workspaceBuilds.id,
      buildNumber: workspaceBuilds.buildNumber,
      transition: workspaceBuilds.transition,
      reason: workspaceBuilds.reason,
      prebuildStage: workspaceBuilds.prebuildStage,
      workspaceName: workspaces.name,
      ownerName: users.username,
      templateName: templates.name,
    })
    .from(provisionerJobs)
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, provisionerJobs.id))
    .innerJoin(workspaces, eq(workspaces.id, workspaceBuilds.workspaceId))
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .where(inArray(provisionerJobs.id, [...jobIds]));
}

/** The same for imports. */
export async function listImportFacts(db: Db, jobIds: readonly string[]) {
  if (jobIds.length === 0) return [];
  return db
    .select({
      jobId: provisionerJobs.id,
      workflowId: provisionerJobs.workflowId,
      tags: provisionerJobs.tags,
      priority: provisionerJobs.priority,
      templateVersionId: templateVersions.id,
      versionName: templateVersions.name,
      ownerName: users.username,
    })
    .from(provisionerJobs)
    .innerJoin(templateVersions, eq(templateVersions.jobId, provisionerJobs.id))
    .innerJoin(users, eq(users.id, provisionerJobs.initiatorId))
    .where(inArray(provisionerJobs.id, [...jobIds]));
}
