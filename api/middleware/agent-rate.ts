import type { MiddlewareHandler } from 'hono';
import { DomainError } from '../../domain/errors.ts';
import { RecentMap } from '../../ingest/recent-map.ts';
import type { ApiEnv, AppDeps } from '../context.ts';

/** Requests of one agent, per second and at once. Source: spec/05 §17. */
const limits = {
  reports: { perSecond: 20, burst: 100 },
  logs: { perSecond: 10, burst: 100 },
  'app-status': { perSecond: 2, burst: 10 },
  'sub-agents': { perSecond: 1, burst: 50 },
  secrets: { perSecond: 2, burst: 10 },
} as const;
export type AgentRate = keyof typeof limits;
/** Bytes of log requests: 4 MiB in a minute. */
const logBytes = { perSecond: (4 * 1024 * 1024) / 60, burst: 4 * 1024 * 1024 };
const failures = { perSecond: 20, burst: 100 };

interface Bucket {
  tokens: number;
  at: number;
}

/** Token buckets, the least used forgotten: who was forgotten begins with a full one. */
export class TokenBuckets {
  readonly #buckets = new RecentMap<string, Bucket>(100_000);

  /** Seconds until so many tokens are there; 0 = taken. */
  take(key: string, limit: { perSecond: number; burst: number }, now: { ms: number; count?: number }): number {
    const { ms, count = 1 } = now;
    const bucket = this.#buckets.get(key) ?? { tokens: limit.burst, at: ms };
    const tokens = Math.min(limit.burst, bucket.tokens + ((ms - bucket.at) / 1_000) * limit.perSecond);
    const taken = tokens >= count;
    this.#buckets.set(key, { tokens: taken ? tokens - count : tokens, at: ms });
    return taken ? 0 : (count - tokens) / limit.perSecond;
  }
}

const buckets = new WeakMap<AppDeps, TokenBuckets>();
const bucketsOf = (deps: AppDeps): TokenBuckets => {
  const found = buckets.get(deps) ?? new TokenBuckets();
  buckets.set(deps, found);
  return found;
};

function require(deps: AppDeps, key: string, limit: { perSecond: number; burst: number }, count = 1): void {
  if (deps.config.CODER_API_RATE_LIMIT === -1) return;
  const wait = bucketsOf(deps).take(key, limit, { ms: deps.now().getTime(), count });
  if (wait > 0) throw new DomainError('RATE_LIMITED', 'Too many requests of this agent', { retryAfterSeconds: wait });
}

export const limitAgentRate =
  (kind: AgentRate): MiddlewareHandler<ApiEnv> =>
  async (c, next) => {
    const [deps, agent] = [c.get('deps'), c.get('agent')];
    require(deps, `${kind} ${agent.agentId}`, limits[kind]);
    if (kind === 'logs')
      require(deps, `bytes ${agent.agentId}`, logBytes, Math.min(
        Number(c.req.header('Content-Length') ?? 0),
        1_048_576,
      ));
    await next();
  };

/** Bad agent tokens from one address. Throws RATE_LIMITED above 20 a second. */
export const countFailedAgent = (deps: AppDeps, ip: string | null): void =>
  require(deps, `failed ${ip ?? ''}`, failures);
