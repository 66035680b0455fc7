import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { taskQueueOf } from '../../commands/task-queue.ts';
import { listQueuePositions } from '../../db/queries/job-views.ts';
import { listMatchedProvisioners } from '../../db/queries/provisioner-daemons.ts';
import { type ListedJob, listJobs } from '../../db/queries/provisioner-job-list.ts';
import { getOrganizationByRef } from '../../db/queries/organizations.ts';
import { findUserByRef } from '../../db/queries/users.ts';
import { authorize } from '../../domain/authorization.ts';
import { invalidField, notFound } from '../../domain/errors.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { commaListOf, commaUuids, tagFilter } from '../job-query.ts';
import { defineRoute } from '../route.ts';
import { json, organizationRef, pageQuery, userRef, uuid } from '../schemas.ts';
import { ProvisionerJob, type ProvisionerJobBody, jobView } from '../views/provisioner-job.ts';

const statuses = ['pending', 'running', 'succeeded', 'canceling', 'canceled', 'failed', 'unknown'] as const;
const params = z.object({ organization: organizationRef() });
const read = {
  method: 'get',
  tags: ['Provisioner'],
  access: { type: 'provisioner_jobs', action: 'read' },
} as const;
const list = defineRoute({
  ...read,
  path: '/organizations/{organization}/provisionerjobs',
  summary: 'Jobs of an organization, newest first',
  request: {
    params,
    query: z.object({
      limit: pageQuery({ default: 50, maximum: 1000 }).limit,
      ids: commaUuids(),
      status: commaListOf(statuses),
      tags: tagFilter(),
      initiator: userRef().optional(),
    }),
  },
  responses: { 200: json(z.array(ProvisionerJob), 'Jobs') },
});
const get = defineRoute({
  ...read,
  path: '/organizations/{organization}/provisionerjobs/{job}',
  summary: 'A job',
  request: { params: params.extend({ job: uuid() }) },
  responses: { 200: json(ProvisionerJob, 'Job') },
});

const metadataOf = (row: ListedJob): ProvisionerJobBody['metadata'] => ({
  template_version_name: row.versionName ?? '',
  ...(row.templateId !== null && { template_id: row.templateId }),
  template_name: row.templateName ?? '',
  template_display_name: row.templateDisplayName ?? '',
  template_icon: row.templateIcon ?? '',
  ...(row.workspaceId !== null && { workspace_id: row.workspaceId, workspace_name: row.workspaceName ?? '' }),
  ...(row.transition !== null && { workspace_build_transition: row.transition }),
});

/** Jobs with queue positions and, while they wait, the workers that could take them. Source: spec/06 §11. */
export function registerProvisionerJobRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const organizationOf = async (c: Context<ApiEnv>, ref: string) => {
    const organization = await getOrganizationByRef(db, c.var.subject, ref);
    authorize(c.var.subject, 'read', { type: 'provisioner_jobs', organizationId: organization.id });
    return organization.id;
  };
  const bodiesOf = async (rows: readonly ListedJob[]): Promise<ProvisionerJobBody[]> => {
    const pending = rows.filter(({ job }) => job.status === 'pending');
    const [queue, matched] = await Promise.all([
      listQueuePositions(
        db,
        pending.map(({ job }) => job.id),
      ),
      listMatchedProvisioners(
        db,
        pending.map(({ job }) => taskQueueOf(job.tags)),
      ),
    ]);
    return rows.map((row) => ({
      ...jobView(row.job, queue.get(row.job.id), metadataOf(row)),
      ...(row.job.status === 'pending' && {
        available_workers: [...(matched.get(taskQueueOf(row.job.tags))?.availableIds ?? [])],
      }),
    }));
  };

  app.openapi(list, async (c) => {
    const organizationId = await organizationOf(c, c.req.valid('param').organization);
    const { limit, ids, status, tags, initiator } = c.req.valid('query');
    const user =
      initiator === undefined ? undefined : await findUserByRef(db, c.var.subject, initiator, { includeSystem: true });
    if (initiator !== undefined && user === undefined) throw invalidField('initiator', 'there is no such user');
    const filter = { organizationId, ids, statuses: status, tags, initiatorId: user?.id };
    return c.json(await bodiesOf(await listJobs(db, filter, limit)), 200);
  });
  app.openapi(get, async (c) => {
    const { organization, job } = c.req.valid('param');
    const organizationId = await organizationOf(c, organization);
    const [body] = await bodiesOf(await listJobs(db, { organizationId, ids: [job] }, 1));
    if (body === undefined) throw notFound();
    return c.json(body, 200);
  });
}
