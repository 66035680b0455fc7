import { z } from '@hono/zod-openapi';
import { parseDurationMs } from '../../config.ts';
import { type DaemonJob, listDaemons } from '../../db/queries/provisioner-daemons.ts';
import { getOrganizationByRef } from '../../db/queries/organizations.ts';
import { authorize } from '../../domain/authorization.ts';
import type { App, AppDeps } from '../context.ts';
import { commaListOf, commaUuids, tagFilter } from '../job-query.ts';
import { defineRoute } from '../route.ts';
import { json, organizationRef, pageQuery, queryBoolean, timestamp } from '../schemas.ts';

const DaemonJobBody = z.object({
  id: z.string(),
  status: z.string(),
  template_name: z.string(),
  template_icon: z.string(),
  template_display_name: z.string(),
});
const ProvisionerDaemon = z
  .object({
    id: z.string(),
    organization_id: z.string(),
    key_id: z.string(),
    created_at: timestamp(),
    last_seen_at: timestamp(),
    name: z.string(),
    version: z.string(),
    api_version: z.string(),
    provisioners: z.array(z.string()),
    tags: z.record(z.string(), z.string()),
    key_name: z.string(),
    status: z.enum(['offline', 'idle', 'busy']),
    current_job: DaemonJobBody.nullable(),
    previous_job: DaemonJobBody.nullable(),
  })
  .openapi('ProvisionerDaemon');

/** Workers need no key of their own; clients know such ones under this id. */
const builtInKey = { id: '00000000-0000-0000-0000-000000000001', name: 'built-in' };

/** `90s`, `1h0m0s`, or milliseconds. */
const maxAge = () =>
  z
    .string()
    .transform((text, ctx): number => {
      try {
        const ms = parseDurationMs(text);
        if (ms <= 365 * 24 * 3_600_000) return ms;
        ctx.addIssue({ code: 'custom', message: 'must be at most one year' });
      } catch (err) {
        ctx.addIssue({ code: 'custom', message: (err as Error).message });
      }
      return z.NEVER;
    })
    .optional()
    .openapi({ type: 'string', example: '10m' });

const list = defineRoute({
  method: 'get',
  path: '/organizations/{organization}/provisionerdaemons',
  tags: ['Provisioner'],
  summary: 'Workers of an organization; offline ones only when asked for',
  access: { type: 'provisioner_daemon', action: 'read' },
  request: {
    params: z.object({ organization: organizationRef() }),
    query: z.object({
      limit: pageQuery({ default: 50, maximum: 1000 }).limit,
      ids: commaUuids(),
      status: commaListOf(['offline', 'idle', 'busy']),
      max_age: maxAge(),
      offline: queryBoolean().default(false),
      tags: tagFilter(),
    }),
  },
  responses: { 200: json(z.array(ProvisionerDaemon), 'Workers') },
});

const jobBody = (job: DaemonJob | null): z.infer<typeof DaemonJobBody> | null =>
  job === null
    ? null
    : {
        id: job.id,
        status: job.status,
        template_name: job.templateName,
        template_icon: job.templateIcon,
        template_display_name: job.templateDisplayName,
      };

/** Heartbeats of the worker processes. Source: spec/06 §11. */
export function registerProvisionerDaemonRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  app.openapi(list, async (c) => {
    const organization = await getOrganizationByRef(db, c.var.subject, c.req.valid('param').organization);
    authorize(c.var.subject, 'read', { type: 'provisioner_daemon', organizationId: organization.id });
    const { limit, ids, status, max_age: maxAgeMs, offline, tags } = c.req.valid('query');
    const rows = await listDaemons(db, organization.id, { limit, ids, statuses: status, maxAgeMs, offline, tags });
    return c.json(
      rows.map((row) => ({
        id: row.id,
        organization_id: row.organizationId,
        key_id: row.keyId ?? builtInKey.id,
        created_at: row.createdAt.toISOString(),
        last_seen_at: row.lastSeenAt.toISOString(),
        name: row.name,
        version: row.version,
        api_version: row.apiVersion,
        provisioners: row.provisioners,
        tags: row.tags,
        key_name: builtInKey.name,
        status: row.status,
        current_job: jobBody(row.currentJob),
        previous_job: jobBody(row.previousJob),
      })),
      200,
    );
  });
}
