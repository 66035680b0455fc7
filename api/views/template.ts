import { z } from '@hono/zod-openapi';
import type { ActiveUsers } from '../../db/queries/daily-activity.ts';
import type { BuildTimeStats } from '../../db/queries/template-stats.ts';
import type { TemplateView } from '../../db/queries/templates.ts';
import { corsBehaviors, portSharingLevels } from '../../domain/template-settings.ts';
import { bitmapToDays, everyDay, weekdays } from '../../domain/weekdays.ts';
import { timestamp } from '../schemas.ts';

/** Milliseconds; null without a sample. */
const Percentiles = z.object({ P50: z.number().nullable(), P95: z.number().nullable() });
const days = z.array(z.enum(weekdays));

export const Template = z
  .object({
    id: z.string(),
    created_at: timestamp(),
    updated_at: timestamp(),
    organization_id: z.string(),
    organization_name: z.string(),
    organization_display_name: z.string(),
    organization_icon: z.string(),
    name: z.string(),
    display_name: z.string(),
    provisioner: z.enum(['terraform', 'echo']),
    active_version_id: z.string(),
    active_user_count: z.number().int().openapi({ description: 'Users of the last 24 hours' }),
    build_time_stats: z.object({ start: Percentiles, stop: Percentiles, delete: Percentiles }),
    description: z.string(),
    deprecated: z.boolean(),
    deleted: z.boolean(),
    deprecation_message: z.string(),
    icon: z.string(),
    default_ttl_ms: z.number().int(),
    activity_bump_ms: z.number().int(),
    autostop_requirement: z.object({ days_of_week: days, weeks: z.number().int() }),
    autostart_requirement: z.object({ days_of_week: days }),
    created_by_id: z.string(),
    created_by_name: z.string(),
    allow_user_autostart: z.boolean(),
    allow_user_autostop: z.boolean(),
    allow_user_cancel_workspace_jobs: z.boolean(),
    failure_ttl_ms: z.number().int(),
    time_til_dormant_ms: z.number().int(),
    time_til_dormant_autodelete_ms: z.number().int(),
    time_til_autostop_notify_ms: z.number().int(),
    require_active_version: z.boolean(),
    max_port_share_level: z.enum(portSharingLevels),
    cors_behavior: z.enum(corsBehaviors),
    use_classic_parameter_flow: z.boolean(),
    disable_module_cache: z.boolean(),
    instant_claim: z.boolean().openapi({ description: 'a claim may hand its agent over before Terraform has run' }),
  })
  .openapi('Template');
export type TemplateBody = z.infer<typeof Template>;

/** A template as clients see it. Source: spec/06 §6. */
export function templateView(
  row: TemplateView,
  stats: { readonly buildTimes: readonly BuildTimeStats[]; readonly activeUsers: readonly ActiveUsers[] },
): TemplateBody {
  const times = (transition: BuildTimeStats['transition']) => {
    const found = stats.buildTimes.find((each) => each.templateId === row.id && each.transition === transition);
    return { P50: found?.p50Ms ?? null, P95: found?.p95Ms ?? null };
  };
  return {
    id: row.id,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
    organization_id: row.organizationId,
    organization_name: row.organizationName,
    organization_display_name: row.organizationDisplayName,
    organization_icon: row.organizationIcon,
    name: row.name,
    display_name: row.displayName,
    provisioner: row.provisioner,
    active_version_id: row.activeVersionId,
    active_user_count: stats.activeUsers.find((each) => each.templateId === row.id)?.count ?? 0,
    build_time_stats: { start: times('start'), stop: times('stop'), delete: times('delete') },
    description: row.description,
    deprecated: row.deprecated !== '',
    deleted: row.deleted,
    deprecation_message: row.deprecated,
    icon: row.icon,
    default_ttl_ms: row.defaultTtlMs,
    activity_bump_ms: row.activityBumpMs,
    autostop_requirement: {
      days_of_week: bitmapToDays(row.autostopRequirementDaysOfWeek),
      // Rows of other origin may hold 0, which means the same as 1.
      weeks: Math.max(row.autostopRequirementWeeks, 1),
    },
    autostart_requirement: { days_of_week: bitmapToDays(everyDay & ~row.autostartBlockDaysOfWeek) },
    created_by_id: row.createdBy,
    created_by_name: row.createdByName,
    allow_user_autostart: row.allowUserAutostart,
    allow_user_autostop: row.allowUserAutostop,
    allow_user_cancel_workspace_jobs: row.allowUserCancelWorkspaceJobs,
    failure_ttl_ms: row.failureTtlMs,
    time_til_dormant_ms: row.timeTilDormantMs,
    time_til_dormant_autodelete_ms: row.timeTilDormantAutodeleteMs,
    time_til_autostop_notify_ms: row.timeTilAutostopNotifyMs,
    require_active_version: row.requireActiveVersion,
    max_port_share_level: row.maxPortSharingLevel,
    cors_behavior: row.corsBehavior,
    use_classic_parameter_flow: row.useClassicParameterFlow,
    disable_module_cache: row.disableModuleCache,
    instant_claim: row.instantClaim,
  };
}
