import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { requireImported } from '../../commands/create-dry-run.ts';
import { authorizeVersion, versionObject } from '../../commands/template-row.ts';
import { findVersionView } from '../../db/queries/template-version-views.ts';
import { listParameters, listPresets } from '../../db/queries/template-versions.ts';
import { listVersionVariables } from '../../db/queries/workspace-builds.ts';
import { listResourceTrees } from '../../db/queries/workspace-resources.ts';
import { isAllowed } from '../../domain/authorization.ts';
import { DomainError } from '../../domain/errors.ts';
import { isActiveJob } from '../../domain/jobs.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { JobLog, JobLogsQuery, jobLogsResponse } from '../job-logs.ts';
import { defineRoute } from '../route.ts';
import { json, uuid } from '../schemas.ts';
import { TemplateVersionParameter, parameterView } from '../views/template-parameter.ts';
import { WorkspaceResource, byAgentOrder, resourceView, resourceViewOptions } from '../views/workspace-resource.ts';
import { readableVersion } from './template-versions.ts';

const TemplateVersionVariable = z
  .object({
    name: z.string(),
    description: z.string(),
    type: z.enum(['string', 'number', 'bool']),
    value: z.string(),
    default_value: z.string(),
    required: z.boolean(),
    sensitive: z.boolean(),
  })
  .openapi('TemplateVersionVariable');
/** Capitalised keys, as clients know them. */
const Preset = z
  .object({
    ID: z.string(),
    Name: z.string(),
    Parameters: z.array(z.object({ Name: z.string(), Value: z.string() })),
    Default: z.boolean(),
    DesiredPrebuildInstances: z.number().int().nullable(),
    Description: z.string(),
    Icon: z.string(),
  })
  .openapi('Preset');
const ExternalAuth = z
  .object({
    id: z.string(),
    type: z.string(),
    display_name: z.string(),
    display_icon: z.string(),
    authenticate_url: z.string(),
    authenticated: z.boolean(),
    optional: z.boolean(),
  })
  .openapi('TemplateVersionExternalAuth');

const conflict = { description: 'The import has not finished' };
const read = {
  method: 'get',
  tags: ['Template versions'],
  access: { type: 'template', action: 'read' },
  request: { params: z.object({ templateversion: uuid() }) },
} as const;
const parameters = defineRoute({
  ...read,
  path: '/templateversions/{templateversion}/rich-parameters',
  summary: 'Parameters of a version',
  responses: { 200: json(z.array(TemplateVersionParameter), 'Parameters'), 409: conflict },
});
const variables = defineRoute({
  ...read,
  path: '/templateversions/{templateversion}/variables',
  summary: 'Template variables of a version; values of sensitive ones are empty',
  access: { type: 'template', action: 'update' },
  responses: { 200: json(z.array(TemplateVersionVariable), 'Variables'), 409: conflict },
});
const presets = defineRoute({
  ...read,
  path: '/templateversions/{templateversion}/presets',
  summary: 'Presets of a version, the default one first',
  responses: { 200: json(z.array(Preset), 'Presets') },
});
const resources = defineRoute({
  ...read,
  path: '/templateversions/{templateversion}/resources',
  summary: 'Resources that a started workspace of this version has',
  responses: { 200: json(z.array(WorkspaceResource), 'Resources'), 409: conflict },
});
const externalAuth = defineRoute({
  ...read,
  path: '/templateversions/{templateversion}/external-auth',
  summary: 'External auth providers that the version uses',
  responses: { 200: json(z.array(ExternalAuth), 'Providers') },
});
const logs = defineRoute({
  ...read,
  path: '/templateversions/{templateversion}/logs',
  summary: 'Log of the import; `follow` streams it',
  stream: true,
  request: { ...read.request, query: JobLogsQuery },
  responses: { 200: json(z.array(JobLog), 'Rows by id'), 101: { description: 'One JSON row per message' } },
});

const plainTypes = ['string', 'number', 'bool'] as const;

/** What an import found out about a version. Source: spec/06 §7. */
export function registerTemplateVersionChildRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const versionOf = async (c: Context<ApiEnv>, id: string) => readableVersion(c, await findVersionView(db, id));
  const finishedVersion = async (c: Context<ApiEnv>, id: string) => {
    const version = await versionOf(c, id);
    if (isActiveJob(version.job.status))
      throw new DomainError('CONFLICT', 'The import of the version has not finished yet');
    return version;
  };

  app.openapi(parameters, async (c) => {
    const version = await versionOf(c, c.req.valid('param').templateversion);
    requireImported(version);
    return c.json((await listParameters(db, version.id)).map(parameterView), 200);
  });
  app.openapi(variables, async (c) => {
    const version = await versionOf(c, c.req.valid('param').templateversion);
    authorizeVersion({ subject: c.var.subject }, 'update', version);
    // After a failed import they say what is missing.
    const { id } = await finishedVersion(c, version.id);
    const rows = await listVersionVariables(db, id);
    return c.json(
      rows.map((row) => ({
        name: row.name,
        description: row.description,
        type: plainTypes.find((type) => type === row.type) ?? ('string' as const),
        value: row.sensitive ? '' : row.value,
        default_value: row.sensitive ? '' : row.defaultValue,
        required: row.required,
        sensitive: row.sensitive,
      })),
      200,
    );
  });
  app.openapi(presets, async (c) => {
    const version = await versionOf(c, c.req.valid('param').templateversion);
    return c.json(
      (await listPresets(db, version.id)).map((preset) => ({
        ID: preset.id,
        Name: preset.name,
        Parameters: preset.parameters.map(({ name, value }) => ({ Name: name, Value: value })),
        Default: preset.isDefault,
        DesiredPrebuildInstances: preset.desiredInstances,
        Description: preset.description,
        Icon: preset.icon,
      })),
      200,
    );
  });
  app.openapi(resources, async (c) => {
    const version = await finishedVersion(c, c.req.valid('param').templateversion);
    const options = resourceViewOptions(deps, isAllowed(c.var.subject, 'update', versionObject(version)));
    const trees = await listResourceTrees(db, [version.job.id], 'start');
    return c.json(
      trees.toSorted(byAgentOrder).map((tree) => resourceView(tree, options)),
      200,
    );
  });
  app.openapi(externalAuth, async (c) => {
    const version = await versionOf(c, c.req.valid('param').templateversion);
    return c.json(
      version.externalAuthProviders.map(({ id, optional }) => ({
        id,
        type: id,
        display_name: id,
        display_icon: '',
        authenticate_url: new URL(`/external-auth/${encodeURIComponent(id)}`, deps.config.CODER_ACCESS_URL).href,
        authenticated: false,
        optional,
      })),
      200,
    );
  });
  app.openapi(logs, async (c) => {
    const version = await versionOf(c, c.req.valid('param').templateversion);
    // Streams and texts have no typed form.
    return (await jobLogsResponse(c, version.job.id, c.req.valid('query'))) as never;
  });
}
