import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { createCancelImport } from '../../commands/cancel-job.ts';
import { createCreateTemplateVersion } from '../../commands/create-template-version.ts';
import { authorizeVersion } from '../../commands/template-row.ts';
import { updateTemplateVersion } from '../../commands/update-template-version.ts';
import { getOrganizationByRef } from '../../db/queries/organizations.ts';
import {
  type VersionView,
  findPreviousVersionView,
  findVersionView,
  findVersionViewByName,
  listVersionViews,
} from '../../db/queries/template-version-views.ts';
import { findTemplate, findTemplateViewByName } from '../../db/queries/templates.ts';
import { authorize, templateObject } from '../../domain/authorization.ts';
import { notFound } from '../../domain/errors.ts';
import { NIL_UUID } from '../../domain/ids.ts';
import { callerOf } from '../context.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, organizationRef, pageQuery, paged, queryBoolean, uuid } from '../schemas.ts';
import { TemplateVersion, loadVersionBodies } from '../views/template-version.ts';

/** PostgreSQL stores no NUL, and a tag with one would name no queue. */
const plainText = () => z.string().refine((text) => !text.includes('\0'), { message: 'must not contain a NUL byte' });
const tagMap = z
  .record(plainText().min(1).max(256), plainText().max(1024))
  .refine((map) => Object.keys(map).length <= 100, { message: 'must have at most 100 tags' });

const CreateTemplateVersionRequest = z
  .object({
    name: z.string().default(''),
    message: plainText().max(1_048_576).default(''),
    template_id: uuid().nullish(),
    storage_method: z.literal('file'),
    file_id: uuid().nullish(),
    example_id: z.string().nullish(),
    provisioner: z.literal('terraform'),
    tags: tagMap.nullish(),
    user_variable_values: z
      .array(z.object({ name: plainText().min(1).max(256), value: plainText() }))
      .max(1000)
      .nullish(),
  })
  .openapi('CreateTemplateVersionRequest');

const tags = ['Template versions'];
const versionParams = z.object({ templateversion: uuid() });
const templateParams = z.object({ template: uuid() });
const namedParams = z.object({
  organization: organizationRef(),
  templatename: z.string(),
  templateversionname: z.string(),
});
const read = { method: 'get', tags, access: { type: 'template', action: 'read' } } as const;
const change = {
  tags,
  access: { type: 'template', action: 'update' },
  auditFailure: { resourceType: 'template_version', action: 'write', param: 'templateversion' },
} as const;
const one = { 200: json(TemplateVersion, 'Version') } as const;
const done = { 200: json(MessageResponse, 'Done') } as const;
const conflict = json(MessageResponse, 'The name is taken');

const create = defineRoute({
  method: 'post',
  path: '/organizations/{organization}/templateversions',
  tags,
  summary: 'Create a version and start its import',
  access: { type: 'template', action: 'create' },
  auditFailure: { resourceType: 'template_version', action: 'create' },
  request: { params: z.object({ organization: organizationRef() }), ...jsonBody(CreateTemplateVersionRequest) },
  responses: { 201: json(TemplateVersion, 'Created; the import is pending'), 409: conflict },
});
const list = defineRoute({
  ...read,
  path: '/templates/{template}/versions',
  summary: 'Versions of a template, oldest first',
  request: {
    params: templateParams,
    query: paged(
      z.object({ ...pageQuery({ default: 1000, maximum: 1000 }), include_archived: queryBoolean().default(false) }),
    ),
  },
  responses: { 200: json(z.array(TemplateVersion), 'A page') },
});
const getOfTemplate = defineRoute({
  ...read,
  path: '/templates/{template}/versions/{templateversionname}',
  summary: 'A version of a template by name',
  request: { params: templateParams.extend({ templateversionname: z.string() }) },
  responses: one,
});
const getByName = defineRoute({
  ...read,
  path: '/organizations/{organization}/templates/{templatename}/versions/{templateversionname}',
  summary: 'A version by names',
  request: { params: namedParams },
  responses: one,
});
const getPrevious = defineRoute({
  ...read,
  path: '/organizations/{organization}/templates/{templatename}/versions/{templateversionname}/previous',
  summary: 'The version before this one',
  request: { params: namedParams },
  responses: one,
});
const getById = defineRoute({
  ...read,
  path: '/templateversions/{templateversion}',
  summary: 'A version',
  request: { params: versionParams },
  responses: one,
});
const patch = defineRoute({
  ...change,
  method: 'patch',
  path: '/templateversions/{templateversion}',
  summary: 'Rename a version or change its note',
  request: {
    params: versionParams,
    ...jsonBody(
      z
        .object({ name: z.string().nullish(), message: plainText().max(1_048_576).nullish() })
        .openapi('PatchTemplateVersionRequest'),
    ),
  },
  responses: { ...one, 409: conflict },
});
const cancel = defineRoute({
  ...change,
  method: 'patch',
  path: '/templateversions/{templateversion}/cancel',
  summary: 'Cancel the import',
  request: { params: versionParams },
  responses: done,
});
/** Clients in languages without absent ids send the nil uuid (and an empty text) for the field that they do not mean. */
const idOrNone = (id: string | null | undefined): string | undefined =>
  id === NIL_UUID ? undefined : (id ?? undefined);

/** A version that the caller may read; NOT_FOUND otherwise. */
export async function readableVersion(c: Context<ApiEnv>, version: VersionView | undefined): Promise<VersionView> {
  if (version === undefined) throw notFound();
  authorizeVersion({ subject: c.var.subject }, 'read', version);
  return version;
}

/** Versions: create, list, rename, cancel. Source: spec/06 §7. */
export function registerTemplateVersionRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const createTemplateVersion = createCreateTemplateVersion(deps);
  const cancelImport = createCancelImport(deps);
  const bodyOf = async (view: VersionView) => (await loadVersionBodies(db, [view]))[0]!;
  const byId = async (c: Context<ApiEnv>, id: string) => readableVersion(c, await findVersionView(db, id));
  const readableTemplate = async (c: Context<ApiEnv>, id: string) => {
    const template = await findTemplate(db, id);
    if (template === undefined || template.deleted) throw notFound();
    authorize(c.var.subject, 'read', templateObject(template));
    return template;
  };
  const byNames = async (c: Context<ApiEnv>, names: z.infer<typeof namedParams>) => {
    const organization = await getOrganizationByRef(db, c.var.subject, names.organization);
    const template = await findTemplateViewByName(db, organization.id, names.templatename);
    if (template === undefined) throw notFound();
    return readableVersion(c, await findVersionViewByName(db, template.id, names.templateversionname));
  };

  app.openapi(create, async (c) => {
    const { subject, origin } = c.var;
    const organization = await getOrganizationByRef(db, subject, c.req.valid('param').organization);
    const body = c.req.valid('json');
    const view = await createTemplateVersion(subject, {
      organizationId: organization.id,
      name: body.name,
      message: body.message,
      templateId: idOrNone(body.template_id),
      fileId: idOrNone(body.file_id),
      exampleId: body.example_id === '' ? undefined : (body.example_id ?? undefined),
      tags: body.tags ?? {},
      userVariableValues: body.user_variable_values ?? [],
      origin,
    });
    const [created] = await loadVersionBodies(db, [view], { matched: 'always' });
    return c.json(created!, 201);
  });
  app.openapi(list, async (c) => {
    const template = await readableTemplate(c, c.req.valid('param').template);
    const { limit, offset, after_id: afterId, include_archived: includeArchived } = c.req.valid('query');
    const views = await listVersionViews(db, template.id, { limit, offset, afterId, includeArchived });
    return c.json(await loadVersionBodies(db, views), 200);
  });
  app.openapi(getOfTemplate, async (c) => {
    const { template: id, templateversionname: name } = c.req.valid('param');
    const template = await readableTemplate(c, id);
    return c.json(await bodyOf(await readableVersion(c, await findVersionViewByName(db, template.id, name))), 200);
  });
  // The longer path first: a version may be named like the last word of another path.
  app.openapi(getPrevious, async (c) => {
    const { id, templateId } = await byNames(c, c.req.valid('param'));
    if (templateId === null) throw notFound();
    return c.json(await bodyOf(await readableVersion(c, await findPreviousVersionView(db, { id, templateId }))), 200);
  });
  app.openapi(getByName, async (c) => c.json(await bodyOf(await byNames(c, c.req.valid('param'))), 200));
  app.openapi(getById, async (c) => c.json(await bodyOf(await byId(c, c.req.valid('param').templateversion)), 200));
  app.openapi(patch, async (c) => {
    const { templateversion: versionId } = c.req.valid('param');
    const { name, message } = c.req.valid('json');
    await updateTemplateVersion(deps, callerOf(c), {
      versionId,
      // An empty name would be none at all; clients send it when they change the note only.
      name: name === '' ? undefined : (name ?? undefined),
      message: message ?? undefined,
    });
    return c.json(await bodyOf(await byId(c, versionId)), 200);
  });
  app.openapi(cancel, async (c) => {
    await cancelImport(callerOf(c), c.req.valid('param').templateversion);
    return c.json({ message: 'The import is being canceled' }, 200);
  });
}
