import { z } from '@hono/zod-openapi';
import type { Db } from '../../db/client.ts';
import { type AppStatusRow, latestAppStatuses } from '../../db/queries/app-statuses.ts';
import type { WorkspaceView } from '../../db/queries/workspace-views.ts';
import { isWorkspaceAllowed } from '../../domain/authorization.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { Subject } from '../../domain/subject.ts';
import { timestamp, toWireTime, toWireTimeOrNull } from '../schemas.ts';
import { WorkspaceAppStatus, appStatusView } from './workspace-app.ts';
import { type BuildParts, WorkspaceBuild, buildView, loadBuildParts } from './workspace-build.ts';

export const Workspace = z
  .object({
    id: z.string(),
    created_at: timestamp(),
    updated_at: timestamp(),
    owner_id: z.string(),
    owner_name: z.string(),
    owner_avatar_url: z.string(),
    organization_id: z.string(),
    organization_name: z.string(),
    template_id: z.string(),
    template_name: z.string(),
    template_display_name: z.string(),
    template_icon: z.string(),
    template_allow_user_cancel_workspace_jobs: z.boolean(),
    template_active_version_id: z.string(),
    template_require_active_version: z.boolean(),
    template_use_classic_parameter_flow: z.boolean(),
    latest_build: WorkspaceBuild,
    latest_app_status: WorkspaceAppStatus.nullable(),
    outdated: z.boolean(),
    name: z.string(),
    autostart_schedule: z.string().optional(),
    ttl_ms: z.number().int().optional(),
    last_used_at: timestamp(),
    deleting_at: timestamp().nullable(),
    dormant_at: timestamp().nullable(),
    health: z.object({ healthy: z.boolean(), failing_agents: z.array(z.string()) }),
    automatic_updates: z.enum(['always', 'never']),
    allow_renames: z.boolean(),
    favorite: z.boolean(),
    next_start_at: timestamp().nullable(),
    is_prebuild: z.boolean(),
    claimed_at: timestamp()
      .nullable()
      .openapi({ description: 'when it was taken from a pool; null = it was made for its owner' }),
  })
  .openapi('Workspace');
export type WorkspaceBody = z.infer<typeof Workspace>;

export interface WorkspaceViewOptions {
  readonly subject: Subject;
  readonly now: Date;
  readonly allowRenames: boolean;
  readonly fallbackTroubleshootingUrl: string;
}

/** Workspaces as clients see them, in the given order; a constant number of statements whatever their number. */
export async function loadWorkspaceBodies(
  db: Db,
  views: readonly WorkspaceView[],
  options: WorkspaceViewOptions,
): Promise<WorkspaceBody[]> {
  const [parts, statuses] = await Promise.all([
    loadBuildParts(
      db,
      views.map((view) => view.latestBuild),
    ),
    latestAppStatuses(
      db,
      views.map((view) => view.id),
    ),
  ]);
  return views.map((view) => workspaceBody(view, { ...parts, status: statuses.get(view.id) }, options));
}

function workspaceBody(
  view: WorkspaceView,
  parts: BuildParts & { status: AppStatusRow | undefined },
  options: WorkspaceViewOptions,
): WorkspaceBody {
  const { subject, now, fallbackTroubleshootingUrl } = options;
  const latestBuild = buildView(view.latestBuild, parts, {
    now,
    showSensitive: isWorkspaceAllowed(subject, 'update', view),
    fallbackTroubleshootingUrl,
  });
  // Sub-agents do not count (spec/01 §6 "Healthy").
  const failing = latestBuild.resources
    .flatMap((resource) => resource.agents ?? [])
    .filter((agent) => agent.parent_id === null && !agent.health.healthy)
    .map((agent) => agent.id);
  return {
    id: view.id,
    created_at: view.createdAt.toISOString(),
    updated_at: view.updatedAt.toISOString(),
    owner_id: view.ownerId,
    owner_name: view.ownerName,
    owner_avatar_url: view.ownerAvatarUrl,
    organization_id: view.organizationId,
    organization_name: view.organizationName,
    template_id: view.templateId,
    template_name: view.templateName,
    template_display_name: view.templateDisplayName,
    template_icon: view.templateIcon,
    template_allow_user_cancel_workspace_jobs: view.templateAllowUserCancelWorkspaceJobs,
    template_active_version_id: view.templateActiveVersionId,
    template_require_active_version: view.templateRequireActiveVersion,
    template_use_classic_parameter_flow: view.templateUseClassicParameterFlow,
    latest_build: latestBuild,
    latest_app_status: parts.status === undefined ? null : appStatusView(parts.status),
    outdated: view.latestBuild.templateVersionId !== view.templateActiveVersionId,
    name: view.name,
    ...(view.autostartSchedule !== null && { autostart_schedule: view.autostartSchedule }),
    ...(view.ttlMs !== null && { ttl_ms: view.ttlMs }),
    last_used_at: toWireTime(view.lastUsedAt),
    deleting_at: toWireTimeOrNull(view.deletingAt),
    dormant_at: toWireTimeOrNull(view.dormantAt),
    health: { healthy: failing.length === 0, failing_agents: failing },
    automatic_updates: view.automaticUpdates,
    allow_renames: options.allowRenames,
    // The mark is the owner's: nobody else sees it.
    favorite: view.favorite && view.ownerId === subject.id,
    next_start_at: toWireTimeOrNull(view.nextStartAt),
    is_prebuild: view.ownerId === PREBUILDS_SYSTEM_USER_ID,
    claimed_at: toWireTimeOrNull(view.claimedAt),
  };
}
