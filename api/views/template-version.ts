import { z } from '@hono/zod-openapi';
import { taskQueueOf } from '../../commands/task-queue.ts';
import type { Db } from '../../db/client.ts';
import { listQueuePositions } from '../../db/queries/job-views.ts';
import { type MatchedProvisioners, listMatchedProvisioners } from '../../db/queries/provisioner-daemons.ts';
import type { VersionView } from '../../db/queries/template-version-views.ts';
import { timestamp } from '../schemas.ts';
import { ProvisionerJob, jobView } from './provisioner-job.ts';

export const MatchedProvisionersBody = z
  .object({
    count: z.number().int(),
    available: z.number().int(),
    most_recently_seen: timestamp().optional(),
  })
  .openapi('MatchedProvisioners');

export const TemplateVersion = z
  .object({
    id: z.string(),
    template_id: z.string().optional(),
    organization_id: z.string(),
    created_at: timestamp(),
    updated_at: timestamp(),
    name: z.string(),
    message: z.string(),
    job: ProvisionerJob,
    readme: z.string(),
    created_by: z.object({ id: z.string(), username: z.string(), name: z.string(), avatar_url: z.string() }),
    archived: z.boolean(),
    has_external_agent: z.boolean(),
    warnings: z.array(z.enum(['UNSUPPORTED_WORKSPACES', 'DEPRECATED_PARAMETERS'])).optional(),
    matched_provisioners: MatchedProvisionersBody.optional(),
  })
  .openapi('TemplateVersion');
export type TemplateVersionBody = z.infer<typeof TemplateVersion>;

/** Workers that poll the queue of a job; none at all is no error, the job waits. */
export const matchedView = (matched: MatchedProvisioners | undefined): z.infer<typeof MatchedProvisionersBody> => ({
  count: matched?.count ?? 0,
  available: matched?.available ?? 0,
  ...(matched?.mostRecentlySeen != null && { most_recently_seen: matched.mostRecentlySeen.toISOString() }),
});

/**
 * Bodies of many versions; two statements more at most, and only while one of them waits. `matched` also tells of finished
 * ones which workers they would have. Source: spec/06 §7.
 */
export async function loadVersionBodies(
  db: Db,
  views: readonly VersionView[],
  options: { matched?: 'always' } = {},
): Promise<TemplateVersionBody[]> {
  const pending = views.filter((view) => view.job.status === 'pending');
  const shown = options.matched === 'always' ? views : pending;
  const [queue, matched] = await Promise.all([
    listQueuePositions(
      db,
      pending.map((view) => view.job.id),
    ),
    listMatchedProvisioners(
      db,
      shown.map((view) => taskQueueOf(view.job.tags)),
    ),
  ]);
  return views.map((view) => ({
    id: view.id,
    ...(view.templateId !== null && { template_id: view.templateId }),
    organization_id: view.organizationId,
    created_at: view.createdAt.toISOString(),
    updated_at: view.updatedAt.toISOString(),
    name: view.name,
    message: view.message,
    job: jobView(view.job, queue.get(view.job.id), {
      template_version_name: view.name,
      ...(view.template !== null && { template_id: view.template.id }),
      template_name: view.template?.name ?? '',
      template_display_name: view.template?.displayName ?? '',
      template_icon: view.template?.icon ?? '',
    }),
    readme: view.readme,
    created_by: {
      id: view.createdBy.id,
      username: view.createdBy.username,
      name: view.createdBy.name,
      avatar_url: view.createdBy.avatarUrl,
    },
    archived: view.archived,
    has_external_agent: view.hasExternalAgent ?? false,
    ...(shown.includes(view) && {
      matched_provisioners: matchedView(matched.get(taskQueueOf(view.job.tags))),
    }),
  }));
}
