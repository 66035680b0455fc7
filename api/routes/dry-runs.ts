import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { createCancelDryRun } from '../../commands/cancel-job.ts';
import { createCreateDryRun } from '../../commands/create-dry-run.ts';
import { taskQueueOf } from '../../commands/task-queue.ts';
import { versionObject } from '../../commands/template-row.ts';
import { type DryRunView, findDryRunView, listQueuePositions } from '../../db/queries/job-views.ts';
import { matchProvisioners } from '../../db/queries/provisioner-daemons.ts';
import { findVersionView } from '../../db/queries/template-version-views.ts';
import { listResourceTrees } from '../../db/queries/workspace-resources.ts';
import { isAllowed } from '../../domain/authorization.ts';
import { DomainError, notFound } from '../../domain/errors.ts';
import { isActiveJob } from '../../domain/jobs.ts';
import { callerOf } from '../context.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { JobLog, JobLogsQuery, jobLogsResponse } from '../job-logs.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, uuid } from '../schemas.ts';
import { ProvisionerJob, jobView } from '../views/provisioner-job.ts';
import { MatchedProvisionersBody, matchedView } from '../views/template-version.ts';
import { WorkspaceResource, byAgentOrder, resourceView, resourceViewOptions } from '../views/workspace-resource.ts';
import { readableVersion } from './template-versions.ts';

const values = z
  .array(z.object({ name: z.string().min(1), value: z.string() }))
  .max(1000)
  .nullish();
const CreateDryRunRequest = z
  .object({ workspace_name: z.string().default(''), rich_parameter_values: values, user_variable_values: values })
  .openapi('CreateTemplateVersionDryRunRequest');

const tags = ['Dry runs'];
const params = z.object({ templateversion: uuid() });
const jobParams = params.extend({ job: uuid() });
/** Whoever may use a template may see the dry runs that he started; the command or the loader decides. */
const use = { tags, access: { type: 'template', action: 'use' } } as const;
const conflict = { description: 'Not finished' };

const create = defineRoute({
  ...use,
  method: 'post',
  path: '/templateversions/{templateversion}/dry-run',
  summary: 'Plan a version for some values, without a workspace',
  request: { params, ...jsonBody(CreateDryRunRequest) },
  responses: { 201: json(ProvisionerJob, 'The pending job'), 409: conflict },
});
const get = defineRoute({
  ...use,
  method: 'get',
  path: '/templateversions/{templateversion}/dry-run/{job}',
  summary: 'A dry run',
  request: { params: jobParams },
  responses: { 200: json(ProvisionerJob, 'Job') },
});
const resources = defineRoute({
  ...use,
  method: 'get',
  path: '/templateversions/{templateversion}/dry-run/{job}/resources',
  summary: 'What the plan of a dry run would create',
  request: { params: jobParams },
  responses: { 200: json(z.array(WorkspaceResource), 'Resources'), 409: conflict },
});
const logs = defineRoute({
  ...use,
  method: 'get',
  path: '/templateversions/{templateversion}/dry-run/{job}/logs',
  summary: 'Log of a dry run; `follow` streams it',
  stream: true,
  request: { params: jobParams, query: JobLogsQuery },
  responses: { 200: json(z.array(JobLog), 'Rows by id'), 101: { description: 'One JSON row per message' } },
});
const matched = defineRoute({
  ...use,
  method: 'get',
  path: '/templateversions/{templateversion}/dry-run/{job}/matched-provisioners',
  summary: 'Workers that can run the dry run',
  request: { params: jobParams },
  responses: { 200: json(MatchedProvisionersBody, 'Workers') },
});
const cancel = defineRoute({
  ...use,
  method: 'patch',
  path: '/templateversions/{templateversion}/dry-run/{job}/cancel',
  summary: 'Cancel a dry run',
  auditFailure: { resourceType: 'template_version', action: 'write', param: 'templateversion' },
  request: { params: jobParams },
  responses: { 200: json(MessageResponse, 'Done') },
});

/** Plans without a workspace, seen by who started them and by who administers the template. Source: spec/06 §7. */
export function registerDryRunRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const createDryRun = createCreateDryRun(deps);
  const cancelDryRun = createCancelDryRun(deps);
  const load = async (c: Context<ApiEnv>, ids: { templateversion: string; job: string }) => {
    const version = await readableVersion(c, await findVersionView(db, ids.templateversion));
    const job = await findDryRunView(db, version.id, ids.job);
    const administers = isAllowed(c.var.subject, 'update', versionObject(version));
    if (job === undefined || (job.initiatorId !== c.var.subject.id && !administers)) throw notFound();
    return { version, job, administers };
  };
  const bodyOf = async (
    job: DryRunView,
    version: { name: string; template: { id: string; name: string; displayName: string; icon: string } | null },
  ) => {
    const queue = job.status === 'pending' ? await listQueuePositions(db, [job.id]) : new Map<string, never>();
    return jobView(job, queue.get(job.id), {
      template_version_name: version.name,
      ...(version.template !== null && { template_id: version.template.id }),
      template_name: version.template?.name ?? '',
      template_display_name: version.template?.displayName ?? '',
      template_icon: version.template?.icon ?? '',
    });
  };

  app.openapi(create, async (c) => {
    const { templateversion: versionId } = c.req.valid('param');
    const body = c.req.valid('json');
    const { job, version } = await createDryRun(callerOf(c), {
      versionId,
      workspaceName: body.workspace_name,
      richParameterValues: body.rich_parameter_values ?? [],
      userVariableValues: body.user_variable_values ?? [],
    });
    return c.json(await bodyOf(job, version), 201);
  });
  app.openapi(get, async (c) => {
    const { job, version } = await load(c, c.req.valid('param'));
    return c.json(await bodyOf(job, version), 200);
  });
  app.openapi(resources, async (c) => {
    const { job, administers } = await load(c, c.req.valid('param'));
    if (isActiveJob(job.status)) throw new DomainError('CONFLICT', 'The dry run has not finished yet');
    const trees = await listResourceTrees(db, [job.id]);
    const options = resourceViewOptions(deps, administers);
    return c.json(
      trees.toSorted(byAgentOrder).map((tree) => resourceView(tree, options)),
      200,
    );
  });
  app.openapi(logs, async (c) => {
    const { job } = await load(c, c.req.valid('param'));
    // Streams and texts have no typed form.
    return (await jobLogsResponse(c, job.id, c.req.valid('query'))) as never;
  });
  app.openapi(matched, async (c) => {
    const { job } = await load(c, c.req.valid('param'));
    return c.json(matchedView(await matchProvisioners(db, taskQueueOf(job.tags))), 200);
  });
  app.openapi(cancel, async (c) => {
    const { job, version } = await load(c, c.req.valid('param'));
    await cancelDryRun(callerOf(c), { version, jobId: job.id });
    return c.json({ message: 'The dry run is being canceled' }, 200);
  });
}
