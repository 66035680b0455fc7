import { randomUUID } from 'node:crypto';
import { authorize, isAllowed, newWorkspaceObject, templateObject } from '../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import { matchPreset } from '../domain/parameters.ts';
import { nextStartAt } from '../domain/autostart.ts';
import type { TemplateParameter } from '../domain/provisioned.ts';
import type { Subject } from '../domain/subject.ts';
import { checkAutostart, workspaceTtl } from '../domain/workspace-settings.ts';
import { type Db, pipelined, planOnce, transaction, violatedConstraint } from '../db/client.ts';
import { type AuditOrigin, insertAudit } from '../db/queries/audit-logs.ts';
import { findMember } from '../db/queries/members.ts';
import { holdTemplate } from '../db/queries/templates.ts';
import {
  type BuildVersion,
  type VersionPreset,
  findActiveVersionForBuild,
  findVersionForBuild,
  listParameters,
  listPresets,
} from '../db/queries/template-versions.ts';
import { insertWorkspace } from '../db/queries/workspaces.ts';
import { type ClaimDeps, claimPrebuild } from './claim-prebuild.ts';
import type { CommandDeps } from './deps.ts';
import { type IdempotentRequest, once, rememberResult } from './idempotency.ts';
import { insertPendingBuild } from './insert-pending-build.ts';
import { createBackgroundStarts, startJob } from './start-job.ts';

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
 * Creates a workspace with its first start build, in one transaction: there never is a workspace without a build. Returns what
 * `answer` reads of it, in the same transaction when it was made now. Source: spec/06 §8.1.
 */
export const createCreateWorkspace = (deps: CommandDeps & ClaimDeps) => {
  const startSoon = createBackgroundStarts(deps);
  return async function createWorkspace<Answer>(
    subject: Subject,
    input: CreateWorkspace,
    answer: (db: Db, workspaceId: string) => Promise<Answer>,
  ): Promise<Answer> {
    let made: (Awaited<ReturnType<typeof insertWithBuild>> & { answer: Answer }) | undefined;
    const count = (status: 'success' | 'failed') =>
      deps.metrics.buildEnqueued({
        provisionerType: 'terraform',
        buildReason: 'initiator',
        transition: 'start',
        status,
      });
    const work = async () => {
      const created = await transaction(deps.db, async (tx) => {
        const [, workspace] = await pipelined([planOnce(tx), insertWithBuild(tx, deps, subject, input)]).catch(
          (err: unknown) => {
            throw violatedConstraint(err) === 'workspaces_owner_name_idx' ? nameTaken(input.name) : err;
          },
        );
        await rememberResult(tx, input.idempotency, { resourceId: workspace.id, statusCode: 201 });
        return { ...workspace, answer: await answer(tx, workspace.id) };
      });
      made = created;
      return created.id;
    };
    try {
      const id = await once(deps.db, input.idempotency, work);
      if (made === undefined) return await answer(deps.db, id);
      count('success');
      // Who claims waits for nothing: the pending row is safe, and this never rejects.
      if (made.claimed) void startSoon(made.facts);
      else await startJob(deps, made.facts);
      return made.answer;
    } catch (err) {
      if (!(err instanceof DomainError && err.code === 'CONFLICT')) count('failed');
      throw err;
    }
  };
};

async function insertWithBuild(tx: Db, deps: CommandDeps & ClaimDeps, subject: Subject, input: CreateWorkspace) {
  const version = await usableVersion(tx, subject, input);
  const { template } = version;
  const now = deps.now();
  const [member, presets, parameters] = await pipelined([
    findMember(tx, template.organizationId, input.ownerId),
    listPresets(tx, version.id),
    listParameters(tx, version.id),
  ]);
  // A workspace whose owner stands outside its organization could be used by nobody.
  if (member === undefined)
    throw new DomainError('INVALID_INPUT', 'The user is not a member of the organization of the template');
  let autostartSchedule: string | null = null;
  if (input.autostartSchedule !== undefined && input.autostartSchedule !== '') {
    if (!template.allowUserAutostart) throw invalidField('schedule', 'the template does not allow autostart');
    autostartSchedule = checkAutostart(input.autostartSchedule);
  }
  const settings = {
    ownerId: input.ownerId,
    name: input.name,
    autostartSchedule,
    nextStartAt: nextStartAt(
      { ...template, autostartSchedule, ownerId: input.ownerId, dormantAt: null, deleted: false },
      now,
    ),
    ttlMs: workspaceTtl(input.ttlMs ?? null, template),
    automaticUpdates: input.automaticUpdates,
  };
  const preset = choosePreset(presets, parameters, input);
  if (preset !== undefined && preset.desiredInstances !== null) {
    const { richParameterValues: requested, origin } = input;
    const claim = await claimPrebuild(tx, deps, subject, {
      ...settings,
      version,
      preset,
      parameters,
      requested,
      owner: member,
      origin,
    });
    if (claim.kind === 'claimed') {
      if (claim.handedOver) deps.metrics.claimedInstantly();
      return { ...claim, claimed: true };
    }
    deps.metrics.claimMissed(claim.why);
    deps.logger.warn(
      { preset: preset.name, template: template.name, why: claim.why },
      'no prebuild to claim, one is built',
    );
  }
  const id = randomUUID();
  const workspace = { ...settings, id, organizationId: template.organizationId, templateId: template.id };
  await pipelined([
    insertWorkspace(tx, { ...workspace, now }),
    insertAudit(tx, {
      origin: input.origin,
      time: now,
      resourceType: 'workspace',
      resourceId: id,
      resourceTarget: input.name,
      action: 'create',
      organizationId: template.organizationId,
      statusCode: 201,
    }),
  ]);
  const facts = await insertPendingBuild(tx, deps, subject, {
    id: randomUUID(),
    workspace: { ...workspace, claimedAt: null },
    latest: undefined,
    version,
    transition: 'start',
    reason: 'initiator',
    requested: input.richParameterValues,
    presetId: preset?.id ?? null,
    known: {
      preset: preset ?? null,
      parameters,
      names: { ownerName: member.username, templateName: template.name },
    },
    debug: false,
    origin: input.origin,
  });
  return { id, facts, claimed: false };
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
  const { version, held } = await holdVersion(tx, input);
  const template = version?.template;
  if (version === undefined || template === undefined || template === null) throw notFound();
  authorize(subject, 'read', templateObject(template));
  if (template.deleted || !held) throw notFound();
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

/** The version that was asked for, with its template held until the transaction ends. */
async function holdVersion(
  tx: Db,
  { templateId, templateVersionId }: CreateWorkspace,
): Promise<{ version: BuildVersion | undefined; held: boolean }> {
  if (templateVersionId === undefined) {
    const [held, version] = await pipelined([
      holdTemplate(tx, templateId!),
      findActiveVersionForBuild(tx, templateId!),
    ]);
    return { version, held };
  }
  const version = await findVersionForBuild(tx, templateVersionId);
  const held = version?.template != null && (await holdTemplate(tx, version.template.id));
  return { version, held };
}

/** The preset that was asked for, else the one that fits the values best. Source: spec/03 §11.1. */
function choosePreset(
  presets: readonly VersionPreset[],
  parameters: readonly TemplateParameter[],
  input: CreateWorkspace,
): VersionPreset | undefined {
  if (input.presetId === undefined) return matchPreset(presets, parameters, input.richParameterValues) ?? undefined;
  const preset = presets.find(({ id }) => id === input.presetId);
  if (preset === undefined)
    throw new DomainError('INVALID_INPUT', 'The preset does not belong to the template version', {
      validations: [{ field: 'template_version_preset_id', detail: 'not a preset of this template version' }],
    });
  return preset;
}
