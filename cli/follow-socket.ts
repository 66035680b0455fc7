import { setTimeout as delay } from 'node:timers/promises';
import WebSocket from 'ws';
import type { Client } from './client.ts';
import { CliError, exitCodes } from './errors.ts';

export interface FollowSocketOptions {
  /** Asked anew for each connection: it says where to go on. */
  readonly path: () => string;
  /** The same question as a plain request, for the server's own words when it refuses. */
  readonly plainPath: () => string;
  readonly onMessage: (message: unknown) => void;
  /** What is followed, as the subject of a sentence, and how to go on when the server is lost. */
  readonly what: string;
  readonly next: string;
  readonly signal?: AbortSignal | undefined;
  /** How long no connection may succeed before it is an error. */
  readonly patienceMs?: number | undefined;
}

type End =
  | { readonly kind: 'complete' }
  /** Cut off, or the server is going away: the rest comes with the next connection. */
  | { readonly kind: 'cut'; readonly reason: string; readonly connected: boolean }
  | { readonly kind: 'refused'; readonly status: number };

/** The server pings every 15 s; a connection without a sign of life for longer is dead (a sleeping laptop, a NAT). */
export const silenceMs = 45_000;

/**
 * Messages of a stream until the server says that it is complete, over as many connections as that takes; ends early when
 * `signal` aborts. Throws CliError.
 */
export async function followSocket(client: Client, options: FollowSocketOptions): Promise<void> {
  const { signal, what, next, patienceMs = 60_000 } = options;
  let aliveAt = Date.now();
  const isAborted = (): boolean => signal?.aborted === true;
  for (let pauseMs = 100; !isAborted();) {
    const end = await connectOnce(client, options.path(), options);
    if (end.kind === 'complete' || isAborted()) return;
    if (end.kind === 'refused' && end.status < 500 && end.status !== 429) {
      await client.get(options.plainPath());
      throw new CliError(`${what} cannot be followed: the server answered ${end.status}`);
    }
    if (end.kind === 'cut' && end.connected) {
      aliveAt = Date.now();
      pauseMs = 100;
    }
    if (Date.now() - aliveAt > patienceMs)
      throw new CliError(`${what} stopped: ${end.kind === 'cut' ? end.reason : `the server answered ${end.status}`}`, {
        exitCode: exitCodes.unreachable,
        next,
      });
    await delay(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    pauseMs = Math.min(pauseMs * 2, 2_000);
  }
}

function connectOnce(
  client: Client,
  path: string,
  { signal, onMessage }: Pick<FollowSocketOptions, 'signal' | 'onMessage'>,
): Promise<End> {
  return new Promise((resolve) => {
    const headers = client.token === undefined ? {} : { 'Coder-Session-Token': client.token };
    const socket = new WebSocket(`${client.url.replace(/^http/, 'ws')}${path}`, { headers, handshakeTimeout: 10_000 });
    let connected = false;
    let reason = 'the connection was cut';
    let end: End | undefined;
    const silence = setTimeout(() => socket.terminate(), silenceMs);
    const stop = (): void => socket.terminate();
    signal?.addEventListener('abort', stop, { once: true });
    socket.on('open', () => (connected = true));
    socket.on('ping', () => silence.refresh());
    socket.on('message', (message: Buffer) => {
      silence.refresh();
      onMessage(JSON.parse(message.toString('utf8')));
    });
    socket.on('unexpected-response', (_request, response) => {
      end = { kind: 'refused', status: response.statusCode ?? 500 };
      response.resume();
      socket.terminate();
    });
    socket.on('error', (err) => (reason = err.message));
    socket.on('close', (code) => {
      clearTimeout(silence);
      signal?.removeEventListener('abort', stop);
      resolve(end ?? (code === 1000 ? { kind: 'complete' } : { kind: 'cut', reason, connected }));
    });
  });
}
