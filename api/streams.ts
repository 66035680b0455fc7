import { upgradeWebSocket } from '@hono/node-server';
import type { Context } from 'hono';
import type { WSContext } from 'hono/ws';
import type { WebSocket } from 'ws';
import { DomainError } from '../domain/errors.ts';
import type { ApiEnv } from './context.ts';
import { toHttpError } from './errors.ts';

/**
 * One-way streams (spec/06 §1.2): an async iterable in, frames out. The iterable is pulled only as fast as the client
 * reads; `signal` aborts when the client leaves, the process stops or the credentials end, and the iterable must then
 * finish. Every stream pings at once and every 15 s, and asks every 30 s whether the subject may still listen.
 */
export type StreamSource<T> = (signal: AbortSignal) => AsyncIterable<T>;

export const pingEveryMs = 15_000;
const recheckEveryPings = 2;
/** Bytes that may wait in a socket before the source has to. */
const highWaterMark = 256 * 1024;
/** Characters of events that are sent together. */
const chunkLength = 16 * 1024;

type End = 'complete' | 'client-left' | 'shutdown' | 'unauthenticated' | 'failed';

interface Sink<T> {
  /** Resolves when the client can take more. */
  send(item: T): Promise<void>;
  ping(): void;
  error(body: object): Promise<void>;
}

/** Drives the source into the sink; never throws. */
async function pump<T>(
  c: Context<ApiEnv>,
  source: StreamSource<T>,
  options: { sink: Sink<T>; left: AbortSignal },
): Promise<End> {
  const { sink, left } = options;
  const { shutdown } = c.var.deps;
  const stop = new AbortController();
  let end: End = 'complete';
  const endAs = (reason: End) => {
    if (!stop.signal.aborted) end = reason;
    stop.abort();
  };
  const onLeft = () => endAs('client-left');
  const onShutdown = () => endAs('shutdown');
  left.addEventListener('abort', onLeft);
  shutdown.addEventListener('abort', onShutdown);
  if (left.aborted) onLeft();
  if (shutdown.aborted) onShutdown();
  let pings = 0;
  const timer = setInterval(() => {
    sink.ping();
    pings += 1;
    if (pings % recheckEveryPings === 0)
      void c.var.stillAuthenticated().then((still) => {
        if (!still) endAs('unauthenticated');
      });
  }, pingEveryMs);
  const gauge = c.var.deps.metrics.concurrentStreams.labels(c.var.routePattern);
  gauge.inc();
  try {
    sink.ping();
    if (!stop.signal.aborted)
      for await (const item of source(stop.signal)) {
        if (stop.signal.aborted) break;
        await sink.send(item);
        if (stop.signal.aborted) break;
      }
  } catch (err) {
    if (!stop.signal.aborted) {
      const error = toHttpError(err, c.var.requestId);
      if (error.unexpected) c.var.logger.error({ err }, 'stream failed');
      end = 'failed';
      await sink.error(error.body).catch(() => undefined);
    }
  } finally {
    stop.abort();
    clearInterval(timer);
    left.removeEventListener('abort', onLeft);
    shutdown.removeEventListener('abort', onShutdown);
    gauge.dec();
  }
  return end;
}

/** Server-sent events: `ping`, `data` (one JSON value each) and, before a failing end, `error`. */
export function streamSse<T>(c: Context<ApiEnv>, source: StreamSource<T>): Response {
  const left = new AbortController();
  const encoder = new TextEncoder();
  let wake: (() => void) | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        // Events that come at once go out at once: every chunk costs a system call here and there.
        let waiting = '';
        const flush = () => {
          const text = waiting;
          waiting = '';
          if (text !== '' && !left.signal.aborted) controller.enqueue(encoder.encode(text));
        };
        const write = (text: string) => {
          if (waiting === '') setImmediate(flush);
          waiting += text;
          if (waiting.length >= chunkLength) flush();
        };
        const roomy = async (text: string) => {
          write(text);
          while ((controller.desiredSize ?? 0) <= 0 && !left.signal.aborted && !c.var.deps.shutdown.aborted)
            await new Promise<void>((resolve) => (wake = resolve));
        };
        const sink: Sink<T> = {
          send: (item) => roomy(`event: data\ndata: ${JSON.stringify(item)}\n\n`),
          ping: () => write('event: ping\n\n'),
          error: async (error) => write(`event: error\ndata: ${JSON.stringify(error)}\n\n`),
        };
        const onShutdown = () => wake?.();
        c.var.deps.shutdown.addEventListener('abort', onShutdown);
        void pump(c, source, { sink, left: left.signal }).then(() => {
          c.var.deps.shutdown.removeEventListener('abort', onShutdown);
          flush();
          if (!left.signal.aborted) controller.close();
        });
      },
      pull() {
        wake?.();
      },
      cancel() {
        left.abort();
        wake?.();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark }),
  );
  return c.body(body, 200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    // Proxies that buffer would hold events back.
    'X-Accel-Buffering': 'no',
  });
}

/** 1000 complete, 1001 shutdown, 1008 credentials ended, 1011 failure. */
const closeCodes: Record<End, number> = {
  complete: 1000,
  'client-left': 1000,
  shutdown: 1001,
  unauthenticated: 1008,
  failed: 1011,
};

/**
 * WebSocket. `events`: each item becomes `{"type":"data","data":…}`, with `ping` and `error` frames; `logs`: one JSON
 * item per message, or one array of items when the source yields arrays. Anything that the client sends is ignored.
 */
export async function streamWebSocket<T>(
  c: Context<ApiEnv>,
  source: StreamSource<T>,
  options: { frames: 'events' | 'logs' },
): Promise<Response> {
  const left = new AbortController();
  const asEvents = options.frames === 'events';
  const start = (ws: WSContext<unknown>) => {
    const socket = ws.raw as WebSocket;
    // A peer that went away never reports its messages as sent.
    const gone = new Promise<void>((resolve) => left.signal.addEventListener('abort', () => resolve()));
    const send = async (text: string) => {
      if (socket.readyState !== socket.OPEN) return;
      const sent = new Promise<void>((resolve) => socket.send(text, () => resolve()));
      if (socket.bufferedAmount > highWaterMark) await Promise.race([sent, gone]);
    };
    const sink: Sink<T> = {
      send: (item) => send(JSON.stringify(asEvents ? { type: 'data', data: item } : item)),
      ping: () => {
        if (socket.readyState !== socket.OPEN) return;
        if (asEvents) socket.send('{"type":"ping"}');
        socket.ping();
      },
      error: (error) => (asEvents ? send(JSON.stringify({ type: 'error', data: error })) : Promise.resolve()),
    };
    void pump(c, source, { sink, left: left.signal }).then((end) => socket.close(closeCodes[end]));
  };
  const response = await upgradeWebSocket(c, {
    onOpen: (_event, ws) => start(ws),
    onClose: () => left.abort(),
    onError: () => left.abort(),
  });
  return response;
}

/** Whether the client asks for a WebSocket; routes that offer both forms choose by it. */
export const wantsWebSocket = (c: Context<ApiEnv>): boolean => c.req.header('Upgrade')?.toLowerCase() === 'websocket';

/** For routes that exist only as WebSocket. */
export function requireWebSocket(c: Context<ApiEnv>): void {
  if (!wantsWebSocket(c)) throw new DomainError('INVALID_INPUT', 'This route speaks WebSocket only');
}
