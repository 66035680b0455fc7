import { randomUUID } from 'node:crypto';
import { insertModules, insertProvisionedResources } from '../db/queries/provisioned-resources.ts';
import { readDryRunVariables, readVariableValue } from '../db/queries/template-imports.ts';
import { getDryRunVersion } from '../db/queries/template-versions.ts';
import { listVersionVariables } from '../db/queries/workspace-builds.ts';
import { readModules } from '../terraform/modules.ts';
import { convertResources } from '../terraform/convert.ts';
import { baseEnvironment, dryRunEnvironment } from '../terraform/environment.ts';
import { planInstances } from '../terraform/plan.ts';
import { actAsTemplateImporter } from './actors.ts';
import { completeRun } from './job-end.ts';
import { type JobRun, RunFailed, observeQueueWait, sourceDirectory } from './job-run.ts';
import { planTerraform } from './plan-terraform.ts';
import { layOutSource, pinsOf } from './prepared-source.ts';

/** Plans a version for the given parameters: resources and modules, no state, no apply. Source: spec/02 §3.3. */
export async function runDryRun(run: JobRun): Promise<void> {
  const { deps, job, log } = run;
  observeQueueWait(run, { transition: '', buildReason: '' });
  const versionId = job.input.template_version_id ?? '';
  actAsTemplateImporter(run, versionId);
  const version = await getDryRunVersion(deps.db, versionId, job.initiatorId);
  if (version === undefined || version.references === null)
    throw new RunFailed('the template version was never imported');
  const directory = sourceDirectory(run);
  await layOutSource(run, pinsOf(version), { fresh: false });
  const replaced = readDryRunVariables(deps.cipher, job.id, job.input);
  const variables = (await listVersionVariables(deps.db, versionId)).map((row) => ({
    ...row,
    value: replaced.get(row.name) ?? readVariableValue(deps.cipher, versionId, row),
  }));
  run.redactor.add(variables.filter((row) => row.sensitive).map((row) => row.value));
  const env = {
    ...baseEnvironment(deps.terraform.workerEnvironment, deps.terraform.cliConfigPath).env,
    ...dryRunEnvironment({
      accessUrl: deps.accessUrl,
      workspaceName: job.input.workspace_name ?? 'dryrun',
      ownerId: randomUUID(),
      ownerUsername: version.initiatorUsername,
      workspaceId: randomUUID(),
      parameters: job.input.rich_parameter_values ?? [],
      variables,
      agentScripts: deps.agentScripts,
    }),
  };
  log.stage('Detecting persistent resources');
  const { json } = await planTerraform(run, { name: 'start', cwd: directory, env });
  const provisioned = convertResources({
    instances: planInstances(json),
    references: version.references,
    newId: randomUUID,
  });
  for (const warning of provisioned.warnings) log.say('warn', warning);
  const target = { jobId: job.id, transition: 'start' as const, now: new Date() };
  const modules = await readModules(directory);
  log.stage('Cleaning Up');
  await completeRun(run, { success: true }, async (tx) => {
    await insertProvisionedResources(tx, deps.cipher, target, provisioned);
    await insertModules(tx, target, modules);
  });
}
