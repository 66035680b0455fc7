import { setTimeout as delay } from 'node:timers/promises';
import { refusal, unreachable } from './client.ts';
import type { Client } from './client.ts';
import { CliError, exitCodes } from './errors.ts';
import { silenceMs } from './follow-socket.ts';

export interface FollowEvents {
  readonly path: string;
  /** A `data` event; true = seen enough. */
  readonly onData: (value: unknown) => boolean;
  readonly what: string;
  readonly next: string;
  readonly signal?: AbortSignal | undefined;
  readonly patienceMs?: number;
}

/**
 * Server-sent events over as many connections as it takes, each of which begins with the whole state (spec/06 §1.2). Ends when
 * `onData` has seen enough or `signal` aborts. Throws CliError.
 */
export async function followEvents(client: Client, options: FollowEvents): Promise<void> {
  const { path, what, next, onData, signal, patienceMs = 60_000 } = options;
  let aliveAt = Date.now();
  const isAborted = (): boolean => signal?.aborted === true;
  for (let pauseMs = 100; !isAborted();) {
    const end = await connectOnce(client, path, { onData, signal });
    if (end.kind === 'enough' || isAborted()) return;
    const passing = end.error === undefined || end.status === undefined || end.status >= 500 || end.status === 429;
    if (!passing) throw end.error;
    if (end.connected) {
      aliveAt = Date.now();
      pauseMs = 100;
    }
    if (Date.now() - aliveAt > patienceMs)
      throw new CliError(`${what} stopped: ${end.error?.message ?? 'the connection was cut'}`, {
        exitCode: exitCodes.unreachable,
        next,
      });
    await delay(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    pauseMs = Math.min(pauseMs * 2, 2_000);
  }
}

/** The first event of a stream; undefined when none came in time, for whatever reason. */
export async function firstEvent<T>(client: Client, path: string, timeoutMs: number): Promise<T | undefined> {
  let first: T | undefined;
  await connectOnce(client, path, {
    onData: (value) => {
      first = value as T;
      return true;
    },
    signal: AbortSignal.timeout(timeoutMs),
  });
  return first;
}

type End =
  | { readonly kind: 'enough' }
  | {
      readonly kind: 'cut';
      readonly connected: boolean;
      readonly error?: CliError;
      readonly status?: number | undefined;
    };

/** Never throws; an `error` event ends the stream, and the next connection is told why with a status. */
async function connectOnce(
  client: Client,
  path: string,
  { onData, signal }: Pick<FollowEvents, 'onData' | 'signal'>,
): Promise<End> {
  const quiet = new AbortController();
  const silence = setTimeout(() => quiet.abort(), silenceMs);
  const headers = new Headers({ Accept: 'text/event-stream' });
  if (client.token !== undefined) headers.set('Coder-Session-Token', client.token);
  let connected = false;
  try {
    const response = await fetch(`${client.url}${path}`, {
      headers,
      signal: AbortSignal.any([quiet.signal, ...(signal === undefined ? [] : [signal])]),
    });
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (!response.ok || !isStream || response.body === null)
      return {
        kind: 'cut',
        connected,
        error: refusal(client.url, response, await response.text()),
        status: response.status,
      };
    connected = true;
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of response.body) {
      silence.refresh();
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      const events = text.split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) {
        const value = dataOf(event);
        if (value !== undefined && onData(value)) return { kind: 'enough' };
      }
    }
    return { kind: 'cut', connected };
  } catch (err) {
    return { kind: 'cut', connected, error: unreachable(client.url, err) };
  } finally {
    clearTimeout(silence);
    // Closes the connection of a stream that was left in its middle.
    quiet.abort();
  }
}

function dataOf(event: string): unknown {
  const lines = event.split('\n');
  if (!lines.includes('event: data')) return undefined;
  const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart());
  return JSON.parse(data.join('\n'));
}
