import type { Context } from 'hono';
import type { IdempotentRequest } from '../commands/idempotency.ts';
import type { ApiEnv } from './context.ts';

/** The `Idempotency-Key` of a request, if it carries one; the route and body make it mean one thing only. */
export function idempotency(c: Context<ApiEnv>, body: unknown): IdempotentRequest | undefined {
  const key = c.req.header('Idempotency-Key');
  return key === undefined
    ? undefined
    : { userId: c.var.subject.id, key, route: `${c.req.method} ${c.req.path}`, body, now: c.var.deps.now() };
}
