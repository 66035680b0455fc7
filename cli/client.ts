import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { CliError, exitCodes } from './errors.ts';
import type { Validation } from './errors.ts';

export interface ClientOptions {
  /** Without a path, e.g. `http://127.0.0.1:3000`. */
  readonly url: string;
  /** Undefined: only public routes can be asked. */
  readonly token: string | undefined;
  /** How long a request that may be repeated is tried again while nobody answers. */
  readonly patienceMs?: number;
}
export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly json?: unknown;
  readonly raw?: { readonly type: string; readonly bytes: Uint8Array };
  /** One per intended effect: a repeated request with the same key does nothing twice (spec/06 §1). */
  readonly idempotencyKey?: string;
  readonly timeoutMs?: number;
  /** The answer's body as the bytes that were sent, for what must not be parsed and printed again. */
  readonly bytes?: boolean;
}
export interface Client {
  readonly url: string;
  readonly token: string | undefined;
  /** The answer's body; undefined for 204 and 304. Throws CliError. */
  request<Body>(path: string, call?: Call): Promise<Body>;
  get<Body>(path: string): Promise<Body>;
  /** GET of a document byte by byte. */
  download(path: string): Promise<Buffer>;
  /** GET that takes "missing, or not yours to see" (404) and "deleted" (410) for an answer. */
  find<Body>(path: string): Promise<Body | undefined>;
}

const defaultPatienceMs = 5_000;

/** `a/b` as one path segment. */
export const segment = (text: string): string => encodeURIComponent(text);

/**
 * Our API over fetch. Reads, and writes that carry an idempotency key, are repeated for a few seconds while the server
 * refuses connections or is not ready (a restart); no other write ever is, for it may have happened.
 */
export function createClient({ url, token, patienceMs = defaultPatienceMs }: ClientOptions): Client {
  const base = url.replace(/\/+$/, '');
  async function request<Body>(path: string, call: Call = {}): Promise<Body> {
    const { method = 'GET' } = call;
    const repeatable = method === 'GET' || call.idempotencyKey !== undefined;
    const until = Date.now() + patienceMs;
    for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      const outcome = await attempt(base, path, { token, ...call });
      if (outcome.kind === 'answer') return outcome.body as Body;
      if (outcome.kind === 'error') throw outcome.error;
      const mayRepeat = repeatable || outcome.kind === 'refused';
      const wait = outcome.retryAfterMs ?? pauseMs;
      if (!mayRepeat || Date.now() + wait > until) throw outcome.error;
      await delay(wait);
    }
  }
  return {
    url: base,
    token,
    request,
    get: (path) => request(path),
    download: (path) => request(path, { bytes: true }),
    async find<Body>(path: string) {
      try {
        return await request<Body>(path);
      } catch (err) {
        if (err instanceof CliError && (err.status === 404 || err.status === 410)) return undefined;
        throw err;
      }
    },
  };
}

export const newIdempotencyKey = (): string => randomUUID();

type Outcome =
  | { readonly kind: 'answer'; readonly body: unknown }
  /** Nothing was done: too many requests. Even a plain write may be repeated. */
  | { readonly kind: 'refused'; readonly error: CliError; readonly retryAfterMs: number }
  /** Nobody knows what was done: connection lost, or a gateway in between. */
  | { readonly kind: 'unclear'; readonly error: CliError; readonly retryAfterMs?: number | undefined }
  | { readonly kind: 'error'; readonly error: CliError };

async function attempt(base: string, path: string, call: Call & { token: string | undefined }): Promise<Outcome> {
  const { method = 'GET', json, raw, idempotencyKey, token, timeoutMs = 30_000 } = call;
  const headers = new Headers({ Accept: 'application/json' });
  if (token !== undefined) headers.set('Coder-Session-Token', token);
  if (json !== undefined) headers.set('Content-Type', 'application/json');
  if (raw !== undefined) headers.set('Content-Type', raw.type);
  if (idempotencyKey !== undefined) headers.set('Idempotency-Key', idempotencyKey);
  const payload = json === undefined ? raw?.bytes : JSON.stringify(json);
  let response: Response;
  let answer: Buffer;
  try {
    response = await fetch(`${base}${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(timeoutMs),
      ...(payload !== undefined && { body: payload }),
    });
    answer = Buffer.from(await response.arrayBuffer());
  } catch (err) {
    return { kind: 'unclear', error: unreachable(base, err) };
  }
  const text = answer.toString();
  if (response.ok || response.status === 304) {
    if (call.bytes === true && isJson(response)) return { kind: 'answer', body: answer };
    const parsed = parse(response, text);
    return parsed.ok ? { kind: 'answer', body: parsed.value } : { kind: 'error', error: notOurs(base) };
  }
  const error = refusal(base, response, text);
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1_000 : undefined;
  if (response.status === 429) return { kind: 'refused', error, retryAfterMs: retryAfterMs ?? 1_000 };
  if ([502, 503, 504].includes(response.status)) return { kind: 'unclear', error, retryAfterMs };
  return { kind: 'error', error };
}

const isJson = (response: Response): boolean => response.headers.get('content-type')?.includes('json') === true;

function parse(response: Response, text: string): { ok: true; value: unknown } | { ok: false } {
  if (text === '') return { ok: true, value: undefined };
  if (!isJson(response)) return { ok: false };
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return { ok: false };
  }
}

const notOurs = (base: string): CliError =>
  new CliError(`${base} does not answer as a Berth API`, {
    exitCode: exitCodes.unreachable,
    next: 'check the address: berth login <url>, or BERTH_URL',
  });

export function unreachable(base: string, err: unknown): CliError {
  const cause = err instanceof Error ? err.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const timedOut = err instanceof Error && err.name === 'TimeoutError';
  const reasons: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'the host name is not known',
    ECONNRESET: 'the connection was cut',
    UND_ERR_SOCKET: 'the connection was cut',
  };
  const reason = timedOut ? 'no answer in time' : (reasons[code] ?? (code === '' ? String(err) : code));
  return new CliError(`${base} cannot be reached: ${reason}`, {
    exitCode: exitCodes.unreachable,
    next: 'start the server (npm run up), or name another one: berth login <url>, BERTH_URL',
  });
}

/** What a status means for the person at the terminal; also for whoever opens a stream. */
export function refusal(base: string, response: Response, text: string): CliError {
  const parsed = parse(response, text);
  const body = (parsed.ok && typeof parsed.value === 'object' && parsed.value !== null ? parsed.value : {}) as {
    message?: string;
    detail?: string;
    validations?: Validation[];
  };
  const { status } = response;
  if (body.message === undefined && status === 404) return notOurs(base);
  const about = {
    status,
    ...(body.detail !== undefined && { detail: body.detail }),
    ...(body.validations !== undefined && { validations: body.validations }),
  };
  const message = body.message ?? `${base} answered ${status}`;
  if (status === 401) return new CliError(message, { ...about, exitCode: exitCodes.notSignedIn, next: 'berth login' });
  if (status === 404 || status === 410) return new CliError(message, { ...about, exitCode: exitCodes.notFound });
  if ([502, 503, 504].includes(status))
    return new CliError(message, { ...about, exitCode: exitCodes.unreachable, next: 'try again in a moment' });
  return new CliError(message, about);
}
