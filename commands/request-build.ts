import { randomUUID } from 'node:crypto';
import { authorize, authorizeWorkspace, isAllowed, templateObject } from '../domain/authorization.ts';
import { type Repetition, repeatObstacle } from '../domain/build-repairs.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import type { Transition } from '../domain/jobs.ts';
import type { Subject } from '../domain/subject.ts';
import { type Db, transaction } from '../db/client.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { type BuildVersion, findVersionForBuild } from '../db/queries/template-versions.ts';
import { type BuildView, findBuildViewById } from '../db/queries/build-views.ts';
import { matchProvisioners } from '../db/queries/provisioner-daemons.ts';
import { findLatestBuild } from '../db/queries/workspace-builds.ts';
import { type WorkspaceRow, lockWorkspace } from '../db/queries/workspaces.ts';
import type { CommandDeps } from './deps.ts';
import { forgetWorkspace } from './forget-workspace.ts';
import { type IdempotentRequest, once, rememberResult } from './idempotency.ts';
import { type BuildReason, type GivenState, insertPendingBuild } from './insert-pending-build.ts';
import { readOperatorState } from './operator-state.ts';
import { type JobFacts, startJob } from './start-job.ts';
import { taskQueueOf } from './task-queue.ts';

export interface RequestBuild {
  readonly workspaceId: string;
  readonly transition: Transition;
  readonly templateVersionId?: string | undefined;
  readonly richParameterValues: readonly { readonly name: string; readonly value: string }[];
  readonly presetId?: string | undefined;
  readonly orphan: boolean;
  readonly state?: Buffer | undefined;
  readonly debug: boolean;
  readonly reason: BuildReason;
  readonly dryRun: boolean;
  /** Repeats this build, its version and values as they were; refused when it is not the latest any more. */
  readonly repeat?: { readonly buildId: string; readonly as: Repetition } | undefined;
  readonly origin: AuditOrigin;
  readonly idempotency?: IdempotentRequest | undefined;
}

/** Rolls the transaction of a dry run back while carrying its result out. */
class DryRun extends Error {
  readonly view: BuildView;
  constructor(view: BuildView) {
    super('dry run');
    this.view = view;
  }
}

/**
 * Requests a build: all checks and the `pending` row in one transaction, then the workflow. Users, autostart and the prebuild
 * reconciler all go through here. Returns the build's id, or, for a dry run, the build as it would be. Source: spec/06 §9.1.
 */
export const createRequestBuild = (deps: CommandDeps) =>
  async function requestBuild(subject: Subject, input: RequestBuild): Promise<string | { dryRun: BuildView }> {
    const count = (status: 'success' | 'failed') =>
      deps.metrics.buildEnqueued({
        provisionerType: 'terraform',
        buildReason: subject.id === PREBUILDS_SYSTEM_USER_ID ? 'prebuild' : input.reason,
        transition: input.transition,
        status,
      });
    let facts: JobFacts | undefined;
    let made = false;
    const work = async () => {
      const prepared = await transaction(deps.db, async (tx) => {
        const build = await prepare(tx, deps, subject, input);
        if (input.dryRun) throw new DryRun((await findBuildViewById(tx, build.id))!);
        await rememberResult(tx, input.idempotency, { resourceId: build.id, statusCode: 201 });
        return build;
      });
      made = true;
      facts = prepared.facts;
      return prepared.id;
    };
    try {
      const id = await once(deps.db, input.idempotency, work);
      if (made) count('success');
      if (facts !== undefined) await startJob(deps, facts);
      return id;
    } catch (err) {
      // Losing a race against another build is not an attempt (spec/08 §1.2).
      if (err instanceof DryRun) return { dryRun: err.view };
      if (!(err instanceof DomainError && err.code === 'CONFLICT')) count('failed');
      throw err;
    }
  };

async function prepare(tx: Db, deps: CommandDeps, subject: Subject, input: RequestBuild) {
  const workspace = await lockWorkspace(tx, input.workspaceId);
  if (workspace === undefined) throw notFound();
  authorizeWorkspace(subject, 'read', workspace);
  if (workspace.deleted) throw new DomainError('GONE', 'The workspace is deleted');
  authorizeTransition(subject, workspace, input.transition);
  const latest = await findLatestBuild(tx, workspace.id);
  if (input.repeat !== undefined) assertRepeatable(latest, input.repeat);
  if (latest?.active === true)
    throw new DomainError('CONFLICT', 'A build of this workspace is already active', {
      detail: 'Wait until it has finished, or cancel it.',
    });
  if (input.transition === 'start' && connectionReasons.includes(input.reason) && latest?.transition === 'start')
    throw new DomainError('CONFLICT', 'The workspace is started already');
  const version = await versionFor(tx, subject, { workspace, latest, input });
  const state = startingState(subject, version, input);
  const id = randomUUID();
  const facts = await insertPendingBuild(tx, deps, subject, {
    id,
    workspace,
    latest,
    version,
    transition: input.transition,
    reason: input.reason,
    requested: input.richParameterValues,
    presetId: input.presetId ?? null,
    ...(input.repeat !== undefined && {
      repeat: { refreshOnly: input.repeat.as === 'refresh' || latest!.refreshOnly },
    }),
    ...(state !== undefined && { state }),
    debug: input.debug,
    origin: input.origin,
  });
  const forgotten = input.orphan && (await forgetNow(tx, { buildId: id, ...facts }));
  return { id, facts: forgotten ? undefined : facts };
}

/** Throws CONFLICT saying why. */
function assertRepeatable(
  latest: Awaited<ReturnType<typeof findLatestBuild>>,
  repeat: NonNullable<RequestBuild['repeat']>,
): void {
  if (latest === undefined) throw notFound();
  const obstacle =
    latest.id === repeat.buildId
      ? repeatObstacle(repeat.as, latest)
      : {
          message: `There is a later build, number ${latest.buildNumber}`,
          detail: 'Only the latest build of a workspace can be repeated.',
        };
  if (obstacle !== null) throw new DomainError('CONFLICT', obstacle.message, { detail: obstacle.detail });
}

/**
 * An orphan delete needs no Terraform: without a live worker it is over at once, so that a workspace whose workers are gone
 * can still be removed. True when it was done. Source: spec/02 §3.6.
 */
async function forgetNow(tx: Db, job: JobFacts & { buildId: string }): Promise<boolean> {
  if ((await matchProvisioners(tx, taskQueueOf(job.tags))).available > 0) return false;
  const why = 'No provisioner is online: the workspace was deleted at once, its resources are left as they are.';
  await forgetWorkspace(tx, { jobId: job.jobId, buildId: job.buildId, level: 'warn', why });
  return true;
}

const connectionReasons: readonly BuildReason[] = ['ssh_connection', 'vscode_connection', 'jetbrains_connection'];

function authorizeTransition(subject: Subject, workspace: WorkspaceRow, transition: Transition): void {
  if (transition === 'start' && workspace.dormantAt !== null) {
    // Who may start it when it is awake learns why it does not start; others learn nothing more.
    authorizeWorkspace(subject, 'start', { ...workspace, dormantAt: null });
    throw new DomainError('CONFLICT', 'The workspace is dormant: wake it before starting it');
  }
  authorizeWorkspace(subject, transition, workspace);
}

/** Version of the build and whether the subject may use it (spec/06 §9.1 `template_version_id`). */
async function versionFor(
  tx: Db,
  subject: Subject,
  context: { workspace: WorkspaceRow; latest: Awaited<ReturnType<typeof findLatestBuild>>; input: RequestBuild },
): Promise<BuildVersion & { template: NonNullable<BuildVersion['template']> }> {
  const { workspace, latest, input } = context;
  const last = latest === undefined ? undefined : await findVersionForBuild(tx, latest.templateVersionId);
  const template = last?.template;
  if (last === undefined || template === undefined || template === null)
    throw new DomainError('INVALID_INPUT', 'The template of this workspace is gone');
  const starts = input.transition === 'start';
  const active =
    starts && input.repeat === undefined && (workspace.automaticUpdates === 'always' || template.requireActiveVersion);
  const wanted = input.templateVersionId ?? (active ? template.activeVersionId : last.id);
  const version = wanted === last.id ? last : await findVersionForBuild(tx, wanted);
  if (version === undefined || version.template === null || version.templateId !== workspace.templateId)
    throw invalidField('template_version_id', 'the version does not belong to the template of this workspace');
  if (starts && template.deleted)
    throw new DomainError('INVALID_INPUT', 'The template is deleted: the workspace can only be stopped or deleted');
  if (input.templateVersionId !== undefined) {
    if (version.archived && starts) throw invalidField('template_version_id', 'the version is archived');
    if (version.jobStatus !== 'succeeded')
      throw invalidField('template_version_id', `the import of the version has status ${version.jobStatus}`);
  }
  if (starts && template.requireActiveVersion && version.id !== template.activeVersionId)
    if (!isAllowed(subject, 'update', templateObject(template)))
      throw new DomainError('FORBIDDEN', 'The template requires its active version');
  return { ...version, template: version.template };
}

/** Orphan and explicit state: who may, and what the build starts from. */
function startingState(
  subject: Subject,
  version: { template: NonNullable<BuildVersion['template']> },
  input: RequestBuild,
): GivenState | undefined {
  if (input.orphan && input.transition !== 'delete') throw invalidField('orphan', 'only a delete can forget resources');
  if (input.orphan && input.state !== undefined) throw invalidField('orphan', 'cannot be combined with a state');
  if (input.orphan || input.state !== undefined || input.debug)
    authorize(subject, 'update', templateObject(version.template));
  if (input.orphan) return { ...readOperatorState(Buffer.alloc(0)), source: 'orphan' };
  return input.state === undefined ? undefined : { ...readOperatorState(input.state), source: 'upload' };
}
