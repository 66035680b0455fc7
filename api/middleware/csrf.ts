import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie } from 'hono/cookie';
import { DomainError } from '../../domain/errors.ts';
import type { ApiEnv } from '../context.ts';

export const csrfCookie = 'csrf_token';
export const sessionCookie = 'coder_session_token';

/** Bound to the session: whoever cannot read the session cookie can neither read nor compute this. */
export const csrfTokenOf = (sessionToken: string): string =>
  createHmac('sha256', sessionToken).update('berth-csrf-v1').digest('base64url');

const equal = (left: string, right: string) =>
  left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right));

const hostOf = (url: string): string | undefined => {
  try {
    return new URL(url).host;
  } catch {
    return undefined;
  }
};

/** Same origin as the access URL or as the address the client used. */
function isSameOrigin(c: Context<ApiEnv>, origin: string): boolean {
  const host = hostOf(origin);
  return host !== undefined && (host === hostOf(c.var.deps.config.CODER_ACCESS_URL) || host === c.req.header('Host'));
}

/**
 * A cookie is sent by the browser whoever made the page, so an unsafe method needs a proof that the page is ours, and a
 * WebSocket an `Origin` of ours. Other carriers need neither. Source: spec/07 §7, spec/06 §1.1.
 */
export const requireCsrfProof =
  (options: { webSocket: boolean }): MiddlewareHandler<ApiEnv> =>
  async (c, next) => {
    if (c.var.session?.carrier !== 'cookie') return next();
    const origin = c.req.header('Origin');
    if (options.webSocket && c.req.header('Upgrade')?.toLowerCase() === 'websocket') {
      if (origin === undefined || !isSameOrigin(c, origin))
        throw new DomainError('FORBIDDEN', 'WebSocket connections from other origins are refused');
      return next();
    }
    if (c.req.method === 'GET' || c.req.method === 'HEAD' || c.req.method === 'OPTIONS') return next();
    const session = getCookie(c, sessionCookie) ?? '';
    const proof = c.req.header('X-CSRF-Token');
    const proven =
      proof !== undefined && equal(proof, csrfTokenOf(session)) && equal(proof, getCookie(c, csrfCookie) ?? '');
    const site = c.req.header('Sec-Fetch-Site');
    const foreign =
      (origin !== undefined && !isSameOrigin(c, origin)) ||
      (site !== undefined && site !== 'same-origin' && site !== 'none');
    if (!proven || foreign)
      throw new DomainError('INVALID_INPUT', 'The CSRF proof is missing or wrong', {
        detail: 'send the value of the csrf_token cookie as X-CSRF-Token, or the token itself as Coder-Session-Token',
      });
    await next();
  };
