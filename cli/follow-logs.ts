import { setTimeout as delay } from 'node:timers/promises';
import WebSocket from 'ws';
import type { Client } from './client.ts';
import { CliError, exitCodes } from './errors.ts';
import type { JobLog } from './types.ts';

export interface FollowOptions {
  /** Of a job's log, e.g. `/api/v2/workspacebuilds/<id>/logs`. */
  readonly path: string;
  /** Rows up to this id are known already. */
  readonly after?: number;
  readonly onLog: (log: JobLog) => void;
  readonly signal?: AbortSignal | undefined;
  /** How long no connection may succeed before it is an error. */
  readonly patienceMs?: number;
}

type End =
  | { readonly kind: 'complete' }
  /** Cut off, or the server is going away: the rest comes with the next connection. */
  | { readonly kind: 'cut'; readonly reason: string; readonly connected: boolean }
  | { readonly kind: 'refused'; readonly status: number };

/** The server pings every 15 s; a connection without a sign of life for longer is dead (a sleeping laptop, a NAT). */
const silenceMs = 45_000;

/**
 * Every row of a job's log exactly once and in order, until the job's last one: after a lost connection it asks for what
 * came after the last row it has seen. Returns the last id; ends early when `signal` aborts. Throws CliError.
 */
export async function followLogs(client: Client, options: FollowOptions): Promise<number> {
  const { path, onLog, signal, patienceMs = 60_000 } = options;
  let last = options.after ?? 0;
  let aliveAt = Date.now();
  const isAborted = (): boolean => signal?.aborted === true;
  for (let pauseMs = 100; !isAborted();) {
    const before = last;
    const end = await connectOnce(client, `${path}?follow=true&after=${last}`, {
      signal,
      onLog: (log) => {
        // A row that was on its way twice: the ids of a log only grow.
        if (log.id <= last) return;
        last = log.id;
        onLog(log);
      },
    });
    if (end.kind === 'complete' || isAborted()) break;
    if (end.kind === 'refused' && end.status < 500 && end.status !== 429) {
      // The same question as a plain request gives the server's own words.
      await client.get(`${path}?after=${last}`);
      throw new CliError(`The log cannot be followed: the server answered ${end.status}`);
    }
    if (last > before || (end.kind === 'cut' && end.connected)) {
      aliveAt = Date.now();
      pauseMs = 100;
    }
    if (Date.now() - aliveAt > patienceMs)
      throw new CliError(`The log stopped: ${end.kind === 'cut' ? end.reason : `the server answered ${end.status}`}`, {
        exitCode: exitCodes.unreachable,
        next: 'what was started goes on; look again with berth logs -f',
      });
    await delay(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    pauseMs = Math.min(pauseMs * 2, 2_000);
  }
  return last;
}

function connectOnce(
  client: Client,
  path: string,
  { signal, onLog }: { signal: AbortSignal | undefined; onLog: (log: JobLog) => void },
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
      onLog(JSON.parse(message.toString('utf8')) as JobLog);
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
