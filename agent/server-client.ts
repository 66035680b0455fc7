import type { IncomingMessage } from 'node:http';
import { type Backoff, backoffMs, retryAfterMs } from './backoff.ts';
import { type HttpAnswer, openRequest, request } from './http.ts';
import { type Log, messageOf } from './log.ts';
import type { TokenSource } from './token-source.ts';
import { wait } from './wait.ts';

export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Below `/api/v2`. */
  readonly path: string;
  readonly body?: unknown;
  /** JSON text that was made already. */
  readonly rawBody?: string;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly retryAfterMs: number | null;
  readonly body: unknown;
}

export interface ServerClient {
  /**
   * One attempt; answered 429 without a request while the server's last `Retry-After` for this path lasts. Rejects when
   * nobody answers.
   */
  readonly call: (call: Call) => Promise<Answer>;
  /**
   * Again and again until the server takes or refuses it for good. null = `signal` aborted first. `retryAlso` names further
   * statuses that are worth another try.
   */
  readonly deliver: (call: Call, backoff: Backoff, retryAlso?: readonly number[]) => Promise<Answer | null>;
  /** An answer whose body is read as it comes. */
  readonly stream: (path: string, signal: AbortSignal) => Promise<IncomingMessage>;
}

/** 401: the token may become valid again (a build that just ends, a claim); 429: too often; 5xx and 408: not its fault. */
export const isWorthRetry = (status: number, also: readonly number[] = []): boolean =>
  status >= 500 || [401, 408, 429].includes(status) || also.includes(status);

export interface ServerClientOptions {
  readonly url: string;
  readonly token: TokenSource;
  readonly timeoutMs: number;
  readonly log: Log;
}

function parse({ text }: HttpAnswer): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** Calls of the server with the agent's token. Source: spec/05 §2, §17 "Rate limits". */
export function createServerClient({ url, token, timeoutMs, log }: ServerClientOptions): ServerClient {
  const headers = (): Record<string, string> => ({ 'Coder-Session-Token': token.current() });

  /** Until when the server wants no more of this kind; held here, so that no caller can forget it. */
  const quietUntilMs = new Map<string, number>();

  async function call(input: Call): Promise<Answer> {
    const kind = `${input.method} ${input.path}`;
    const quietMs = (quietUntilMs.get(kind) ?? 0) - performance.now();
    if (quietMs > 0) return { status: 429, retryAfterMs: quietMs, body: null };
    const body = input.rawBody ?? (input.body === undefined ? undefined : JSON.stringify(input.body));
    const answer = await request({
      method: input.method,
      url: `${url}/api/v2${input.path}`,
      headers: { ...headers(), ...(body !== undefined && { 'Content-Type': 'application/json' }) },
      body,
      timeoutMs: input.timeoutMs ?? timeoutMs,
      signal: input.signal,
    });
    const retryAfter = retryAfterMs(answer.headers['retry-after'], Date.now());
    if (answer.status === 429 && retryAfter !== null) quietUntilMs.set(kind, performance.now() + retryAfter);
    else quietUntilMs.delete(kind);
    return { status: answer.status, retryAfterMs: retryAfter, body: parse(answer) };
  }

  async function deliver(input: Call, backoff: Backoff, retryAlso: readonly number[] = []): Promise<Answer | null> {
    const { signal } = input;
    const aborted = (): boolean => signal?.aborted === true;
    for (let failures = 1; !aborted(); failures++) {
      let waitMs = backoffMs(backoff, failures, Math.random());
      let problem: string;
      try {
        const answer = await call(input);
        if (!isWorthRetry(answer.status, retryAlso)) return answer;
        problem = `answered ${answer.status}`;
        waitMs = answer.retryAfterMs === null ? waitMs : Math.max(answer.retryAfterMs, backoff.minMs);
      } catch (err) {
        problem = messageOf(err);
      }
      if (aborted()) break;
      // One line at the beginning of an outage, not one for each try of each sender.
      if (failures === 1) log.warn(`${input.method} ${input.path}: ${problem}; trying again`);
      await wait(waitMs, signal);
    }
    return null;
  }

  return {
    call,
    deliver,
    stream: (path, signal) =>
      openRequest({ method: 'GET', url: `${url}/api/v2${path}`, headers: headers(), timeoutMs: 0, signal }),
  };
}
