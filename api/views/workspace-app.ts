import { z } from '@hono/zod-openapi';
import type { AppStatusRow } from '../../db/queries/app-statuses.ts';
import type { AgentTree } from '../../db/queries/workspace-resources.ts';
import { appStatusStates } from '../../domain/app-status.ts';
import { timestamp } from '../schemas.ts';

export const WorkspaceAppStatus = z
  .object({
    id: z.string(),
    created_at: timestamp(),
    workspace_id: z.string(),
    agent_id: z.string(),
    app_id: z.string(),
    state: z.enum(appStatusStates),
    message: z.string(),
    uri: z.string(),
    icon: z.string().openapi({ description: 'always empty' }),
    needs_user_attention: z.boolean().openapi({ description: 'always false' }),
  })
  .openapi('WorkspaceAppStatus');

export const appStatusView = (status: AppStatusRow): z.infer<typeof WorkspaceAppStatus> => ({
  id: status.id,
  created_at: status.createdAt.toISOString(),
  workspace_id: status.workspaceId,
  agent_id: status.agentId,
  app_id: status.appId,
  state: status.state,
  message: status.message,
  uri: status.uri ?? '',
  icon: '',
  needs_user_attention: false,
});

export const WorkspaceApp = z
  .object({
    id: z.string(),
    url: z.string().optional(),
    external: z.boolean(),
    slug: z.string(),
    display_name: z.string().optional(),
    command: z.string().optional(),
    icon: z.string().optional(),
    subdomain: z.boolean(),
    subdomain_name: z.string().optional(),
    sharing_level: z.enum(['owner', 'authenticated', 'organization', 'public']),
    healthcheck: z.object({ url: z.string(), interval: z.number().int(), threshold: z.number().int() }).optional(),
    health: z.enum(['disabled', 'initializing', 'healthy', 'unhealthy']),
    group: z.string().optional(),
    hidden: z.boolean(),
    open_in: z.enum(['tab', 'window', 'slim-window']),
    statuses: z.array(WorkspaceAppStatus).openapi({ description: 'the newest, newest first' }),
    tooltip: z.string().optional(),
  })
  .openapi('WorkspaceApp');
export type WorkspaceAppBody = z.infer<typeof WorkspaceApp>;

type AppRow = Omit<AgentTree['apps'][number], 'statuses'> & { readonly statuses?: readonly AppStatusRow[] };

export function appView(app: AppRow): WorkspaceAppBody {
  return {
    id: app.id,
    ...(app.url !== null && { url: app.url }),
    external: app.external,
    slug: app.slug,
    display_name: app.displayName,
    ...(app.command !== null && { command: app.command }),
    icon: app.icon,
    subdomain: app.subdomain,
    sharing_level: app.sharingLevel,
    ...(app.healthcheckUrl !== '' && {
      healthcheck: { url: app.healthcheckUrl, interval: app.healthcheckInterval, threshold: app.healthcheckThreshold },
    }),
    health: app.health,
    ...(app.displayGroup !== null && { group: app.displayGroup }),
    hidden: app.hidden,
    open_in: app.openIn,
    statuses: (app.statuses ?? []).map(appStatusView),
    ...(app.tooltip !== '' && { tooltip: app.tooltip }),
  };
}
