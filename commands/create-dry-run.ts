import { randomUUID } from 'node:crypto';
import { type Db, transaction } from '../db/client.ts';
import { jobsChannel, notify } from '../db/notifications.ts';
import { type DryRunView, findDryRunView } from '../db/queries/job-views.ts';
import { insertJob } from '../db/queries/provisioner-jobs.ts';
import { sealDryRunVariables } from '../db/queries/template-imports.ts';
import { type VersionView, findVersionView } from '../db/queries/template-version-views.ts';
import { listParameters } from '../db/queries/template-versions.ts';
import { listVersionVariables } from '../db/queries/workspace-builds.ts';
import { DomainError, type FieldError, notFound } from '../domain/errors.ts';
import { dryRunWorkflowId } from '../domain/ids.ts';
import { isActiveJob, jobPriority } from '../domain/jobs.ts';
import { nameProblem } from '../domain/names.ts';
import { type ParameterValue, resolveParameters } from '../domain/parameters.ts';
import { type Caller, requireValid } from './caller.ts';
import type { CommandDeps } from './deps.ts';
import { startJob } from './start-job.ts';
import { authorizeVersion } from './template-row.ts';

export interface CreateDryRun {
  readonly versionId: string;
  /** Empty = `dryrun`. */
  readonly workspaceName: string;
  readonly richParameterValues: readonly ParameterValue[];
  readonly userVariableValues: readonly ParameterValue[];
}

/** Throws CONFLICT while the import runs and INVALID_INPUT when it did not succeed. */
export function requireImported(version: Pick<VersionView, 'job'>): void {
  const { status } = version.job;
  if (isActiveJob(status)) throw new DomainError('CONFLICT', 'The import of the version has not finished yet');
  if (status !== 'succeeded')
    throw new DomainError('INVALID_INPUT', `The import of the version has status ${status}`, {
      ...(version.job.error !== null && { detail: version.job.error }),
    });
}

/**
 * Plans a version for the given values, without a workspace. Returns the job as it was committed, and its version. Needs `use` on the template. Throws
 * CONFLICT, INVALID_INPUT naming the parameters. Source: spec/06 §7.
 */
export const createCreateDryRun = (deps: CommandDeps) =>
  async function createDryRun(caller: Caller, input: CreateDryRun): Promise<{ job: DryRunView; version: VersionView }> {
    const version = await findVersionView(deps.db, input.versionId);
    if (version === undefined) throw notFound();
    authorizeVersion(caller, 'use', version);
    requireImported(version);
    if (input.workspaceName !== '') requireValid('workspace_name', nameProblem('workspace', input.workspaceName));
    const { values } = resolveParameters({
      parameters: await listParameters(deps.db, version.id),
      requested: input.richParameterValues,
      preset: null,
      previous: [],
      transition: 'start',
      isFirstBuild: true,
      isClaim: false,
      mode: 'create',
    });
    await requireDeclared(deps.db, version.id, input.userVariableValues);
    const id = randomUUID();
    const job = {
      id,
      workflowId: dryRunWorkflowId(id),
      tags: version.job.tags,
      priority: jobPriority.import,
    };
    const view = await transaction(deps.db, async (tx) => {
      await insertJob(tx, {
        ...job,
        organizationId: version.organizationId,
        initiatorId: caller.subject.id,
        type: 'template_version_dry_run',
        input: {
          template_version_id: version.id,
          workspace_name: input.workspaceName === '' ? 'dryrun' : input.workspaceName,
          rich_parameter_values: [...values],
          ...(input.userVariableValues.length > 0 && {
            sealed_variables: sealDryRunVariables(deps.cipher, id, input.userVariableValues),
          }),
        },
        fileId: version.job.fileId,
      });
      await notify(tx, jobsChannel, id);
      return findDryRunView(tx, version.id, id);
    });
    const kind = {
      type: 'template_version_dry_run' as const,
      versionName: version.template === null ? version.name : `${version.template.name}@${version.name}`,
      ownerName: caller.subject.name,
    };
    await startJob(deps, { jobId: id, workflowId: job.workflowId, tags: job.tags, priority: job.priority, kind });
    return { job: view!, version };
  };

/** Only variables that the version declares, each once. */
async function requireDeclared(db: Db, versionId: string, values: readonly ParameterValue[]): Promise<void> {
  if (values.length === 0) return;
  const declared = new Set((await listVersionVariables(db, versionId)).map(({ name }) => name));
  const offences = values.flatMap(({ name }, at): FieldError[] => {
    if (!declared.has(name)) return [{ field: name, detail: 'The template has no such variable.' }];
    const earlier = values.findIndex((value) => value.name === name);
    return earlier < at ? [{ field: name, detail: 'The variable is given twice.' }] : [];
  });
  if (offences.length > 0)
    throw new DomainError('INVALID_INPUT', 'Some variable values are not valid.', { validations: offences });
}
