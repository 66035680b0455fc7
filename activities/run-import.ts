import { createHash, randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClaimDependencies, ProvisionedResources } from '../domain/provisioned.ts';
import { NIL_UUID } from '../domain/ids.ts';
import { upsertFile } from '../db/queries/files.ts';
import { insertModules, insertProvisionedResources } from '../db/queries/provisioned-resources.ts';
import {
  type ResolvedVariable,
  getImportVersion,
  insertImportResult,
  readVariableValue,
  storeParsedSource,
} from '../db/queries/template-imports.ts';
import { listVersionVariables } from '../db/queries/workspace-builds.ts';
import { transaction } from '../db/client.ts';
import { listTemplateFiles, packModules } from '../terraform/archive.ts';
import { claimDependencies, describeClaim } from '../terraform/claim-dependencies.ts';
import { readModuleFiles } from '../terraform/claim-sources.ts';
import type { JsonObject } from '../terraform/json.ts';
import { readModules } from '../terraform/modules.ts';
import { convertResources } from '../terraform/convert.ts';
import { baseEnvironment, importEnvironment } from '../terraform/environment.ts';
import { filterPlanForCache } from '../terraform/plan-cache.ts';
import { planInstances, readReferences } from '../terraform/plan.ts';
import { readTemplateDefinition } from '../terraform/template-definition.ts';
import { findBackend, readVariables } from '../terraform/variables.ts';
import { actAsTemplateImporter } from './actors.ts';
import { completeRun } from './job-end.ts';
import { extractInto } from './job-directory.ts';
import { type JobRun, RunFailed, observeQueueWait, sourceDirectory } from './job-run.ts';
import { planTerraform } from './plan-terraform.ts';
import { keepPrepared, pinsOf } from './prepared-source.ts';
import { initialise, readTerraform } from './terraform-command.ts';

/** Import of a template version. Source: spec/02 §2.1. */
export async function runImport(run: JobRun): Promise<void> {
  const { deps, job, log } = run;
  observeQueueWait(run, { transition: '', buildReason: '' });
  const version = await getImportVersion(deps.db, job.input.template_version_id ?? '');
  if (version === undefined) throw new RunFailed('the template version is gone');
  actAsTemplateImporter(run, version.id);
  const directory = sourceDirectory(run);
  await rm(directory, { recursive: true, force: true });
  const archive = await extractInto(run, directory);

  log.stage('Parsing template parameters');
  const source = await listTemplateFiles(archive);
  const variables = await resolveVariables(run, version, readVariables(source));
  await transaction(deps.db, (tx) =>
    storeParsedSource(tx, deps.cipher, version.id, { readme: findReadme(source), variables }),
  );
  assertVariables(variables);
  const backend = findBackend(source);
  if (backend !== null)
    throw new RunFailed(
      `The template configures the backend "${backend}". State is kept by the control plane: remove the block.`,
    );

  const { env: base, inheritedTerraformVariables } = baseEnvironment(
    deps.terraform.workerEnvironment,
    deps.terraform.cliConfigPath,
  );
  for (const text of inheritedTerraformVariables)
    log.say('warn', `The worker's environment sets ${text}; Terraform uses it.`);
  const values = variables.map(({ name, value, defaultValue }) => ({ name, value, required: defaultValue === null }));
  const environment = (transition: 'start' | 'stop') => ({
    ...base,
    ...importEnvironment({ accessUrl: deps.accessUrl, transition, variables: values, agentScripts: deps.agentScripts }),
  });
  log.stage('Initializing Terraform Directory');
  await initialise(run, directory, environment('start'));
  log.stage('Detecting persistent resources');
  const { json: start } = await planTerraform(run, { name: 'start', cwd: directory, env: environment('start') });
  const dot = await readTerraform(run, { name: 'graph', args: ['graph'], cwd: directory, env: environment('start') });
  log.stage('Detecting ephemeral resources');
  const { json: stop } = await planTerraform(run, { name: 'stop', cwd: directory, env: environment('stop') });

  const definition = readTemplateDefinition(start);
  const references = readReferences(start, dot);
  const convert = (json: JsonObject, transition: 'start' | 'stop'): ProvisionedResources =>
    convertResources({ instances: planInstances(json), references, newId: randomUUID, transition });
  const resources = { start: convert(start, 'start'), stop: convert(stop, 'stop') };
  for (const warning of new Set([...definition.warnings, ...resources.start.warnings])) log.say('warn', warning);
  const dependencies = await findClaimDependencies(run, directory, start);
  if (definition.presets.some((preset) => preset.desiredInstances !== null))
    log.say('info', describeClaim(dependencies));
  const modules = await readModules(directory);
  const moduleArchive = await storeModules(run, directory);
  log.stage('Cleaning Up');

  const unknown = definition.externalAuthProviders.filter((provider) => !deps.externalAuthIds.includes(provider.id));
  const end =
    unknown.length === 0
      ? {}
      : {
          error: `The deployment has no external auth provider with id ${unknown.map((p) => `"${p.id}"`).join(', ')}.`,
        };
  const lockFile = await readFile(join(directory, '.terraform.lock.hcl'), 'utf8').catch(() => '');
  const now = new Date();
  await completeRun(run, { success: true, ...end }, async (tx) => {
    for (const transition of ['start', 'stop'] as const) {
      const target = { jobId: job.id, transition, now };
      await insertProvisionedResources(tx, deps.cipher, target, resources[transition]);
      await insertModules(tx, target, modules);
    }
    await insertImportResult(tx, version.id, {
      definition,
      hasAiTask: resources.start.hasAiTask,
      hasExternalAgent: resources.start.hasExternalAgent,
      cachedPlan: filterPlanForCache(start),
      references,
      claimDependencies: dependencies,
      cachedModuleFiles: moduleArchive?.id ?? null,
      lockFile,
      terraformVersion: deps.terraform.version,
      now,
    });
  });
  // The job is over: the first build only takes longer when this fails.
  const pins = pinsOf({
    archiveHash: createHash('sha256').update(archive).digest('hex'),
    modulesHash: moduleArchive?.hash ?? null,
    cachedModuleFiles: moduleArchive?.id ?? null,
    lockFile,
  });
  await keepPrepared(run, { archive, directory, pins }).catch((err: unknown) =>
    deps.logger.warn({ err, job_id: job.id }, 'the import left no prepared directory'),
  );
}

/** An analysis that fails makes the claims wait for Terraform; the import goes on. */
async function findClaimDependencies(run: JobRun, directory: string, plan: JsonObject): Promise<ClaimDependencies> {
  try {
    return claimDependencies({ plan, files: await readModuleFiles(directory) });
  } catch (err) {
    run.deps.logger.warn({ err, job_id: run.job.id }, 'what a claim depends on cannot be told');
    const because = `what cannot be told: ${run.redactor.redact((err as Error).message)}`;
    return { dependents: [{ address: 'the template', because }], environment: [] };
  }
}

/** Request value → value in the template's active version → default (spec/02 §2.4). */
async function resolveVariables(
  run: JobRun,
  version: { id: string; activeVersionId: string | null },
  declared: ReturnType<typeof readVariables>,
): Promise<ResolvedVariable[]> {
  const { db, cipher } = run.deps;
  const values = async (versionId: string) =>
    new Map(
      (await listVersionVariables(db, versionId)).map((row) => [row.name, readVariableValue(cipher, versionId, row)]),
    );
  const requested = await values(version.id);
  const inherited =
    version.activeVersionId === null ? new Map<string, string>() : await values(version.activeVersionId);
  const resolved = declared.map((variable) => ({
    ...variable,
    value: requested.get(variable.name) || inherited.get(variable.name) || (variable.defaultValue ?? ''),
  }));
  run.redactor.add(resolved.filter((variable) => variable.sensitive).map((variable) => variable.value));
  return resolved;
}

function assertVariables(variables: readonly ResolvedVariable[]): void {
  const missing = variables.filter((variable) => variable.defaultValue === null && variable.value === '');
  if (missing.length > 0)
    throw new RunFailed(
      `The template needs values for these variables: ${missing.map((variable) => variable.name).join(', ')}`,
      'REQUIRED_TEMPLATE_VARIABLES',
    );
}

function findReadme(source: ReadonlyMap<string, string>): string {
  const name = [...source.keys()].find((path) => path.toLowerCase() === 'readme.md');
  return name === undefined ? '' : (source.get(name) ?? '');
}

async function storeModules(run: JobRun, directory: string): Promise<{ id: string; hash: string } | null> {
  const { archive, skipped } = await packModules(directory);
  for (const key of skipped)
    run.log.say('warn', `Module ${key} does not fit into the module archive (20 MiB): builds download it.`);
  return archive === null
    ? null
    : upsertFile(run.deps.db, { createdBy: NIL_UUID, mimetype: 'application/x-tar', data: archive });
}
