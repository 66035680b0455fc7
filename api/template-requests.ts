import { z } from '@hono/zod-openapi';
import { type TemplateSettingsInput, corsBehaviors, portSharingLevels } from '../domain/template-settings.ts';
import { uuid } from './schemas.ts';

/** Ranges are judged in domain/template-settings.ts, all at once and under the names of the fields. */
const duration = () => z.number().int().optional().openapi({ description: 'milliseconds, 0 = off' });
const flag = () => z.boolean().optional();
const days = () => z.array(z.string()).max(50).default([]);

const common = {
  display_name: z.string().optional(),
  description: z.string().optional(),
  icon: z.string().optional(),
  default_ttl_ms: duration(),
  activity_bump_ms: duration(),
  autostop_requirement: z.object({ days_of_week: days(), weeks: z.number().default(0) }).nullish(),
  autostart_requirement: z.object({ days_of_week: days() }).nullish(),
  allow_user_cancel_workspace_jobs: flag(),
  allow_user_autostart: flag(),
  allow_user_autostop: flag(),
  failure_ttl_ms: duration(),
  time_til_autostop_notify_ms: duration(),
  disable_everyone_group_access: flag(),
  require_active_version: flag(),
  max_port_share_level: z.enum(portSharingLevels).nullish(),
  cors_behavior: z.enum(corsBehaviors).nullish(),
  instant_claim: flag().nullable(),
};

export const CreateTemplateRequest = z
  .object({
    name: z.string(),
    template_version_id: uuid(),
    ...common,
    dormant_ttl_ms: duration(),
    delete_ttl_ms: duration(),
    template_use_classic_parameter_flow: flag().nullable(),
  })
  .openapi('CreateTemplateRequest');

export const UpdateTemplateRequest = z
  .object({
    name: z.string().optional(),
    ...common,
    time_til_dormant_ms: duration(),
    time_til_dormant_autodelete_ms: duration(),
    deprecation_message: z.string().nullish(),
    update_workspace_last_used_at: flag(),
    update_workspace_dormant_at: flag(),
    disable_module_cache: flag().nullable(),
    use_classic_parameter_flow: flag().nullable(),
  })
  .openapi('UpdateTemplateMeta');

type Common = Pick<z.infer<typeof UpdateTemplateRequest>, keyof typeof common>;
type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined | null> };

/** Without the entries that were not given: absent and null mean the same. */
const given = <T extends object>(fields: T): Defined<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)) as Defined<T>;

const commonSettings = (body: Common) => ({
  displayName: body.display_name,
  description: body.description,
  icon: body.icon,
  defaultTtlMs: body.default_ttl_ms,
  activityBumpMs: body.activity_bump_ms,
  autostopRequirement: body.autostop_requirement && {
    daysOfWeek: body.autostop_requirement.days_of_week,
    weeks: body.autostop_requirement.weeks,
  },
  autostartRequirement: body.autostart_requirement && { daysOfWeek: body.autostart_requirement.days_of_week },
  allowUserCancelWorkspaceJobs: body.allow_user_cancel_workspace_jobs,
  allowUserAutostart: body.allow_user_autostart,
  allowUserAutostop: body.allow_user_autostop,
  failureTtlMs: body.failure_ttl_ms,
  timeTilAutostopNotifyMs: body.time_til_autostop_notify_ms,
  requireActiveVersion: body.require_active_version,
  maxPortSharingLevel: body.max_port_share_level,
  corsBehavior: body.cors_behavior,
  instantClaim: body.instant_claim,
});

export const createSettings = (
  body: z.infer<typeof CreateTemplateRequest>,
): TemplateSettingsInput & { readonly name: string } => ({
  name: body.name,
  ...given({
    ...commonSettings(body),
    timeTilDormantMs: body.dormant_ttl_ms,
    timeTilDormantAutodeleteMs: body.delete_ttl_ms,
    useClassicParameterFlow: body.template_use_classic_parameter_flow,
  }),
});

export const patchSettings = (body: z.infer<typeof UpdateTemplateRequest>): TemplateSettingsInput =>
  given({
    ...commonSettings(body),
    name: body.name,
    timeTilDormantMs: body.time_til_dormant_ms,
    timeTilDormantAutodeleteMs: body.time_til_dormant_autodelete_ms,
    deprecated: body.deprecation_message,
    disableModuleCache: body.disable_module_cache,
    useClassicParameterFlow: body.use_classic_parameter_flow,
  });
