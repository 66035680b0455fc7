import { z } from '@hono/zod-openapi';
import type { Db } from '../../db/client.ts';
import type { BuildView } from '../../db/queries/build-views.ts';
import { type QueuePosition, listQueuePositions } from '../../db/queries/job-views.ts';
import { type ResourceTree, listResourceTrees } from '../../db/queries/workspace-resources.ts';
import { isActiveJob, workspaceStatus } from '../../domain/jobs.ts';
import { timestamp, toWireTimeOrNull } from '../schemas.ts';
import { ProvisionerJob, jobView } from './provisioner-job.ts';
import { type ResourceViewOptions, WorkspaceResource, byAgentOrder, resourceView } from './workspace-resource.ts';

export const WorkspaceBuildStatus = z.enum([
  'pending',
  'starting',
  'running',
  'stopping',
  'stopped',
  'failed',
  'canceling',
  'canceled',
  'deleting',
  'deleted',
]);

export const WorkspaceBuild = z
  .object({
    id: z.string(),
    created_at: timestamp(),
    updated_at: timestamp(),
    workspace_id: z.string(),
    workspace_name: z.string(),
    workspace_owner_id: z.string(),
    workspace_owner_name: z.string(),
    workspace_owner_avatar_url: z.string(),
    template_version_id: z.string(),
    template_version_name: z.string(),
    build_number: z.number().int(),
    transition: z.enum(['start', 'stop', 'delete']),
    initiator_id: z.string(),
    initiator_name: z.string(),
    job: ProvisionerJob,
    reason: z.string(),
    resources: z.array(WorkspaceResource),
    deadline: timestamp().nullable(),
    max_deadline: timestamp().nullable(),
    status: WorkspaceBuildStatus,
    daily_cost: z.number().int(),
    matched_provisioners: z
      .object({ count: z.number().int(), available: z.number().int(), most_recently_seen: timestamp().optional() })
      .optional(),
    template_version_preset_id: z.string().nullable(),
    has_ai_task: z.boolean().optional(),
    has_external_agent: z.boolean().optional(),
    possible_orphans: z.array(z.string()).openapi({
      description: 'Addresses that a lost run may have made without recording them: look where they run',
    }),
    refresh_only: z
      .literal(true)
      .optional()
      .openapi({ description: 'Reads the world into the state, changes nothing' }),
  })
  .openapi('WorkspaceBuild');
export type WorkspaceBuildBody = z.infer<typeof WorkspaceBuild>;

export interface BuildParts {
  readonly resources: ReadonlyMap<string, ResourceTree[]>;
  readonly queue: ReadonlyMap<string, QueuePosition>;
}

/**
 * Resources and queue positions of many builds: a constant number of statements. Resources come with the end of a job, but those
 * of a claim that was handed over are there at once.
 */
export async function loadBuildParts(db: Db, builds: readonly BuildView[]): Promise<BuildParts> {
  const pending = builds.filter((build) => build.job.status === 'pending').map((build) => build.job.id);
  const [trees, queue] = await Promise.all([
    listResourceTrees(
      db,
      builds.filter((build) => build.handedOver || !isActiveJob(build.job.status)).map((build) => build.job.id),
    ),
    listQueuePositions(db, pending),
  ]);
  const resources = new Map<string, ResourceTree[]>();
  for (const tree of trees) resources.set(tree.jobId, [...(resources.get(tree.jobId) ?? []), tree]);
  return { resources, queue };
}

/** A build as clients see it. State is never part of it. Source: spec/06 §9. */
export function buildView(build: BuildView, parts: BuildParts, options: ResourceViewOptions): WorkspaceBuildBody {
  const metadata = {
    template_version_name: build.templateVersionName,
    template_id: build.templateId,
    template_name: build.templateName,
    template_display_name: build.templateDisplayName,
    template_icon: build.templateIcon,
    workspace_id: build.workspaceId,
    workspace_name: build.workspaceName,
    workspace_build_transition: build.transition,
  };
  return {
    id: build.id,
    created_at: build.createdAt.toISOString(),
    updated_at: build.updatedAt.toISOString(),
    workspace_id: build.workspaceId,
    workspace_name: build.workspaceName,
    workspace_owner_id: build.ownerId,
    workspace_owner_name: build.ownerName,
    workspace_owner_avatar_url: build.ownerAvatarUrl,
    template_version_id: build.templateVersionId,
    template_version_name: build.templateVersionName,
    build_number: build.buildNumber,
    transition: build.transition,
    initiator_id: build.initiatorId,
    initiator_name: build.initiatorName,
    job: jobView(build.job, parts.queue.get(build.job.id), metadata),
    reason: build.reason,
    resources: (parts.resources.get(build.job.id) ?? [])
      .toSorted(byAgentOrder)
      .map((tree) => resourceView(tree, options)),
    deadline: toWireTimeOrNull(build.deadline),
    max_deadline: toWireTimeOrNull(build.maxDeadline),
    status: workspaceStatus(build.job.status, build.transition),
    daily_cost: build.dailyCost,
    template_version_preset_id: build.presetId,
    ...(build.hasAiTask !== null && { has_ai_task: build.hasAiTask }),
    ...(build.hasExternalAgent !== null && { has_external_agent: build.hasExternalAgent }),
    possible_orphans: build.possibleOrphans,
    ...(build.refreshOnly && { refresh_only: true as const }),
  };
}
