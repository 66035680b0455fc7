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

/**
 * Headers of every response; a route may replace them. They are set before it answers: afterwards each answer would have to be
 * copied. No CORS headers: other origins read nothing. Source: spec/07 §7.
 */
export const securityHeaders: MiddlewareHandler<ApiEnv> = (c, next) => {
  c.header('X-Content-Type-Options', 'nosniff');
  c.header('Referrer-Policy', 'strict-origin-when-cross-origin');
  c.header('Cross-Origin-Opener-Policy', 'same-origin');
  c.header('Content-Security-Policy', policy);
  const hsts = c.get('deps').config.CODER_STRICT_TRANSPORT_SECURITY;
  if (hsts > 0) c.header('Strict-Transport-Security', `max-age=${hsts}`);
  if (c.req.path.startsWith('/api/')) c.header('Cache-Control', 'no-store');
  return next();
};
