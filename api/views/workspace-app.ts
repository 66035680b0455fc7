import { z } from '@hono/zod-openapi';
import type { AgentTree } from '../../db/queries/workspace-resources.ts';

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
    statuses: z.array(z.object({ id: z.string() })),
    tooltip: z.string().optional(),
  })
  .openapi('WorkspaceApp');
export type WorkspaceAppBody = z.infer<typeof WorkspaceApp>;

export function appView(app: AgentTree['apps'][number]): WorkspaceAppBody {
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
    statuses: [],
    ...(app.tooltip !== '' && { tooltip: app.tooltip }),
  };
}
