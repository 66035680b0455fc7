import type { MiddlewareHandler } from 'hono';
import { DomainError } from '../../domain/errors.ts';
import { isSiteOwner } from '../../domain/subject.ts';
import type { Subject } from '../../domain/subject.ts';
import type { ApiEnv, AppDeps } from '../context.ts';

const windowMs = 60_000;
const fixedLimits = { login: 60, upload: 12, identity: 30 } as const;

interface Window {
  startedAt: number;
  count: number;
}

/**
 * Requests per minute and route, per user (per address when signed out or for the login class). Counted in this
 * process: with n replicas behind a balancer a client may reach n times the limit, which is fine for its purpose of
 * keeping one client from starving the others; guessing of passwords is slowed down in the database instead.
 * Source: spec/06 §1, spec/07 §7.
 */
export class RateLimiter {
  readonly #windows = new Map<string, Window>();

  /** Counts one request. `remaining` is negative when it is one too many. */
  take(key: string, limit: number, nowMs: number): { remaining: number; resetAtMs: number } {
    this.#prune(nowMs);
    let window = this.#windows.get(key);
    if (window === undefined || nowMs - window.startedAt >= windowMs) {
      window = { startedAt: nowMs, count: 0 };
      this.#windows.delete(key);
      this.#windows.set(key, window);
    }
    window.count += 1;
    return { remaining: limit - window.count, resetAtMs: window.startedAt + windowMs };
  }

  /** Windows stand in order of their start, so the finished ones are in front. */
  #prune(nowMs: number): void {
    for (const [key, window] of this.#windows) {
      if (nowMs - window.startedAt < windowMs) return;
      this.#windows.delete(key);
    }
  }
}

const limiters = new WeakMap<AppDeps, RateLimiter>();
const limiterOf = (deps: AppDeps) => {
  const limiter = limiters.get(deps) ?? new RateLimiter();
  limiters.set(deps, limiter);
  return limiter;
};

export const limitRate =
  (kind: 'api' | keyof typeof fixedLimits): MiddlewareHandler<ApiEnv> =>
  async (c, next) => {
    const { deps } = c.var;
    const limit = kind === 'api' ? deps.config.CODER_API_RATE_LIMIT : fixedLimits[kind];
    const subject = c.var.subject as Subject | undefined;
    if (c.req.header('X-Coder-Bypass-Ratelimit') === 'true') {
      if (subject === undefined || !isSiteOwner(subject))
        throw new DomainError('BYPASS_REFUSED', 'Only owners may bypass the rate limit');
      return next();
    }
    if (deps.config.CODER_API_RATE_LIMIT === -1) return next();
    const who =
      kind === 'login' || kind === 'identity' || subject === undefined
        ? `ip:${c.var.clientIp ?? ''}`
        : `user:${subject.id}`;
    const nowMs = deps.now().getTime();
    const key = `${who} ${c.req.method} ${c.var.routePattern}`;
    const { remaining, resetAtMs } = limiterOf(deps).take(key, limit, nowMs);
    c.header('X-RateLimit-Limit', String(limit));
    c.header('X-RateLimit-Remaining', String(Math.max(remaining, 0)));
    c.header('X-RateLimit-Reset', String(Math.ceil(resetAtMs / 1000)));
    if (remaining < 0)
      throw new DomainError('RATE_LIMITED', `More than ${limit} requests in a minute`, {
        retryAfterSeconds: (resetAtMs - nowMs) / 1000,
      });
    await next();
  };
