import { randomUUID } from 'node:crypto';
import { authorize, isAllowed, newWorkspaceObject, templateObject } from '../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import { matchPreset } from '../domain/parameters.ts';
import { parseAutostartSchedule } from '../domain/autostart.ts';
import type { Subject } from '../domain/subject.ts';
import { workspaceTtl } from '../domain/workspace-settings.ts';
import { type Db, transaction, violatedConstraint } from '../db/client.ts';
import { type AuditOrigin, insertAudit } from '../db/queries/audit-logs.ts';
import { findMember } from '../db/queries/members.ts';
import { findActiveVersionId, holdTemplate } from '../db/queries/templates.ts';
import {
  type BuildVersion,
  findVersionForBuild,
  listParameters,
  listPresets,
} from '../db/queries/template-versions.ts';
import { insertWorkspace } from '../db/queries/workspaces.ts';
import type { CommandDeps } from './deps.ts';
import { type IdempotentRequest, once, rememberResult } from './idempotency.ts';
import { insertPendingBuild } from './insert-pending-build.ts';
import { type JobFacts, startJob } from './start-job.ts';

export interface CreateWorkspace {
  readonly ownerId: string;
  readonly name: string;
  readonly templateId?: string | undefined;
  readonly templateVersionId?: string | undefined;
  readonly autostartSchedule?: string | undefined;
  readonly ttlMs?: number | undefined;
  readonly automaticUpdates: 'always' | 'never';
  readonly richParameterValues: readonly { readonly name: string; readonly value: string }[];
  readonly presetId?: string | undefined;
  readonly origin: AuditOrigin;
  readonly idempotency?: IdempotentRequest | undefined;
}

type UsableVersion = BuildVersion & { template: NonNullable<BuildVersion['template']> };

/**
 * Creates a workspace with its first start build, in one transaction: there never is a workspace without a build. Returns the
 * workspace's id. Source: spec/06 §8.1.
 */
export const createCreateWorkspace = (deps: CommandDeps) =>
  async function createWorkspace(subject: Subject, input: CreateWorkspace): Promise<string> {
    let facts: JobFacts | undefined;
    const count = (status: 'success' | 'failed') =>
      deps.metrics.buildEnqueued({
        provisionerType: 'terraform',
        buildReason: 'initiator',
        transition: 'start',
        status,
      });
    const work = async () => {
      const created = await transaction(deps.db, async (tx) => {
        const workspace = await insertWithBuild(tx, deps, subject, input);
        await rememberResult(tx, input.idempotency, { resourceId: workspace.id, statusCode: 201 });
        return workspace;
      });
      facts = created.facts;
      return created.id;
    };
    try {
      const id = await once(deps.db, input.idempotency, work);
      if (facts !== undefined) {
        count('success');
        await startJob(deps, facts);
      }
      return id;
    } catch (err) {
      if (!(err instanceof DomainError && err.code === 'CONFLICT')) count('failed');
      throw err;
    }
  };

async function insertWithBuild(tx: Db, deps: CommandDeps, subject: Subject, input: CreateWorkspace) {
  const version = await usableVersion(tx, subject, input);
  const { template } = version;
  const now = deps.now();
  // A workspace whose owner stands outside its organization could be used by nobody.
  if ((await findMember(tx, template.organizationId, input.ownerId)) === undefined)
    throw new DomainError('INVALID_INPUT', 'The user is not a member of the organization of the template');
  if (input.autostartSchedule !== undefined && input.autostartSchedule !== '') {
    if (!template.allowUserAutostart) throw invalidField('schedule', 'the template does not allow autostart');
    parseAutostartSchedule(input.autostartSchedule);
  }
  const id = randomUUID();
  const workspace = {
    id,
    name: input.name,
    ownerId: input.ownerId,
    organizationId: template.organizationId,
    templateId: template.id,
    autostartSchedule: input.autostartSchedule === '' ? null : (input.autostartSchedule ?? null),
    ttlMs: workspaceTtl(input.ttlMs ?? null, template),
    automaticUpdates: input.automaticUpdates,
  };
  await insertWorkspace(tx, { ...workspace, now }).catch((err: unknown) => {
    throw violatedConstraint(err) === 'workspaces_owner_name_idx' ? nameTaken(input.name) : err;
  });
  await insertAudit(tx, {
    origin: input.origin,
    time: now,
    resourceType: 'workspace',
    resourceId: id,
    resourceTarget: input.name,
    action: 'create',
    organizationId: template.organizationId,
    statusCode: 201,
  });
  const presetId = input.presetId ?? (await matchingPreset(tx, version.id, input));
  const facts = await insertPendingBuild(tx, deps, subject, {
    id: randomUUID(),
    workspace,
    latest: undefined,
    version,
    transition: 'start',
    reason: 'initiator',
    requested: input.richParameterValues,
    presetId,
    debug: false,
    origin: input.origin,
  });
  return { id, facts };
}

const nameTaken = (name: string) =>
  new DomainError('CONFLICT', `A workspace named "${name}" exists already`, {
    validations: [{ field: 'name', detail: 'this name is taken' }],
  });

/** The version to build, after every check of spec/06 §8.1 that concerns template and version. */
async function usableVersion(tx: Db, subject: Subject, input: CreateWorkspace): Promise<UsableVersion> {
  if (input.templateId !== undefined && input.templateVersionId !== undefined)
    throw invalidField('template_version_id', 'give either template_id or template_version_id');
  if (input.templateId === undefined && input.templateVersionId === undefined)
    throw invalidField('template_id', 'template_id or template_version_id is required');
  const versionId = input.templateVersionId ?? (await findActiveVersionId(tx, input.templateId!));
  const version = versionId === undefined ? undefined : await findVersionForBuild(tx, versionId);
  const template = version?.template;
  if (version === undefined || template === undefined || template === null) throw notFound();
  authorize(subject, 'read', templateObject(template));
  if (template.deleted || !(await holdTemplate(tx, template.id))) throw notFound();
  authorize(subject, 'use', templateObject(template));
  authorize(subject, 'create', newWorkspaceObject(template.organizationId, input.ownerId));
  if (version.archived) throw invalidField('template_version_id', 'the version is archived');
  if (template.deprecated !== '')
    throw new DomainError('INVALID_INPUT', 'The template is deprecated', { detail: template.deprecated });
  if (version.jobStatus !== 'succeeded')
    throw invalidField('template_version_id', `the import of the version has status ${version.jobStatus}`);
  if (template.requireActiveVersion && version.id !== template.activeVersionId)
    if (!isAllowed(subject, 'update', templateObject(template)))
      throw new DomainError('FORBIDDEN', 'The template requires its active version');
  return { ...version, template };
}

async function matchingPreset(tx: Db, versionId: string, input: CreateWorkspace): Promise<string | null> {
  const presets = await listPresets(tx, versionId);
  if (presets.length === 0) return null;
  return matchPreset(presets, await listParameters(tx, versionId), input.richParameterValues)?.id ?? null;
}
