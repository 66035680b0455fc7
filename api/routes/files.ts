import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { authorizeFile, uploadFile } from '../../commands/upload-file.ts';
import { getFile } from '../../db/queries/files.ts';
import { notFound } from '../../domain/errors.ts';
import { tarToZip } from '../../terraform/archive.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, uuid } from '../schemas.ts';

const maxUploadBytes = 104_857_600;
const binary = () => z.string().openapi({ format: 'binary' });
const UploadResponse = z
  .object({ hash: z.string().openapi({ format: 'uuid', description: 'id of the file' }) })
  .openapi('UploadResponse');

const upload = defineRoute({
  method: 'post',
  path: '/files',
  tags: ['Files'],
  summary: 'Upload a template archive',
  description: 'A tar is kept as it is, a zip is converted. The same bytes by the same user are stored once.',
  access: { type: 'file', action: 'create' },
  rateLimit: 'upload',
  maxBodyBytes: maxUploadBytes,
  request: {
    body: {
      required: true,
      content: {
        'application/x-tar': { schema: binary() },
        'application/zip': { schema: binary() },
        'application/x-zip-compressed': { schema: binary() },
      },
    },
  },
  responses: {
    200: json(UploadResponse, 'Known already'),
    201: json(UploadResponse, 'Stored'),
    413: json(MessageResponse, 'Larger than 100 MiB'),
  },
});
const download = defineRoute({
  method: 'get',
  path: '/files/{fileID}',
  tags: ['Files'],
  summary: 'Download a template archive',
  access: { type: 'file', action: 'read' },
  request: {
    params: z.object({ fileID: uuid() }),
    query: z.object({ format: z.enum(['', 'zip']).default('') }),
  },
  responses: {
    200: {
      description: 'The archive',
      content: { 'application/x-tar': { schema: binary() }, 'application/zip': { schema: binary() } },
    },
    304: { description: 'Not modified' },
  },
});

/** Bytes that never change under their ETag: it is the content's own hash. */
async function archiveResponse(c: Context<ApiEnv>, file: { data: Buffer; hash: string }, zip: boolean) {
  const etag = zip ? `"${file.hash}-zip"` : `"${file.hash}"`;
  c.header('ETag', etag);
  c.header('Cache-Control', 'private, no-cache');
  const known = (c.req.header('If-None-Match') ?? '').split(',').map((value) => value.trim());
  if (known.includes(etag) || known.includes('*')) return c.body(null, 304);
  const bytes = zip ? await tarToZip(file.data) : file.data;
  return c.body(new Uint8Array(bytes), 200, { 'Content-Type': zip ? 'application/zip' : 'application/x-tar' });
}

/** Template archives. Source: spec/06 §5. */
export function registerFileRoutes(app: App, deps: AppDeps): void {
  app.openapi(upload, async (c) => {
    const bytes = Buffer.from(await c.req.arrayBuffer());
    const stored = await uploadFile(deps, c.var.subject, { bytes, mimetype: c.req.header('Content-Type') ?? '' });
    return c.json({ hash: stored.id }, stored.created ? 201 : 200);
  });
  app.openapi(download, async (c) => {
    const { fileID } = c.req.valid('param');
    await authorizeFile(deps.db, c.var.subject, fileID);
    const file = await getFile(deps.db, fileID);
    if (file === undefined) throw notFound();
    return archiveResponse(c, file, c.req.valid('query').format === 'zip');
  });
}
