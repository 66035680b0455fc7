import { asc, eq, inArray, sql } from 'drizzle-orm';
import type { ParameterType, TemplateParameter } from '../../domain/provisioned.ts';
import type { Db } from '../client.ts';
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
export async function findVersionForBuild(db: Db, versionId: string) {
  const [row] = await db
    .select({
      id: templateVersions.id,
      name: templateVersions.name,
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
        allowUserAutostop: templates.allowUserAutostop,
        defaultTtlMs: templates.defaultTtlMs,
        allowUserCancelWorkspaceJobs: templates.allowUserCancelWorkspaceJobs,
        userAcl: templates.userAcl,
        groupAcl: templates.groupAcl,
      },
    })
    .from(templateVersions)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, templateVersions.jobId))
    .leftJoin(templates, eq(templates.id, templateVersions.templateId))
    .where(eq(templateVersions.id, versionId));
  return row;
}
export type BuildVersion = NonNullable<Awaited<ReturnType<typeof findVersionForBuild>>>;

/** Rich parameters in list order (display_order, then lower(name)). */
export async function listParameters(db: Db, versionId: string): Promise<TemplateParameter[]> {
  const rows = await db
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
    .where(eq(templateVersionParameters.templateVersionId, versionId))
    .orderBy(asc(templateVersionParameters.displayOrder), sql`lower(${templateVersionParameters.name})`);
  return rows;
}

/** Presets with their parameters: default first, then lower(name). */
export async function listPresets(db: Db, versionId: string) {
  const presets = await db
    .select({
      id: templateVersionPresets.id,
      name: templateVersionPresets.name,
      description: templateVersionPresets.description,
      icon: templateVersionPresets.icon,
      isDefault: templateVersionPresets.isDefault,
      desiredInstances: templateVersionPresets.desiredInstances,
    })
    .from(templateVersionPresets)
    .where(eq(templateVersionPresets.templateVersionId, versionId))
    .orderBy(sql`${templateVersionPresets.isDefault} desc`, sql`lower(${templateVersionPresets.name})`);
  if (presets.length === 0) return [];
  const parameters = await db
    .select({
      presetId: templateVersionPresetParameters.templateVersionPresetId,
      name: templateVersionPresetParameters.name,
      value: templateVersionPresetParameters.value,
    })
    .from(templateVersionPresetParameters)
    .where(
      inArray(
        templateVersionPresetParameters.templateVersionPresetId,
        presets.map((preset) => preset.id),
      ),
    )
    .orderBy(asc(templateVersionPresetParameters.name));
  return presets.map((preset) => ({
    ...preset,
    parameters: parameters.filter((row) => row.presetId === preset.id).map(({ name, value }) => ({ name, value })),
  }));
}

/** What a dry run needs of its version and of who asked. */
export async function getDryRunVersion(db: Db, versionId: string, initiatorId: string) {
  const [row] = await db
    .select({
      references: templateVersionTerraformValues.references,
      cachedModuleFiles: templateVersionTerraformValues.cachedModuleFiles,
      lockFile: templateVersionTerraformValues.lockFile,
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
