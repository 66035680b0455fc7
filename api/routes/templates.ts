import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { createTemplate } from '../../commands/create-template.ts';
import { deleteTemplate } from '../../commands/delete-template.ts';
import { invalidatePresets } from '../../commands/invalidate-presets.ts';
import { updateTemplate } from '../../commands/update-template.ts';
import { getOrganizationByRef } from '../../db/queries/organizations.ts';
import { findTemplateViewById, findTemplateViewByName, listTemplateViews } from '../../db/queries/templates.ts';
import type { TemplateView } from '../../db/queries/templates.ts';
import { authorize, isAllowed, templateObject } from '../../domain/authorization.ts';
import { DomainError, notFound } from '../../domain/errors.ts';
import { parseTemplateSearch } from '../../domain/template-search.ts';
import { listExamples } from '../../terraform/examples.ts';
import { createBuildTimes } from '../build-times.ts';
import { callerOf } from '../context.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { createActiveUsers } from '../daily-activity.ts';
import { etagResponse } from '../etag.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, organizationRef, uuid } from '../schemas.ts';
import { CreateTemplateRequest, UpdateTemplateRequest, createSettings, patchSettings } from '../template-requests.ts';
import { Template, templateView } from '../views/template.ts';

const TemplateExample = z
  .object({
    id: z.string(),
    url: z.string(),
    name: z.string(),
    description: z.string(),
    icon: z.string(),
    tags: z.array(z.string()),
    markdown: z.string(),
  })
  .openapi('TemplateExample');
const InvalidatedPresets = z
  .object({
    invalidated: z.array(
      z.object({ template_name: z.string(), template_version_name: z.string(), preset_name: z.string() }),
    ),
  })
  .openapi('InvalidatePresetsResponse');
export type InvalidatedPresetsBody = z.infer<typeof InvalidatedPresets>;

const tags = ['Templates'];
const organizationParams = z.object({ organization: organizationRef() });
const params = z.object({ template: uuid() });
const read = { method: 'get', tags, access: { type: 'template', action: 'read' } } as const;
const search = z.object({ q: z.string().max(2000).default('') });
const conflict = json(MessageResponse, 'The name is taken');

const create = defineRoute({
  method: 'post',
  path: '/organizations/{organization}/templates',
  tags,
  summary: 'Create a template of an imported version',
  access: { type: 'template', action: 'create' },
  auditFailure: { resourceType: 'template', action: 'create' },
  request: { params: organizationParams, ...jsonBody(CreateTemplateRequest) },
  responses: { 201: json(Template, 'Created'), 409: conflict },
});
const listAll = defineRoute({
  ...read,
  path: '/templates',
  summary: 'Templates that the caller may read',
  request: { query: search },
  responses: { 200: json(z.array(Template), 'Templates') },
});
const listOfOrganization = defineRoute({
  ...read,
  path: '/organizations/{organization}/templates',
  summary: 'Templates of an organization',
  request: { params: organizationParams, query: search },
  responses: { 200: json(z.array(Template), 'Templates') },
});
const examples = defineRoute({
  ...read,
  path: '/templates/examples',
  summary: 'Templates that ship with this release',
  access: { type: 'template', action: 'create' },
  responses: { 200: json(z.array(TemplateExample), 'Examples') },
});
const single = { 200: json(Template, 'Template'), 304: { description: 'Not modified' } } as const;
const getByName = defineRoute({
  ...read,
  path: '/organizations/{organization}/templates/{templatename}',
  summary: 'A template by name',
  request: { params: organizationParams.extend({ templatename: z.string() }) },
  responses: single,
});
const getById = defineRoute({
  ...read,
  path: '/templates/{template}',
  summary: 'A template',
  request: { params },
  responses: single,
});
const patch = defineRoute({
  method: 'patch',
  path: '/templates/{template}',
  tags,
  summary: 'Change a template; what is left out stays as it is',
  access: { type: 'template', action: 'update' },
  auditFailure: { resourceType: 'template', action: 'write', param: 'template' },
  request: { params, ...jsonBody(UpdateTemplateRequest) },
  responses: { 200: json(Template, 'Changed'), 304: { description: 'Nothing to change' }, 409: conflict },
});
const remove = defineRoute({
  method: 'delete',
  path: '/templates/{template}',
  tags,
  summary: 'Delete a template that nobody uses',
  access: { type: 'template', action: 'delete' },
  auditFailure: { resourceType: 'template', action: 'delete', param: 'template' },
  request: { params },
  responses: { 200: json(MessageResponse, 'Deleted') },
});
const invalidate = defineRoute({
  method: 'post',
  path: '/templates/{template}/prebuilds/invalidate',
  tags,
  summary: 'Declare the prebuilds of the active version outdated',
  access: { type: 'template', action: 'update' },
  auditFailure: { resourceType: 'template', action: 'write', param: 'template' },
  request: { params },
  responses: { 200: json(InvalidatedPresets, 'Presets') },
});

/** Templates and their settings. Source: spec/06 §6. */
export function registerTemplateRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const buildTimes = createBuildTimes(deps);
  const activeUsers = createActiveUsers(deps);
  const bodies = async (rows: readonly TemplateView[]) => {
    const ids = rows.map(({ id }) => id);
    const [times, active] = await Promise.all([buildTimes(ids), activeUsers(ids)]);
    return rows.map((row) => templateView(row, { buildTimes: times, activeUsers: active }));
  };
  /** Body of a live template that the caller may read; NOT_FOUND otherwise. */
  const readable = async (c: Context<ApiEnv>, row: TemplateView | undefined) => {
    if (row === undefined || row.deleted) throw notFound();
    authorize(c.var.subject, 'read', templateObject(row));
    const [body] = await bodies([row]);
    return body!;
  };

  app.openapi(create, async (c) => {
    const organization = await getOrganizationByRef(db, c.var.subject, c.req.valid('param').organization);
    const body = c.req.valid('json');
    const id = await createTemplate(deps, callerOf(c), {
      organizationId: organization.id,
      versionId: body.template_version_id,
      settings: createSettings(body),
      disableEveryoneGroupAccess: body.disable_everyone_group_access ?? false,
    });
    return c.json(await readable(c, await findTemplateViewById(db, id)), 201);
  });
  app.openapi(listAll, async (c) => {
    const { subject } = c.var;
    const filter = parseTemplateSearch(c.req.valid('query').q, subject.id);
    return c.json(await bodies(await listTemplateViews(db, subject, filter)), 200);
  });
  app.openapi(examples, async (c) => {
    const { subject } = c.var;
    const mayAuthor = [undefined, ...Object.keys(subject.organizations)].some((organizationId) =>
      isAllowed(subject, 'create', { type: 'template', ...(organizationId !== undefined && { organizationId }) }),
    );
    if (!mayAuthor) throw new DomainError('FORBIDDEN', 'You may not author templates');
    const found = await listExamples();
    return c.json(
      found.map(({ tags: words, ...example }) => ({ ...example, url: '', tags: [...words] })),
      200,
    );
  });
  app.openapi(listOfOrganization, async (c) => {
    const { subject } = c.var;
    const organization = await getOrganizationByRef(db, subject, c.req.valid('param').organization);
    const filter = { ...parseTemplateSearch(c.req.valid('query').q, subject.id), organization: organization.id };
    return c.json(await bodies(await listTemplateViews(db, subject, filter)), 200);
  });
  app.openapi(getByName, async (c) => {
    const { organization, templatename } = c.req.valid('param');
    const { id } = await getOrganizationByRef(db, c.var.subject, organization);
    return etagResponse(c, await readable(c, await findTemplateViewByName(db, id, templatename)));
  });
  app.openapi(getById, async (c) =>
    etagResponse(c, await readable(c, await findTemplateViewById(db, c.req.valid('param').template))),
  );
  app.openapi(patch, async (c) => {
    const { template: templateId } = c.req.valid('param');
    const body = c.req.valid('json');
    const zeroFill = deps.config.CODER_TEMPLATE_PATCH_ZERO_FILL;
    const changed = await updateTemplate(deps, callerOf(c), {
      templateId,
      settings: patchSettings(body),
      disableEveryoneGroupAccess: body.disable_everyone_group_access ?? false,
      updateWorkspaceLastUsedAt: body.update_workspace_last_used_at ?? false,
      updateWorkspaceDormantAt: body.update_workspace_dormant_at ?? false,
      zeroFill,
    });
    if (!changed) return c.body(null, 304);
    return c.json(await readable(c, await findTemplateViewById(db, templateId)), 200);
  });
  app.openapi(remove, async (c) => {
    await deleteTemplate(deps, callerOf(c), c.req.valid('param').template);
    return c.json({ message: 'The template has been deleted' }, 200);
  });
  app.openapi(invalidate, async (c) => {
    const invalidated = await invalidatePresets(deps, callerOf(c), c.req.valid('param').template);
    return c.json(
      {
        invalidated: invalidated.map((each) => ({
          template_name: each.templateName,
          template_version_name: each.templateVersionName,
          preset_name: each.presetName,
        })),
      },
      200,
    );
  });
}
