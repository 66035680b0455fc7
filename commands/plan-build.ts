import { randomUUID } from 'node:crypto';
import type { NewAuditRow } from '../db/queries/audit-logs.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import type { NewJob } from '../db/queries/provisioner-jobs.ts';
import type { BuildVersion, VersionPreset } from '../db/queries/template-versions.ts';
import type { LatestBuild, NewBuild } from '../db/queries/workspace-builds.ts';
import type { workspaceBuilds } from '../db/schema/workspaces.ts';
import { isAutomatic } from '../domain/build-aftermath.ts';
import { prebuildStageOf } from '../domain/claims.ts';
import { DomainError } from '../domain/errors.ts';
import { PREBUILDS_SYSTEM_USER_ID, buildWorkflowId } from '../domain/ids.ts';
import { type Transition, jobPriority, normalizeTags } from '../domain/jobs.ts';
import { type ParameterValue, resolveParameters } from '../domain/parameters.ts';
import type { TemplateParameter } from '../domain/provisioned.ts';
import type { JobFacts } from './start-job.ts';

export type BuildReason = NonNullable<(typeof workspaceBuilds.$inferInsert)['reason']>;

/** A build that is wanted of a workspace whose row is locked, or was just inserted. */
export interface WantedBuild {
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
  readonly latest:
    | Pick<
        LatestBuild,
        'id' | 'active' | 'buildNumber' | 'templateVersionId' | 'templateVersionPresetId' | 'deadline' | 'maxDeadline'
      >
    | undefined;
  readonly version: Pick<BuildVersion, 'id' | 'fileId' | 'tags' | 'workspaceTags'>;
  readonly transition: Transition;
  readonly reason: BuildReason;
  readonly initiatorId: string;
  readonly requested: readonly ParameterValue[];
  /**
   * The build repeats the latest one: the values stored with it are taken as they are, ephemeral ones too. They were judged
   * when it was requested, and the version is the same.
   */
  readonly repeat?: { readonly refreshOnly: boolean };
  /** The build hands a prebuild to its new owner. `handsOver` says whether its agent goes before Terraform (docs/adr/0020). */
  readonly claim?: {
    readonly handsOver: (values: { before: readonly ParameterValue[]; after: readonly ParameterValue[] }) => boolean;
  };
  readonly debug: boolean;
  readonly origin: AuditOrigin;
}

/** What is stored and a build's values and stage follow from. */
export interface BuildFacts {
  /** The one that was asked for; null = none. */
  readonly preset: VersionPreset | null;
  /** Of the version. */
  readonly parameters: readonly TemplateParameter[];
  /** Values of the latest build. */
  readonly previous: readonly ParameterValue[];
  /** Of the workspace's owner and template. */
  readonly names: { readonly ownerName: string; readonly templateName: string };
  /** Of a workspace that was claimed. */
  readonly claimProgress: { readonly succeeded: boolean; readonly handedOver: boolean } | null;
}

/** The rows of a build, and what starts its workflow. */
export interface PlannedBuild {
  readonly job: NewJob;
  readonly build: NewBuild;
  readonly audit: NewAuditRow;
  /** Requested parameters that the version does not know. */
  readonly ignored: readonly string[];
  readonly facts: JobFacts;
}

/** Tags of the jobs of a version's builds: which workers may run them. */
export const buildTags = (version: Pick<BuildVersion, 'tags' | 'workspaceTags'>): Record<string, string> =>
  normalizeTags({ ...version.tags, ...version.workspaceTags }, version.tags['owner'] ?? '');

export const activeBuild = () =>
  new DomainError('CONFLICT', 'A build of this workspace is already active', {
    detail: 'Wait until it has finished, or cancel it.',
  });

/** Makes the rows of a build. Throws INVALID_INPUT naming each bad parameter, CONFLICT when a build is active. */
export function planBuild(wanted: WantedBuild, facts: BuildFacts, now: Date): PlannedBuild {
  const { workspace, latest, version, transition, reason, initiatorId } = wanted;
  const { preset, previous, claimProgress } = facts;
  if (latest?.active === true) throw activeBuild();
  const isClaim = wanted.claim !== undefined;
  const refreshOnly = wanted.repeat?.refreshOnly === true;
  const stage = prebuildStageOf({
    ownerId: workspace.ownerId,
    isClaim,
    transition,
    refreshOnly,
    claim: claimProgress,
  });
  const { values, ignored } =
    wanted.repeat !== undefined
      ? { values: previous, ignored: [] }
      : resolveParameters({
          parameters: facts.parameters,
          requested: wanted.requested,
          preset: preset?.parameters ?? null,
          previous,
          transition,
          isFirstBuild: latest === undefined,
          isClaim,
          mode: latest === undefined || isClaim ? 'create' : 'build',
        });
  const jobId = randomUUID();
  const workflowId = buildWorkflowId(wanted.id);
  const priority = priorityOf(wanted);
  const tags = buildTags(version);
  const buildNumber = (latest?.buildNumber ?? 0) + 1;
  return {
    ignored,
    job: {
      id: jobId,
      organizationId: workspace.organizationId,
      initiatorId,
      type: 'workspace_build',
      input: { workspace_build_id: wanted.id, ...(wanted.debug && { log_level: 'debug' as const }) },
      fileId: version.fileId,
      tags,
      workflowId,
      priority,
    },
    build: {
      id: wanted.id,
      workspaceId: workspace.id,
      jobId,
      buildNumber,
      templateVersionId: version.id,
      transition,
      reason,
      initiatorId,
      templateVersionPresetId:
        preset?.id ?? (latest?.templateVersionId === version.id ? latest.templateVersionPresetId : null),
      prebuildStage: stage,
      // A repeated claim goes on from where the first one left the agent.
      handedOver:
        stage === 'claim' &&
        (wanted.claim === undefined
          ? claimProgress?.handedOver === true
          : wanted.claim.handsOver({ before: previous, after: values })),
      refreshOnly,
      // Looking at a workspace neither prolongs nor ends its time.
      ...(refreshOnly && { deadline: latest?.deadline ?? null, maxDeadline: latest?.maxDeadline ?? null }),
      parameters: values,
      now,
    },
    audit: {
      origin: wanted.origin,
      time: now,
      resourceType: 'workspace_build',
      resourceId: wanted.id,
      resourceTarget: workspace.name,
      action: transition,
      organizationId: workspace.organizationId,
      statusCode: 201,
      additionalFields: {
        workspace_name: workspace.name,
        workspace_owner: facts.names.ownerName,
        workspace_id: workspace.id,
        build_number: String(buildNumber),
        build_reason: reason,
        ...(refreshOnly && { refresh_only: true }),
      },
    },
    facts: {
      jobId,
      workflowId,
      tags,
      priority,
      kind: {
        type: 'workspace_build',
        buildId: wanted.id,
        buildNumber,
        transition,
        reason,
        prebuildStage: stage,
        workspaceName: workspace.name,
        ...facts.names,
      },
    },
  };
}

/** People wait for their own builds; what the clock wants comes after them, and pools last. */
function priorityOf({ initiatorId, reason }: WantedBuild): number {
  if (initiatorId === PREBUILDS_SYSTEM_USER_ID) return jobPriority.pool;
  return isAutomatic(reason) || reason === 'task_auto_pause' ? jobPriority.automatic : jobPriority.interactive;
}
