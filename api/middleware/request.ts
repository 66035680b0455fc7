import { randomUUID } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { routePath } from 'hono/route';
import { isUuid } from '../../domain/ids.ts';
import type { ApiEnv, AppDeps } from '../context.ts';
import { version } from '../version.ts';
import { createClientIp } from './client-ip.ts';

const agentPaths = '/api/v2/workspaceagents/me/';
const quiet = new Set(['/healthz', '/readyz', '/metrics']);

/**
 * First middleware of every request: dependencies, request id (the client's is kept only when it is a uuid), address,
 * logger; at the end one access line and the HTTP metrics. Paths are logged without their query, so a token in it never
 * reaches a log. Source: spec/06 §1, spec/08 §2.
 */
export function beginRequest(deps: AppDeps): MiddlewareHandler<ApiEnv> {
  const clientIp = createClientIp({
    trustedOrigins: deps.config.CODER_PROXY_TRUSTED_ORIGINS,
    trustedHeaders: deps.config.CODER_PROXY_TRUSTED_HEADERS,
  });
  return async (c, next) => {
    const startedAt = performance.now();
    const asked = c.req.header('X-Coder-Request-Id') ?? c.req.header('X-Request-Id') ?? '';
    const requestId = isUuid(asked) ? asked.toLowerCase() : randomUUID();
    const peer = (c.env as ApiEnv['Bindings'] | undefined)?.incoming?.socket?.remoteAddress;
    const ip = clientIp(peer, (name) => c.req.header(name));
    c.set('deps', deps);
    c.set('requestId', requestId);
    c.set('clientIp', ip);
    c.set('logger', deps.logger.child({ request_id: requestId }));
    c.set('origin', { requestId, ip, userAgent: c.req.header('User-Agent') ?? '', userId: null, actor: '' });
    c.set('routePattern', 'unmatched');
    // Before it is answered: afterwards each answer would have to be copied.
    c.header('X-Coder-Request-Id', requestId);
    c.header('X-Coder-Build-Version', version);
    deps.metrics.concurrentRequests.inc();
    try {
      await next();
    } finally {
      deps.metrics.concurrentRequests.dec();
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const { status } = c.res;
    const path = c.get('routePattern');
    deps.metrics.requests.inc({ code: String(status), method: c.req.method, path });
    deps.metrics.requestSeconds.observe({ method: c.req.method, path }, seconds);
    if (quiet.has(c.req.path)) return;
    const line = { method: c.req.method, path: c.req.path, status, duration_ms: Math.round(seconds * 1000), ip };
    if (status >= 500) c.get('logger').error(line, 'request');
    // Agents report all the time; what goes well is counted, not told.
    else if (status < 400 && c.req.path.startsWith(agentPaths)) c.get('logger').debug(line, 'request');
    else c.get('logger').info(line, 'request');
  };
}

/** Second middleware: the pattern of the route that will answer, before it does. */
export const noteRoute: MiddlewareHandler<ApiEnv> = async (c, next) => {
  const pattern = routePath(c, -1);
  c.set('routePattern', pattern === '/*' || pattern === '*' ? 'unmatched' : pattern);
  await next();
};
