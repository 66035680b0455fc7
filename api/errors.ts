import type { Context, ErrorHandler, NotFoundHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { ZodError, z } from 'zod';
import { sqlState } from '../db/client.ts';
import { DomainError } from '../domain/errors.ts';
import type { ErrorCode, FieldError } from '../domain/errors.ts';
import type { ApiEnv } from './context.ts';

/** The one place where error codes become statuses. Source: spec/06 §1. */
const statuses: Partial<Record<ErrorCode, ContentfulStatusCode>> = {
  INVALID_INPUT: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  NOT_ALLOWED_STATE: 405,
  CONFLICT: 409,
  STATE_DAMAGED: 409,
  GONE: 410,
  EXPECTATION_FAILED: 412,
  TOO_LARGE: 413,
  USER_HAS_WORKSPACES: 417,
  BYPASS_REFUSED: 428,
  RATE_LIMITED: 429,
  NOT_IMPLEMENTED: 501,
  AGENT_FAILED: 502,
  UNAVAILABLE: 503,
  AGENT_TIMEOUT: 504,
};

export const ErrorResponse = z
  .object({
    message: z.string(),
    detail: z.string().optional(),
    validations: z.array(z.object({ field: z.string(), detail: z.string() })).optional(),
  })
  .openapi('Response', { description: 'Error body, and the body of plain success texts.' });

export interface ErrorBody {
  message: string;
  detail?: string;
  validations?: FieldError[];
}

export interface HttpError {
  readonly status: ContentfulStatusCode;
  readonly body: ErrorBody;
  readonly headers: Record<string, string>;
  /** Not foreseen by anyone: logged with its stack, answered without its text. */
  readonly unexpected: boolean;
}

const known = (status: ContentfulStatusCode, body: ErrorBody, headers: Record<string, string> = {}): HttpError => ({
  status,
  body,
  headers,
  unexpected: false,
});

/** Dotted path of each issue; an issue of the whole body names no field. */
export function zodValidations(error: Pick<ZodError, 'issues'>): FieldError[] {
  return error.issues.map((issue) => ({ field: issue.path.map(String).join('.'), detail: issue.message }));
}

export const invalidRequest = (validations: FieldError[]): ErrorBody => ({
  message: 'The request is not valid',
  validations,
});

/** Connection loss, shutdown and resource exhaustion of PostgreSQL: the client may try again. */
const isDatabaseDown = (err: unknown): boolean => {
  const state = sqlState(err);
  if (state !== undefined && /^(08|53|57P)/.test(state)) return true;
  for (let cause: unknown = err; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause ? cause.code : undefined;
    if (
      code === 'ECONNREFUSED' ||
      code === 'ECONNRESET' ||
      code === 'CONNECTION_CLOSED' ||
      code === 'CONNECTION_ENDED' ||
      code === 'CONNECTION_DESTROYED' ||
      code === 'CONNECT_TIMEOUT'
    )
      return true;
  }
  return false;
};

/** Any thrown value as status and body. Unknown errors become 500 with the request id and nothing else. */
export function toHttpError(err: unknown, requestId: string): HttpError {
  if (err instanceof DomainError) {
    const status = statuses[err.code];
    if (status !== undefined) {
      const retryAfter = err.retryAfterSeconds ?? (status === 503 ? 1 : undefined);
      return known(
        status,
        {
          message: err.message,
          ...(err.detail !== undefined && { detail: err.detail }),
          ...(err.validations.length > 0 && { validations: [...err.validations] }),
        },
        retryAfter === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(retryAfter))) },
      );
    }
  }
  if (err instanceof ZodError) return known(400, invalidRequest(zodValidations(err)));
  if (err instanceof HTTPException)
    return known(err.status, { message: err.message === '' ? 'The request is not valid' : err.message });
  if (isDatabaseDown(err))
    return {
      ...known(503, { message: 'The database does not answer, try again', detail: requestId }, { 'Retry-After': '1' }),
      unexpected: true,
    };
  // Text that PostgreSQL cannot store (a NUL) came from the request, whatever field it was in.
  if (sqlState(err) === '22021' || sqlState(err) === '22P05')
    return known(400, { message: 'The request contains characters that cannot be stored' });
  return {
    status: 500,
    body: { message: 'An internal error occurred', detail: requestId },
    headers: {},
    unexpected: true,
  };
}

export function respondError(c: Context<ApiEnv>, err: unknown): Response {
  const error = toHttpError(err, c.var.requestId);
  if (error.unexpected) c.var.logger.error({ err }, 'request failed');
  for (const [name, value] of Object.entries(error.headers)) c.header(name, value);
  return c.json(error.body, error.status);
}

export const handleError: ErrorHandler<ApiEnv> = (err, c) => respondError(c, err);
export const handleNotFound: NotFoundHandler<ApiEnv> = (c) =>
  c.json({ message: 'Route not found', detail: `${c.req.method} ${c.req.path}` }, 404);
