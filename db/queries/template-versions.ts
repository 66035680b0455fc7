import { asc, eq, sql } from 'drizzle-orm';
import type { ParameterType, TemplateParameter } from '../../domain/provisioned.ts';
import { type Db, preparedQuery } from '../client.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import {
  templateVersionParameters,
  templateVersionPresetParameters,
  templateVersionPresets,
  templateVersionTerraformValues,
  templateVersionWorkspaceTags,
  templateVersions,
  templates,
} from '../schema/templates.ts';
import { users } from '../schema/users.ts';

/** What a build or a new workspace decides on: the version, its import job and its template in one statement. */
const selectVersionsForBuild = (db: Db) =>
  db
    .select({
      id: templateVersions.id,
      name: templateVersions.name,
      message: templateVersions.message,
      archived: templateVersions.archived,
      templateId: templateVersions.templateId,
      organizationId: templateVersions.organizationId,
      jobStatus: provisionerJobs.jobStatus,
      fileId: provisionerJobs.fileId,
      tags: provisionerJobs.tags,
      workspaceTags: sql<Record<string, string>>`coalesce((
        select jsonb_object_agg(${templateVersionWorkspaceTags.key}, ${templateVersionWorkspaceTags.value})
        from ${templateVersionWorkspaceTags} where ${templateVersionWorkspaceTags.templateVersionId} = ${templateVersions.id}), '{}')`,
      template: {
        id: templates.id,
        name: templates.name,
        organizationId: templates.organizationId,
        activeVersionId: templates.activeVersionId,
        deleted: templates.deleted,
        deprecated: templates.deprecated,
        requireActiveVersion: templates.requireActiveVersion,
        allowUserAutostart: templates.allowUserAutostart,
        autostartBlockDaysOfWeek: templates.autostartBlockDaysOfWeek,
        allowUserAutostop: templates.allowUserAutostop,
        defaultTtlMs: templates.defaultTtlMs,
        allowUserCancelWorkspaceJobs: templates.allowUserCancelWorkspaceJobs,
        userAcl: templates.userAcl,
        groupAcl: templates.groupAcl,
      },
    })
    .from(templateVersions)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, templateVersions.jobId))
    .leftJoin(templates, eq(templates.id, templateVersions.templateId));
export type BuildVersion = Awaited<ReturnType<typeof selectVersionsForBuild>>[number];

export async function findVersionForBuild(db: Db, versionId: string): Promise<BuildVersion | undefined> {
  const [row] = await versionsForBuild(db, { versionId });
  return row;
}
const versionsForBuild = preparedQuery<{ versionId: string }, BuildVersion>((db) =>
  selectVersionsForBuild(db)
    .where(eq(templateVersions.id, sql.placeholder('versionId')))
    .prepare('version_for_build'),
);

/** The same of the active version of a template, deleted templates included. */
export async function findActiveVersionForBuild(db: Db, templateId: string): Promise<BuildVersion | undefined> {
  const [row] = await activeVersionsForBuild(db, { templateId });
  return row;
}
const activeVersionsForBuild = preparedQuery<{ templateId: string }, BuildVersion>((db) => {
  const active = sql`(select active_version_id from templates where id = ${sql.placeholder('templateId')})`;
  return selectVersionsForBuild(db).where(eq(templateVersions.id, active)).prepare('active_version_for_build');
});

/** Rich parameters in list order (display_order, then lower(name)). */
export const listParameters = (db: Db, versionId: string): Promise<TemplateParameter[]> =>
  parametersOfVersion(db, { versionId });
const parametersOfVersion = preparedQuery<{ versionId: string }, TemplateParameter>((db) =>
  db
    .select({
      name: templateVersionParameters.name,
      displayName: templateVersionParameters.displayName,
      description: templateVersionParameters.description,
      type: sql<ParameterType>`${templateVersionParameters.type}`,
      formType: sql<string>`${templateVersionParameters.formType}`,
      mutable: templateVersionParameters.mutable,
      defaultValue: templateVersionParameters.defaultValue,
      icon: templateVersionParameters.icon,
      options: templateVersionParameters.options,
      validationRegex: templateVersionParameters.validationRegex,
      validationMin: templateVersionParameters.validationMin,
      validationMax: templateVersionParameters.validationMax,
      validationError: templateVersionParameters.validationError,
      validationMonotonic: templateVersionParameters.validationMonotonic,
      required: templateVersionParameters.required,
      displayOrder: templateVersionParameters.displayOrder,
      ephemeral: templateVersionParameters.ephemeral,
    })
    .from(templateVersionParameters)
    .where(eq(templateVersionParameters.templateVersionId, sql.placeholder('versionId')))
    .orderBy(asc(templateVersionParameters.displayOrder), sql`lower(${templateVersionParameters.name})`)
    .prepare('parameters'),
);

/** Presets with their parameters: default first, then lower(name). */
export const listPresets = (db: Db, versionId: string): Promise<VersionPreset[]> => presetsOfVersion(db, { versionId });
const selectPresets = (db: Db) =>
  db
    .select({
      id: templateVersionPresets.id,
      name: templateVersionPresets.name,
      description: templateVersionPresets.description,
      icon: templateVersionPresets.icon,
      isDefault: templateVersionPresets.isDefault,
      desiredInstances: templateVersionPresets.desiredInstances,
      invalidateAfterSecs: templateVersionPresets.invalidateAfterSecs,
      lastInvalidatedAt: templateVersionPresets.lastInvalidatedAt,
      parameters: sql<{ name: string; value: string }[]>`coalesce((
        select json_agg(json_build_object('name', p.name, 'value', p.value) order by p.name)
        from ${templateVersionPresetParameters} p where p.template_version_preset_id = template_version_presets.id), '[]')`,
    })
    .from(templateVersionPresets)
    .where(eq(templateVersionPresets.templateVersionId, sql.placeholder('versionId')))
    .orderBy(sql`${templateVersionPresets.isDefault} desc`, sql`lower(${templateVersionPresets.name})`);
export type VersionPreset = Awaited<ReturnType<typeof selectPresets>>[number];
const presetsOfVersion = preparedQuery<{ versionId: string }, VersionPreset>((db) =>
  selectPresets(db).prepare('presets'),
);

/** What a dry run needs of its version and of who asked. */
/** Columns of queries that join a version with its Terraform values: hashes of its archives, which name what is made of them. */
export const archiveHashOfVersion = sql<
  string | null
>`(select f.hash from files f join provisioner_jobs j on j.file_id = f.id where j.id = ${templateVersions.jobId})`;
export const modulesHashOfVersion = sql<
  string | null
>`(select f.hash from files f where f.id = ${templateVersionTerraformValues.cachedModuleFiles})`;

export async function getDryRunVersion(db: Db, versionId: string, initiatorId: string) {
  const [row] = await db
    .select({
      references: templateVersionTerraformValues.references,
      cachedModuleFiles: templateVersionTerraformValues.cachedModuleFiles,
      lockFile: templateVersionTerraformValues.lockFile,
      archiveHash: archiveHashOfVersion,
      modulesHash: modulesHashOfVersion,
      initiatorUsername: users.username,
    })
    .from(templateVersions)
    .innerJoin(users, eq(users.id, initiatorId))
    .leftJoin(templateVersionTerraformValues, eq(templateVersionTerraformValues.templateVersionId, templateVersions.id))
    .where(eq(templateVersions.id, versionId));
  return row;
}

export interface NewTemplateVersion {
  id: string;
  templateId: string | null;
  organizationId: string;
  name: string;
  message: string;
  jobId: string;
  createdBy: string;
  sourceExampleId: string | null;
  now: Date;
}

/** A taken name violates `template_versions_template_name_idx`. */
export async function insertTemplateVersion(tx: Db, { now, ...version }: NewTemplateVersion): Promise<void> {
  await tx.insert(templateVersions).values({ ...version, createdAt: now, updatedAt: now });
}

/** Locks the version for a change and reads what the change decides on. */
export async function lockVersion(tx: Db, versionId: string) {
  const [row] = await tx
    .select({
      id: templateVersions.id,
      templateId: templateVersions.templateId,
      organizationId: templateVersions.organizationId,
      name: templateVersions.name,
      message: templateVersions.message,
      archived: templateVersions.archived,
      createdBy: templateVersions.createdBy,
      jobStatus: provisionerJobs.jobStatus,
      provisioner: provisionerJobs.provisioner,
    })
    .from(templateVersions)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, templateVersions.jobId))
    .where(eq(templateVersions.id, versionId))
    .for('update', { of: templateVersions });
  return row;
}
export type LockedVersion = NonNullable<Awaited<ReturnType<typeof lockVersion>>>;

/** A taken name violates `template_versions_template_name_idx`. */
export async function updateVersion(
  tx: Db,
  versionId: string,
  change: Partial<typeof templateVersions.$inferInsert>,
): Promise<void> {
  await tx.update(templateVersions).set(change).where(eq(templateVersions.id, versionId));
}

/**
 * Archives what nobody needs: not active, import over, in no live workspace's latest build; with `failedOnly` only those
 * whose import failed. Returns their ids and names. Source: spec/06 §6.
 */
export async function archiveUnusedVersions(
  tx: Db,
  template: { id: string; activeVersionId: string },
  options: { failedOnly: boolean; now: Date },
): Promise<{ id: string; name: string }[]> {
  return tx.execute<{ id: string; name: string }>(sql`
    update template_versions v set archived = true, updated_at = ${options.now.toISOString()}::timestamptz
    from provisioner_jobs j
    where j.id = v.job_id and v.template_id = ${template.id} and not v.archived and v.id <> ${template.activeVersionId}
      and j.completed_at is not null
      and ${options.failedOnly ? sql`j.job_status = 'failed'` : sql`true`}
      and v.id not in (
        select b.template_version_id from workspaces w join workspace_builds b on b.workspace_id = w.id and b.is_latest
        where w.template_id = ${template.id} and not w.deleted)
    returning v.id, v.name`);
}
