import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import type { Db } from '../../db/client.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { templateVersions } from '../../db/schema/templates.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { TestApi } from './api.ts';
import { tarOf } from './builders.ts';

/** Ends a version's import as if a worker had run it. */
export async function finishImport(
  db: Db,
  versionId: string,
  end: { error?: string; errorCode?: string; canceled?: boolean } = {},
): Promise<void> {
  const [version] = await db
    .select({ jobId: templateVersions.jobId })
    .from(templateVersions)
    .where(eq(templateVersions.id, versionId));
  await db
    .update(provisionerJobs)
    .set({
      startedAt: sql`now()`,
      completedAt: sql`now()`,
      error: end.error ?? null,
      errorCode: end.errorCode ?? null,
      ...(end.canceled === true && { canceledAt: sql`now()` }),
    })
    .where(eq(provisionerJobs.id, version!.jobId));
}

export const uploadTar = async (api: TestApi, token: string, files: Record<string, string>): Promise<string> =>
  (
    await api.request('POST', '/api/v2/files', {
      token,
      body: await tarOf(files),
      headers: { 'Content-Type': 'application/x-tar' },
    })
  ).body.hash;

/** A pending version over the API; its import never runs. */
export async function createVersion(
  api: TestApi,
  options: { token?: string; body?: Record<string, unknown>; files?: Record<string, string> } = {},
) {
  const token = options.token ?? api.ownerToken;
  const fileId = await uploadTar(api, token, options.files ?? { 'main.tf': `# ${randomUUID()}\n` });
  return api.request('POST', '/api/v2/organizations/default/templateversions', {
    token,
    body: { storage_method: 'file', provisioner: 'terraform', file_id: fileId, ...options.body },
  });
}

export async function createImportedVersion(
  api: TestApi,
  options: Parameters<typeof createVersion>[1] = {},
): Promise<string> {
  const { body } = await createVersion(api, options);
  await finishImport(api.db, body.id);
  return body.id;
}

let names = 0;
export async function createTemplate(api: TestApi, body: Record<string, unknown> = {}) {
  const versionId = await createImportedVersion(api);
  names += 1;
  const created = await api.request('POST', '/api/v2/organizations/default/templates', {
    token: api.ownerToken,
    body: { name: `template-${names}`, template_version_id: versionId, ...body },
  });
  if (created.status !== 201) throw new Error(`no template: ${created.text}`);
  return created.body;
}

/** A live workspace whose latest build is a succeeded one; without `ownerId` an unclaimed prebuild. */
export async function insertWorkspaceOf(
  db: Db,
  template: { id: string; organization_id: string; active_version_id: string },
  workspace: {
    ownerId?: string;
    ttlMs?: number | null;
    deadline?: Date | null;
    maxDeadline?: Date | null;
    dormantAt?: Date;
    nextStartAt?: Date;
    transition?: 'start' | 'stop' | 'delete';
    runMs?: number;
    versionId?: string;
  } = {},
): Promise<string> {
  const id = randomUUID();
  const now = new Date();
  const { transition = 'start', runMs = 1000, versionId = template.active_version_id } = workspace;
  await db.insert(workspaces).values({
    id,
    ownerId: workspace.ownerId ?? PREBUILDS_SYSTEM_USER_ID,
    organizationId: template.organization_id,
    templateId: template.id,
    name: `w-${id.slice(0, 8)}`,
    createdAt: now,
    updatedAt: now,
    lastUsedAt: new Date(0),
    ttlMs: workspace.ttlMs ?? null,
    dormantAt: workspace.dormantAt ?? null,
    nextStartAt: workspace.nextStartAt ?? null,
  });
  await insertBuildOf(db, { workspaceId: id, versionId, transition, runMs, ...workspace });
  return id;
}

export async function insertBuildOf(
  db: Db,
  build: {
    workspaceId: string;
    versionId: string;
    transition: 'start' | 'stop' | 'delete';
    runMs: number;
    canceled?: boolean;
    deadline?: Date | null;
    maxDeadline?: Date | null;
  },
): Promise<void> {
  const [version] = await db
    .select({
      organizationId: templateVersions.organizationId,
      createdBy: templateVersions.createdBy,
      fileId: provisionerJobs.fileId,
    })
    .from(templateVersions)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, templateVersions.jobId))
    .where(eq(templateVersions.id, build.versionId));
  const jobId = randomUUID();
  const id = randomUUID();
  const completedAt = new Date();
  await db.insert(provisionerJobs).values({
    id: jobId,
    organizationId: version!.organizationId,
    initiatorId: version!.createdBy,
    provisioner: 'terraform',
    type: 'workspace_build',
    input: { workspace_build_id: id },
    fileId: version!.fileId,
    workflowId: `build/${id}`,
    priority: 1,
    startedAt: new Date(completedAt.getTime() - build.runMs),
    completedAt,
    canceledAt: build.canceled === true ? completedAt : null,
  });
  await db.update(workspaceBuilds).set({ isLatest: false }).where(eq(workspaceBuilds.workspaceId, build.workspaceId));
  await db.insert(workspaceBuilds).values({
    id,
    workspaceId: build.workspaceId,
    createdAt: completedAt,
    updatedAt: completedAt,
    buildNumber: sql`(select coalesce(max(build_number), 0) + 1 from workspace_builds where workspace_id = ${build.workspaceId})`,
    templateVersionId: build.versionId,
    transition: build.transition,
    initiatorId: version!.createdBy,
    jobId,
    active: false,
    deadline: build.deadline ?? null,
    maxDeadline: build.maxDeadline ?? null,
  });
}

/** Makes a version the active one of its template. */
export async function promote(api: TestApi, templateId: string, versionId: string): Promise<void> {
  const answer = await api.request('PATCH', `/api/v2/templates/${templateId}/versions`, {
    token: api.ownerToken,
    body: { id: versionId },
  });
  if (answer.status !== 200) throw new Error(`not promoted: ${answer.text}`);
}
