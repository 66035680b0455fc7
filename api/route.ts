import { createRoute } from '@hono/zod-openapi';
import type { RouteConfig } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import type { Action, ResourceType } from '../domain/permissions.ts';
import type { ApiEnv } from './context.ts';
import { admit } from './middleware/admit.ts';
import type { AgentRate } from './middleware/agent-rate.ts';

/**
 * Who may call a route. `{ type, action }` names the permission that the command or query behind it checks; the gate
 * itself refuses keys whose scopes do not cover it. `signed-in`: any user, each sees only his own or readable rows.
 */
export type Access = 'public' | 'signed-in' | 'agent' | { readonly type: ResourceType; readonly action: Action };

export interface RoutePolicy {
  /** No default: a route without an authorization decision does not compile. */
  readonly access: Access;
  /** `login` 60/min, `identity` 30/min and `upload` 12/min instead of the general limit; `none` for probes. */
  readonly rateLimit?: 'api' | 'login' | 'upload' | 'identity' | 'none';
  /** Limit of a route with `access: 'agent'`, per agent; default `reports`. */
  readonly agentRate?: AgentRate;
  /** Asks the database who the agent is, not the memory: for what hands out secrets or changes agents (spec/05 §2). */
  readonly freshAgent?: boolean;
  /** Largest request body in bytes, default 1 MiB. */
  readonly maxBodyBytes?: number;
  /** Streams have no time limit and take the token from the query as well (spec/06 §1.1). */
  readonly stream?: boolean;
  /** Writes an audit row when the request fails after authorization; success rows belong to the command. */
  readonly auditFailure?: AuditedFailure;
  /** Path as given, without `/api/v2` in front. */
  readonly root?: boolean;
}

export interface AuditedFailure {
  readonly resourceType: string;
  readonly action: 'create' | 'write' | 'delete' | 'start' | 'stop';
  /** Path parameter that names the resource. */
  readonly param?: string;
}

export type BerthRoute = Omit<RouteConfig, 'tags'> & RoutePolicy & { readonly tags?: readonly string[] };
/** What `app.openapi` takes; the literal types of path and responses are kept. */
export type DefinedRoute<R extends BerthRoute> = Omit<R, 'tags'> & { tags?: string[]; getRoutingPath(): string };

/** Answers that many routes share; they stand once in the document and are referred to by name. */
export const commonResponses = {
  InvalidInput: 'Invalid input',
  Unauthenticated: 'No or bad credentials',
  Forbidden: 'Known, but not allowed',
  NotFound: 'Missing or not readable',
  RateLimited: 'Too many requests; see Retry-After',
  InternalError: 'Internal error',
  Unavailable: 'Temporarily unavailable; see Retry-After',
};
const refer = (name: keyof typeof commonResponses) => ({ $ref: `#/components/responses/${name}` });
const errorsFor = (access: Access) => ({
  400: refer('InvalidInput'),
  ...(access !== 'public' && { 401: refer('Unauthenticated'), 403: refer('Forbidden') }),
  404: refer('NotFound'),
  429: refer('RateLimited'),
  500: refer('InternalError'),
  503: refer('Unavailable'),
});

export const routePrefix = '/api/v2';
const security = { agent: [{ agentToken: [] }], user: [{ sessionToken: [] }, { bearer: [] }, { cookie: [] }] };

/** As written into the document, and read back by the route-walk test. */
export const describeAccess = (access: Access): string =>
  typeof access === 'string' ? access : `${access.type}:${access.action}`;

/**
 * `createRoute` with an authorization declaration that cannot be left out. It adds authentication, rate limit, body
 * limit, CSRF check and time limit as the policy says, documents the access as `x-berth-access`, and the common error
 * responses. The type of the route is kept, so handlers stay typed by their own responses.
 */
export function defineRoute<const R extends BerthRoute>(route: R): DefinedRoute<R> {
  const { access, rateLimit = 'api', maxBodyBytes, stream = false, auditFailure, root = false, ...rest } = route;
  const { agentRate = 'reports', freshAgent = false, ...config } = rest;
  const middleware: MiddlewareHandler<ApiEnv>[] = admit({
    access,
    rateLimit,
    maxBodyBytes: maxBodyBytes ?? 1_048_576,
    stream,
    auditFailure,
    agentRate,
    freshAgent,
    readsJson: config.request?.body !== undefined && 'application/json' in config.request.body.content,
  });
  const full = {
    ...config,
    path: root ? config.path : `${routePrefix}${config.path}`,
    middleware,
    security: access === 'public' ? [] : access === 'agent' ? security.agent : security.user,
    responses: { ...errorsFor(access), ...config.responses },
    'x-berth-access': describeAccess(access),
  };
  return createRoute(full as unknown as RouteConfig) as unknown as DefinedRoute<R>;
}
