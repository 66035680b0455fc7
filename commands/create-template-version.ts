import { randomInt, randomUUID } from 'node:crypto';
import { authorize, templateObject } from '../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import { importWorkflowId } from '../domain/ids.ts';
import { jobPriority, normalizeTags } from '../domain/jobs.ts';
import { nameProblem } from '../domain/names.ts';
import type { Subject } from '../domain/subject.ts';
import { generateVersionName } from '../domain/version-names.ts';
import { type Db, transaction, violatedConstraint } from '../db/client.ts';
import { jobsChannel, notify } from '../db/notifications.ts';
import { type AuditOrigin, insertAudit } from '../db/queries/audit-logs.ts';
import { getFile, upsertFile } from '../db/queries/files.ts';
import { insertJob } from '../db/queries/provisioner-jobs.ts';
import { insertRequestedVariables } from '../db/queries/template-imports.ts';
import { type VersionView, findVersionView } from '../db/queries/template-version-views.ts';
import { insertTemplateVersion } from '../db/queries/template-versions.ts';
import { findTemplate } from '../db/queries/templates.ts';
import { listTemplateFiles } from '../terraform/archive.ts';
import { packExample } from '../terraform/examples.ts';
import { syntaxProblems } from '../terraform/source-syntax.ts';
import { readTagDefaults } from '../terraform/source-tags.ts';
import { requireValid } from './caller.ts';
import type { CommandDeps } from './deps.ts';
import { type JobFacts, startJob } from './start-job.ts';
import { authorizeFile } from './upload-file.ts';

export interface CreateTemplateVersion {
  readonly organizationId: string;
  /** Empty = a generated one. */
  readonly name: string;
  readonly message: string;
  readonly templateId?: string | undefined;
  /** Either this or `exampleId`. */
  readonly fileId?: string | undefined;
  readonly exampleId?: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly userVariableValues: readonly { readonly name: string; readonly value: string }[];
  readonly origin: AuditOrigin;
}

interface Source {
  readonly fileId: string;
  readonly files: ReadonlyMap<string, string>;
}

/** A generated name that is taken is replaced this often. */
const nameAttempts = 5;

/**
 * Creates a version with its pending import job and starts the import. Returns the version as it was committed, so that the
 * answer says `pending` however fast a worker is. Throws NOT_FOUND (template,
 * file), CONFLICT (name), INVALID_INPUT: file and example both or neither, unknown example, configuration that cannot be
 * read. Source: spec/06 §7.
 */
export const createCreateTemplateVersion = (deps: CommandDeps) =>
  async function createTemplateVersion(subject: Subject, input: CreateTemplateVersion): Promise<VersionView> {
    if (input.name !== '') requireValid('name', nameProblem('templateVersion', input.name));
    requireDistinct(input.userVariableValues);
    await authorizeAuthor(deps.db, subject, input);
    const source = await loadSource(deps.db, subject, input);
    for (let attempt = 1; ; attempt += 1) {
      const name = input.name === '' ? generateVersionName(() => randomInt(1_000_000) / 1_000_000) : input.name;
      try {
        return await insertAndStart(deps, subject, { ...input, name, source });
      } catch (err) {
        if (violatedConstraint(err) !== 'template_versions_template_name_idx') throw err;
        if (input.name !== '' || attempt === nameAttempts) throw nameTaken(name);
      }
    }
  };

/** The template that the version is for, if any; throws unless the subject may author there. */
async function authorizeAuthor(db: Db, subject: Subject, input: CreateTemplateVersion) {
  if (input.templateId === undefined) {
    authorize(subject, 'create', { type: 'template', organizationId: input.organizationId });
    return undefined;
  }
  const template = await findTemplate(db, input.templateId);
  if (template === undefined || template.deleted || template.organizationId !== input.organizationId) throw notFound();
  authorize(subject, 'update', templateObject(template));
  return template;
}

function requireDistinct(values: CreateTemplateVersion['userVariableValues']): void {
  const names = new Set<string>();
  for (const { name } of values) {
    if (names.has(name)) throw invalidField('user_variable_values', `"${name}" is given twice`);
    names.add(name);
  }
}

/** The archive, which the subject must be allowed to use, and its root-module files. */
async function loadSource(db: Db, subject: Subject, input: CreateTemplateVersion): Promise<Source> {
  const { fileId, exampleId } = input;
  if (fileId !== undefined && exampleId !== undefined)
    throw invalidField('example_id', 'give either file_id or example_id');
  if (exampleId !== undefined) {
    const data = await packExample(exampleId);
    if (data === undefined) throw invalidField('example_id', `there is no example "${exampleId}"`);
    const { id } = await upsertFile(db, { createdBy: subject.id, mimetype: 'application/x-tar', data });
    return { fileId: id, files: await listTemplateFiles(data) };
  }
  if (fileId === undefined) throw invalidField('file_id', 'file_id or example_id is required');
  await authorizeFile(db, subject, fileId);
  const file = await getFile(db, fileId);
  if (file === undefined) throw notFound();
  const files = await listTemplateFiles(file.data);
  const problems = syntaxProblems(files);
  if (problems.length > 0)
    throw new DomainError('INVALID_INPUT', 'The template cannot be read', {
      detail: problems.map(({ field, detail }) => `${field}: ${detail}`).join('\n'),
      validations: problems,
    });
  return { fileId, files };
}

async function insertAndStart(
  deps: CommandDeps,
  subject: Subject,
  input: CreateTemplateVersion & { readonly source: Source },
): Promise<VersionView> {
  const id = randomUUID();
  const { facts, view } = await transaction(deps.db, async (tx): Promise<{ facts: JobFacts; view: VersionView }> => {
    const now = deps.now();
    // Once more in the transaction: the template may have been deleted while the archive was read.
    const template = await authorizeAuthor(tx, subject, input);
    const variables = new Map(input.userVariableValues.map(({ name, value }) => [name, value]));
    const job = {
      id: randomUUID(),
      workflowId: importWorkflowId(id),
      tags: normalizeTags({ ...readTagDefaults(input.source.files, variables), ...input.tags }, subject.id),
      priority: jobPriority.import,
    };
    await insertJob(tx, {
      ...job,
      organizationId: input.organizationId,
      initiatorId: subject.id,
      type: 'template_version_import',
      input: { template_version_id: id, user_variable_names: input.userVariableValues.map(({ name }) => name) },
      fileId: input.source.fileId,
    });
    await insertTemplateVersion(tx, {
      id,
      templateId: input.templateId ?? null,
      organizationId: input.organizationId,
      name: input.name,
      message: input.message,
      jobId: job.id,
      createdBy: subject.id,
      sourceExampleId: input.exampleId ?? null,
      now,
    });
    await insertRequestedVariables(tx, deps.cipher, id, input.userVariableValues);
    await insertAudit(tx, {
      origin: input.origin,
      time: now,
      resourceType: 'template_version',
      resourceId: id,
      resourceTarget: input.name,
      action: 'create',
      organizationId: input.organizationId,
      statusCode: 201,
    });
    await notify(tx, jobsChannel, job.id);
    const kind = {
      type: 'template_version_import' as const,
      templateVersionId: id,
      versionName: template === undefined ? input.name : `${template.name}@${input.name}`,
      ownerName: subject.name,
    };
    const view = await findVersionView(tx, id);
    const { id: jobId, workflowId, tags, priority } = job;
    return { facts: { jobId, workflowId, tags, priority, kind }, view: view! };
  });
  await startJob(deps, facts);
  return view;
}

const nameTaken = (name: string) =>
  new DomainError('CONFLICT', `A version named "${name}" exists already in this template`, {
    validations: [{ field: 'name', detail: 'this name is taken' }],
  });
