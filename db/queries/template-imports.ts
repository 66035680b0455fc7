import { eq, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import type {
  ClaimDependencies,
  TemplateDefinition,
  TemplateReferences,
  TemplateVariable,
} from '../../domain/provisioned.ts';
import type { Db } from '../client.ts';
import type { ColumnCipher } from '../encryption.ts';
import type { JobInput } from '../schema/provisioner-jobs.ts';
import {
  templateVersionParameters,
  templateVersionPresetParameters,
  templateVersionPresetPrebuildSchedules,
  templateVersionPresets,
  templateVersionTerraformValues,
  templateVersionVariables,
  templateVersionWorkspaceTags,
  templateVersions,
  templates,
} from '../schema/templates.ts';

const variablePlace = (versionId: string, name: string) => `template_version_variables:value:${versionId}/${name}`;

/** Value of a variable row, decrypted when it is sensitive. */
export function readVariableValue(
  cipher: ColumnCipher,
  versionId: string,
  row: { name: string; value: string; valueKeyId: string },
): string {
  if (row.valueKeyId === '') return row.value;
  return cipher
    .decrypt(variablePlace(versionId, row.name), row.valueKeyId, Buffer.from(row.value, 'base64'))
    .toString();
}

/** A value before the import knows whether it is sensitive is treated as if it were. */
export function sealVariable(cipher: ColumnCipher, versionId: string, name: string, value: string) {
  const sealed = cipher.encrypt(variablePlace(versionId, name), Buffer.from(value));
  return { value: sealed.toString('base64'), valueKeyId: cipher.keyId };
}

/** Values that came with the request, kept encrypted until the import knows the variables (spec/02 §1.2). */
export async function insertRequestedVariables(
  tx: Db,
  cipher: ColumnCipher,
  versionId: string,
  values: readonly { name: string; value: string }[],
): Promise<void> {
  if (values.length === 0) return;
  await tx.insert(templateVersionVariables).values(
    values.map(({ name, value }) => ({
      templateVersionId: versionId,
      name,
      type: 'string',
      required: false,
      sensitive: true,
      ...sealVariable(cipher, versionId, name, value),
    })),
  );
}

const dryRunPlace = (jobId: string, name: string) => `provisioner_jobs:input:${jobId}/${name}`;

/** Values that a dry run sets instead of the version's, as its job keeps them. */
export const sealDryRunVariables = (
  cipher: ColumnCipher,
  jobId: string,
  values: readonly { name: string; value: string }[],
): NonNullable<JobInput['sealed_variables']> =>
  values.map(({ name, value }) => ({
    name,
    value: cipher.encrypt(dryRunPlace(jobId, name), Buffer.from(value)).toString('base64'),
    key_id: cipher.keyId,
  }));

/** Name → value of the above. */
export const readDryRunVariables = (cipher: ColumnCipher, jobId: string, input: JobInput): Map<string, string> =>
  new Map(
    (input.sealed_variables ?? []).map(({ name, value, key_id: keyId }) => [
      name,
      cipher.decrypt(dryRunPlace(jobId, name), keyId, Buffer.from(value, 'base64')).toString(),
    ]),
  );

/** The version an import belongs to, with the template whose active version hands variable values down. */
export async function getImportVersion(db: Db, versionId: string) {
  const [row] = await db
    .select({
      id: templateVersions.id,
      name: templateVersions.name,
      organizationId: templateVersions.organizationId,
      templateId: templateVersions.templateId,
      activeVersionId: templates.activeVersionId,
    })
    .from(templateVersions)
    .leftJoin(templates, eq(templates.id, templateVersions.templateId))
    .where(eq(templateVersions.id, versionId));
  return row;
}

export interface ResolvedVariable extends TemplateVariable {
  readonly value: string;
}

/** Replaces the version's variable rows and readme by what its source says. Repeatable. */
export async function storeParsedSource(
  tx: Db,
  cipher: ColumnCipher,
  versionId: string,
  source: { readme: string; variables: readonly ResolvedVariable[] },
): Promise<void> {
  await tx
    .update(templateVersions)
    .set({ readme: source.readme.slice(0, 1_048_576), updatedAt: sql`now()` })
    .where(eq(templateVersions.id, versionId));
  await tx.delete(templateVersionVariables).where(eq(templateVersionVariables.templateVersionId, versionId));
  if (source.variables.length === 0) return;
  await tx.insert(templateVersionVariables).values(
    source.variables.map((variable) => ({
      templateVersionId: versionId,
      name: variable.name,
      description: variable.description,
      type: variable.type,
      defaultValue: variable.sensitive ? '' : (variable.defaultValue ?? ''),
      required: variable.defaultValue === null,
      sensitive: variable.sensitive,
      ...(variable.sensitive
        ? sealVariable(cipher, versionId, variable.name, variable.value)
        : { value: variable.value, valueKeyId: '' }),
    })),
  );
}

export interface ImportResult {
  definition: TemplateDefinition;
  hasAiTask: boolean;
  hasExternalAgent: boolean;
  cachedPlan: unknown;
  references: TemplateReferences;
  claimDependencies: ClaimDependencies;
  cachedModuleFiles: string | null;
  lockFile: string;
  terraformVersion: string;
  now: Date;
}

/** Steps 2–4 of completeTemplateImportJob (spec/02 §1.10), in the completion transaction. */
export async function insertImportResult(tx: Db, versionId: string, result: ImportResult): Promise<void> {
  const { definition, now } = result;
  await tx
    .update(templateVersions)
    .set({
      externalAuthProviders: [...definition.externalAuthProviders],
      hasAiTask: result.hasAiTask,
      hasExternalAgent: result.hasExternalAgent,
      updatedAt: now,
    })
    .where(eq(templateVersions.id, versionId));
  if (definition.parameters.length > 0)
    await tx.insert(templateVersionParameters).values(
      definition.parameters.map(({ formType, ...parameter }) => ({
        ...parameter,
        formType: formType as (typeof templateVersionParameters.$inferInsert)['formType'] & string,
        templateVersionId: versionId,
      })),
    );
  await insertPresets(tx, versionId, definition, now);
  if (definition.workspaceTags.length > 0)
    await tx
      .insert(templateVersionWorkspaceTags)
      .values(definition.workspaceTags.map((tag) => ({ ...tag, templateVersionId: versionId })));
  await tx.insert(templateVersionTerraformValues).values({
    templateVersionId: versionId,
    updatedAt: now,
    cachedPlan: result.cachedPlan,
    cachedModuleFiles: result.cachedModuleFiles,
    provisionerdVersion: result.terraformVersion,
    references: result.references,
    claimDependencies: result.claimDependencies,
    lockFile: result.lockFile,
  });
}

/** The start plan that the import kept (terraform/plan-cache.ts). */
export async function getCachedPlan(db: Db, versionId: string): Promise<unknown> {
  const [row] = await db
    .select({ plan: templateVersionTerraformValues.cachedPlan })
    .from(templateVersionTerraformValues)
    .where(eq(templateVersionTerraformValues.templateVersionId, versionId));
  return row?.plan;
}

async function insertPresets(tx: Db, versionId: string, definition: TemplateDefinition, now: Date): Promise<void> {
  const presets = definition.presets.map((preset) => ({ preset, id: randomUUID() }));
  if (presets.length === 0) return;
  await tx.insert(templateVersionPresets).values(
    presets.map(({ preset: { parameters: _parameters, schedules: _schedules, ...row }, id }) => ({
      ...row,
      id,
      templateVersionId: versionId,
      createdAt: now,
    })),
  );
  const parameters = presets.flatMap(({ preset, id }) =>
    preset.parameters.map((parameter) => ({ ...parameter, templateVersionPresetId: id })),
  );
  if (parameters.length > 0) await tx.insert(templateVersionPresetParameters).values(parameters);
  const schedules = presets.flatMap(({ preset, id }) =>
    preset.schedules.map((schedule, position) => ({ ...schedule, presetId: id, position })),
  );
  if (schedules.length > 0) await tx.insert(templateVersionPresetPrebuildSchedules).values(schedules);
}
