import { randomUUID } from 'node:crypto';
import { PREBUILDS_SYSTEM_USER_ID, buildWorkflowId } from '../domain/ids.ts';
import { type Transition, jobPriority, normalizeTags } from '../domain/jobs.ts';
import { prebuildStageOf } from '../domain/claims.ts';
import { type ParameterValue, resolveParameters } from '../domain/parameters.ts';
import type { TemplateParameter } from '../domain/provisioned.ts';
import { DomainError } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import { type Db, pipelined, violatedConstraint } from '../db/client.ts';
import { jobsChannel, notify, workspacesChannel } from '../db/notifications.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { insertJobNote } from '../db/queries/job-logs.ts';
import { insertJob } from '../db/queries/provisioner-jobs.ts';
import { type BuildVersion, type VersionPreset, listParameters, listPresets } from '../db/queries/template-versions.ts';
import { insertStateVersion } from '../db/queries/state-versions.ts';
import {
  type LatestBuild,
  findClaimProgress,
  insertBuild,
  listBuildParameters,
} from '../db/queries/workspace-builds.ts';
import { getWorkspaceNames } from '../db/queries/workspaces.ts';
import { type PlainState, packState } from '../db/state-contents.ts';
import type { workspaceBuilds } from '../db/schema/workspaces.ts';
import type { CommandDeps } from './deps.ts';
import { authorOf } from './operator-state.ts';
import type { JobFacts } from './start-job.ts';

export type BuildReason = NonNullable<(typeof workspaceBuilds.$inferInsert)['reason']>;
const humanReasons: readonly BuildReason[] = [
  'initiator',
  'dashboard',
  'cli',
  'ssh_connection',
  'vscode_connection',
  'jetbrains_connection',
  'task_manual_pause',
  'task_resume',
];

/** A state that an operator gives with a build: an uploaded one, or the empty one of an orphan delete. */
export interface GivenState extends PlainState {
  readonly source: 'upload' | 'orphan';
}

export interface PendingBuild {
  readonly id: string;
  readonly workspace: {
    readonly id: string;
    readonly name: string;
    readonly organizationId: string;
    readonly ownerId: string;
    /** When it was taken from a pool; null = never. */
    readonly claimedAt: Date | null;
  };
  /** Read after the row was locked; undefined for a new workspace. */
  readonly latest: LatestBuild | undefined;
  readonly version: BuildVersion;
  readonly transition: Transition;
  readonly reason: BuildReason;
  readonly requested: readonly { readonly name: string; readonly value: string }[];
  readonly presetId: string | null;
  /** State to start from instead of the newest one; empty = forget everything (orphan). */
  readonly state?: GivenState;
  /**
   * The build repeats the latest one: the values stored with it are taken as they are, ephemeral ones too. They were judged
   * when it was requested, and the version is the same.
   */
  readonly repeat?: { readonly refreshOnly: boolean };
  /** The build hands a prebuild to its new owner. `handsOver` says whether its agent goes before Terraform (docs/adr/0020). */
  readonly claim?: {
    readonly handsOver: (values: { before: readonly ParameterValue[]; after: readonly ParameterValue[] }) => boolean;
  };
  /** What the caller has read already in this transaction; the rest is read here. */
  readonly known?: Partial<BuildFacts>;
  readonly debug: boolean;
  readonly origin: AuditOrigin;
}

export interface BuildFacts {
  /** Of `presetId`; null = none. */
  readonly preset: VersionPreset | null;
  /** Of the version. */
  readonly parameters: readonly TemplateParameter[];
  /** Values of the latest build. */
  readonly previous: readonly ParameterValue[];
  /** Of the workspace's owner and template. */
  readonly names: Awaited<ReturnType<typeof getWorkspaceNames>>;
}

/**
 * Inserts job, build and parameters of a workspace whose row the caller has locked or just inserted, as one `pending`
 * outbox entry. The only way builds come to be. Throws INVALID_INPUT naming each bad parameter, CONFLICT when a build is
 * active. Returns what starts the workflow after commit.
 */
export async function insertPendingBuild(
  tx: Db,
  deps: Pick<CommandDeps, 'cipher' | 'now'>,
  subject: Subject,
  build: PendingBuild,
): Promise<JobFacts> {
  const { workspace, latest, version, transition, reason, known = {} } = build;
  const now = deps.now();
  if (latest?.active === true) throw activeBuild();
  const [previous, preset, parameters, names, claim] = await pipelined([
    known.previous ?? (latest === undefined ? [] : listBuildParameters(tx, latest.id)),
    known.preset === undefined ? presetOf(tx, build) : known.preset,
    known.parameters ?? (build.repeat === undefined ? listParameters(tx, version.id) : []),
    known.names ?? getWorkspaceNames(tx, workspace.id),
    workspace.claimedAt === null || build.claim !== undefined ? undefined : findClaimProgress(tx, workspace.id),
  ]);
  const refreshOnly = build.repeat?.refreshOnly === true;
  const stage = prebuildStageOf({
    ownerId: workspace.ownerId,
    isClaim: build.claim !== undefined,
    transition,
    refreshOnly,
    claim: claim ?? null,
  });
  const { values, ignored } =
    build.repeat !== undefined
      ? { values: previous, ignored: [] }
      : resolveParameters({
          parameters,
          requested: build.requested,
          preset: preset?.parameters ?? null,
          previous,
          transition,
          isFirstBuild: latest === undefined,
          isClaim: build.claim !== undefined,
          mode: latest === undefined || build.claim !== undefined ? 'create' : 'build',
        });
  const jobId = randomUUID();
  const human = humanReasons.includes(reason) && subject.id !== PREBUILDS_SYSTEM_USER_ID;
  const priority = human
    ? jobPriority.interactive
    : subject.id === PREBUILDS_SYSTEM_USER_ID
      ? jobPriority.pool
      : jobPriority.automatic;
  const tags = normalizeTags({ ...version.tags, ...version.workspaceTags }, version.tags.owner ?? '');
  const workflowId = buildWorkflowId(build.id);
  const buildNumber = (latest?.buildNumber ?? 0) + 1;
  const content = build.state === undefined ? undefined : await packState(build.state);
  const note =
    ignored.length > 0 &&
    `The template version has no parameters of these names, they are left out: ${ignored.join(', ')}`;
  await pipelined([
    insertJob(tx, {
      id: jobId,
      organizationId: workspace.organizationId,
      initiatorId: subject.id,
      type: 'workspace_build',
      input: { workspace_build_id: build.id, ...(build.debug && { log_level: 'debug' as const }) },
      fileId: version.fileId,
      tags,
      workflowId,
      priority,
    }),
    insertBuild(tx, {
      id: build.id,
      workspaceId: workspace.id,
      jobId,
      buildNumber,
      templateVersionId: version.id,
      transition,
      reason,
      initiatorId: subject.id,
      templateVersionPresetId:
        preset?.id ?? (latest?.templateVersionId === version.id ? latest.templateVersionPresetId : null),
      prebuildStage: stage,
      // A repeated claim goes on from where the first one left the agent.
      handedOver:
        stage === 'claim' &&
        (build.claim === undefined
          ? claim?.handedOver === true
          : build.claim.handsOver({ before: previous, after: values })),
      refreshOnly,
      // Looking at a workspace neither prolongs nor ends its time.
      ...(refreshOnly && { deadline: latest?.deadline ?? null, maxDeadline: latest?.maxDeadline ?? null }),
      parameters: values,
      now,
    }).catch((err: unknown) => {
      throw violatedConstraint(err) === 'workspace_builds_active_idx' ? activeBuild() : err;
    }),
    note !== false && insertJobNote(tx, { jobId, level: 'info', output: note }),
    build.state !== undefined &&
      content !== undefined &&
      insertStateVersion(tx, deps.cipher, {
        workspaceId: workspace.id,
        buildId: build.id,
        source: build.state.source,
        createdBy: authorOf(subject),
        content,
      }),
    insertAudit(tx, {
      origin: build.origin,
      time: now,
      resourceType: 'workspace_build',
      resourceId: build.id,
      resourceTarget: workspace.name,
      action: transition,
      organizationId: workspace.organizationId,
      statusCode: 201,
      additionalFields: {
        workspace_name: workspace.name,
        workspace_owner: names.ownerName,
        workspace_id: workspace.id,
        build_number: String(buildNumber),
        build_reason: reason,
        ...(refreshOnly && { refresh_only: true }),
      },
    }),
    notify(tx, workspacesChannel, workspace.id),
    notify(tx, jobsChannel, jobId),
  ]);
  const kind = {
    type: 'workspace_build' as const,
    buildId: build.id,
    buildNumber,
    transition,
    reason,
    prebuildStage: stage,
    workspaceName: workspace.name,
    ...names,
  };
  return { jobId, workflowId, tags, priority, kind };
}

async function presetOf(tx: Db, build: PendingBuild): Promise<VersionPreset | null> {
  if (build.presetId === null) return null;
  const preset = (await listPresets(tx, build.version.id)).find(({ id }) => id === build.presetId);
  if (preset === undefined)
    throw new DomainError('INVALID_INPUT', 'The preset does not belong to the template version', {
      validations: [{ field: 'template_version_preset_id', detail: 'not a preset of this template version' }],
    });
  return preset;
}

const activeBuild = () =>
  new DomainError('CONFLICT', 'A build of this workspace is already active', {
    detail: 'Wait until it has finished, or cancel it.',
  });
