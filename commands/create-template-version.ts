import { randomUUID } from 'node:crypto';
import { authorize, templateObject } from '../domain/authorization.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import { importWorkflowId } from '../domain/ids.ts';
import { jobPriority, normalizeTags } from '../domain/jobs.ts';
import type { Subject } from '../domain/subject.ts';
import { transaction, violatedConstraint } from '../db/client.ts';
import { jobsChannel, notify } from '../db/notifications.ts';
import { type AuditOrigin, insertAudit } from '../db/queries/audit-logs.ts';
import { findFileOwner } from '../db/queries/files.ts';
import { insertJob } from '../db/queries/provisioner-jobs.ts';
import { insertRequestedVariables } from '../db/queries/template-imports.ts';
import { insertTemplateVersion } from '../db/queries/template-versions.ts';
import { findTemplate } from '../db/queries/templates.ts';
import type { CommandDeps } from './deps.ts';
import { type JobFacts, startJob } from './start-job.ts';

export interface CreateTemplateVersion {
  readonly organizationId: string;
  readonly name: string;
  readonly message: string;
  readonly templateId?: string | undefined;
  readonly fileId: string;
  readonly exampleId?: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly userVariableValues: readonly { readonly name: string; readonly value: string }[];
  readonly origin: AuditOrigin;
}

/** Creates a version with its pending import job and starts the import. Returns the version's id. Source: spec/06 §7. */
export const createCreateTemplateVersion = (deps: CommandDeps) =>
  async function createTemplateVersion(subject: Subject, input: CreateTemplateVersion): Promise<string> {
    const id = randomUUID();
    const facts = await transaction(deps.db, async (tx): Promise<JobFacts> => {
      const now = deps.now();
      const template = input.templateId === undefined ? undefined : await findTemplate(tx, input.templateId);
      if (input.templateId !== undefined) {
        if (template === undefined || template.deleted || template.organizationId !== input.organizationId)
          throw notFound();
        authorize(subject, 'update', templateObject(template));
      } else authorize(subject, 'create', { type: 'template', organizationId: input.organizationId });
      const file = await findFileOwner(tx, input.fileId);
      if (file === undefined) throw notFound();
      // The uploader may use it; anybody who may author templates here may use an archive that stands in one (spec/07 §4.2).
      if (file.createdBy !== subject.id)
        authorize(subject, 'read', { type: 'file', id: input.fileId, ownerId: file.createdBy });
      const job = {
        id: randomUUID(),
        workflowId: importWorkflowId(id),
        tags: normalizeTags(input.tags, subject.id),
        priority: jobPriority.import,
      };
      await insertJob(tx, {
        ...job,
        organizationId: input.organizationId,
        initiatorId: subject.id,
        type: 'template_version_import',
        input: { template_version_id: id, user_variable_names: input.userVariableValues.map(({ name }) => name) },
        fileId: input.fileId,
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
      }).catch((err: unknown) => {
        throw violatedConstraint(err) === 'template_versions_template_name_idx' ? nameTaken(input.name) : err;
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
      return { jobId: job.id, workflowId: job.workflowId, tags: job.tags, priority: job.priority, kind };
    });
    await startJob(deps, facts);
    return id;
  };

const nameTaken = (name: string) =>
  new DomainError('CONFLICT', `A version named "${name}" exists already in this template`, {
    validations: [{ field: 'name', detail: 'this name is taken' }],
  });
