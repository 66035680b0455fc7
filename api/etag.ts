import type { Context } from 'hono';
import { createHash } from 'node:crypto';
import type { ApiEnv } from './context.ts';

/** Answers JSON with a strong ETag of its bytes, or 304 when the client has them already (spec/06 §1 "Caching"). */
export function etagResponse<T extends object>(c: Context<ApiEnv>, body: T) {
  const text = JSON.stringify(body);
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`;
  c.header('ETag', etag);
  c.header('Cache-Control', 'private, no-cache');
  const known = (c.req.header('If-None-Match') ?? '').split(',').map((value) => value.trim());
  if (known.includes(etag) || known.includes('*')) return c.body(null, 304);
  return c.json(body, 200);
}
