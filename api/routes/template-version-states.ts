import { z } from '@hono/zod-openapi';
import { archiveTemplateVersions, setVersionArchived } from '../../commands/archive-template-versions.ts';
import { promoteTemplateVersion } from '../../commands/promote-template-version.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, uuid } from '../schemas.ts';

const versionParams = z.object({ templateversion: uuid() });
const templateParams = z.object({ template: uuid() });
const change = {
  tags: ['Template versions'],
  access: { type: 'template', action: 'update' },
  auditFailure: { resourceType: 'template_version', action: 'write', param: 'templateversion' },
} as const;
const done = { 200: json(MessageResponse, 'Done') } as const;

const promote = defineRoute({
  ...change,
  auditFailure: { resourceType: 'template', action: 'write', param: 'template' },
  method: 'patch',
  path: '/templates/{template}/versions',
  summary: 'Make a version the active one',
  request: { params: templateParams, ...jsonBody(z.object({ id: uuid() }).openapi('UpdateActiveTemplateVersion')) },
  responses: done,
});
const archiveAll = defineRoute({
  ...change,
  auditFailure: { resourceType: 'template', action: 'write', param: 'template' },
  method: 'post',
  path: '/templates/{template}/versions/archive',
  summary: 'Archive versions that nothing uses',
  request: {
    params: templateParams,
    ...jsonBody(z.object({ all: z.boolean().default(false) }).openapi('ArchiveTemplateVersionsRequest')),
  },
  responses: {
    200: json(
      z
        .object({ template_id: z.string(), archived_ids: z.array(z.string()) })
        .openapi('ArchiveTemplateVersionsResponse'),
      'What was archived',
    ),
  },
});
const archive = defineRoute({
  ...change,
  method: 'post',
  path: '/templateversions/{templateversion}/archive',
  summary: 'Archive a version',
  request: { params: versionParams },
  responses: done,
});
const unarchive = defineRoute({
  ...change,
  method: 'post',
  path: '/templateversions/{templateversion}/unarchive',
  summary: 'Take a version out of the archive',
  request: { params: versionParams },
  responses: done,
});

/** Which version is active and which are put away. Source: spec/06 §6, §6.2, §7. */
export function registerTemplateVersionStateRoutes(app: App, deps: AppDeps): void {
  app.openapi(promote, async (c) => {
    const { template: templateId } = c.req.valid('param');
    await promoteTemplateVersion(deps, callerOf(c), { templateId, versionId: c.req.valid('json').id });
    return c.json({ message: 'The version is active now' }, 200);
  });
  app.openapi(archiveAll, async (c) => {
    const { template: templateId } = c.req.valid('param');
    const { all } = c.req.valid('json');
    const archived = await archiveTemplateVersions(deps, callerOf(c), { templateId, all });
    return c.json({ template_id: templateId, archived_ids: archived }, 200);
  });
  app.openapi(archive, async (c) => {
    const { templateversion: versionId } = c.req.valid('param');
    await setVersionArchived(deps, callerOf(c), { versionId, archived: true });
    return c.json({ message: 'The version is archived' }, 200);
  });
  app.openapi(unarchive, async (c) => {
    const { templateversion: versionId } = c.req.valid('param');
    await setVersionArchived(deps, callerOf(c), { versionId, archived: false });
    return c.json({ message: 'The version is out of the archive' }, 200);
  });
}
