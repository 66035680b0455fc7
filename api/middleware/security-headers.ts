import type { MiddlewareHandler } from 'hono';
import type { ApiEnv } from '../context.ts';

/** The API answers JSON only; nothing on it may be framed or load anything. */
const policy = [
  "default-src 'self'",
  "base-uri 'self'",
  "object-src 'none'",
  "frame-ancestors 'none'",
  "form-action 'self'",
].join('; ');
/** The docs page sets styles from its own script; scripts and requests stay on this host. */
export const docsPolicy = `${policy}; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'`;

/** Headers of every response. No CORS headers: other origins read nothing. Source: spec/07 §7. */
export const securityHeaders: MiddlewareHandler<ApiEnv> = async (c, next) => {
  await next();
  const { headers } = c.res;
  headers.set('X-Content-Type-Options', 'nosniff');
  headers.set('Referrer-Policy', 'strict-origin-when-cross-origin');
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  if (!headers.has('Content-Security-Policy')) headers.set('Content-Security-Policy', policy);
  const hsts = c.var.deps.config.CODER_STRICT_TRANSPORT_SECURITY;
  if (hsts > 0) headers.set('Strict-Transport-Security', `max-age=${hsts}`);
  if (!headers.has('Cache-Control') && c.req.path.startsWith('/api/'))
    headers.set('Cache-Control', headers.has('ETag') ? 'private, no-cache' : 'no-store');
};
