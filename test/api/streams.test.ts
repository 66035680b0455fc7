import { serve } from '@hono/node-server';
import type { WebSocketServerLike } from '@hono/node-server';
import { z } from '@hono/zod-openapi';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { defineRoute } from '../../api/route.ts';
import { requireWebSocket, streamSse, streamWebSocket, wantsWebSocket } from '../../api/streams.ts';
import type { StreamSource } from '../../api/streams.ts';
import { invalidField } from '../../domain/errors.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';
import { updateUser } from '../../db/queries/users.ts';

let api: TestApi;
let member: TestUser;
let server: ReturnType<typeof serve>;
let port: number;
/** What the streaming routes of this file send. */
let source: StreamSource<unknown>;

const route = (path: string) =>
  defineRoute({
    method: 'get',
    path,
    access: 'signed-in',
    stream: true,
    responses: { 200: { description: 'Stream', content: { 'text/event-stream': { schema: z.string() } } } },
  });

async function startServer(of: TestApi): Promise<{ server: ReturnType<typeof serve>; port: number }> {
  for (const frames of ['events', 'logs'] as const)
    of.app.openapi(route(`/test/${frames}`), async (c) =>
      wantsWebSocket(c)
        ? streamWebSocket(c, (signal) => source(signal), { frames })
        : streamSse(c, (signal) => source(signal)),
    );
  of.app.openapi(route('/test/socket-only'), (c) => {
    requireWebSocket(c);
    return streamWebSocket(c, (signal) => source(signal), { frames: 'logs' });
  });
  const sockets = new WebSocketServer({ noServer: true });
  const started = serve({
    fetch: of.app.fetch,
    port: 0,
    hostname: '127.0.0.1',
    websocket: { server: sockets as unknown as WebSocketServerLike },
  });
  await once(started, 'listening');
  return { server: started, port: (started.address() as AddressInfo).port };
}

beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser();
  ({ server, port } = await startServer(api));
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  await api.close();
});
afterEach(() => {
  vi.useRealTimers();
});

const url = (path: string, scheme = 'http') => `${scheme}://127.0.0.1:${port}/api/v2/test/${path}`;
const headers = () => ({ 'Coder-Session-Token': member.token });
const until = async (condition: () => boolean) => {
  for (const deadline = Date.now() + 10_000; !condition(); await delay(5))
    if (Date.now() > deadline) throw new Error('the condition did not come true in 10 s');
};
const items = (values: readonly unknown[]): StreamSource<unknown> =>
  async function* () {
    yield* values;
  };
/** Never ends by itself; remembers that it was told to. */
function endless() {
  const seen = { ended: false };
  const stream: StreamSource<unknown> = async function* (signal) {
    yield 'first';
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    seen.ended = true;
  };
  return { seen, stream };
}
async function open(path: string, options: { headers?: Record<string, string>; query?: string } = {}) {
  const socket = new WebSocket(`${url(path, 'ws')}${options.query ?? ''}`, { headers: options.headers ?? headers() });
  const messages: string[] = [];
  const state = { code: 0, refused: 0 };
  socket.on('message', (data) => messages.push((data as Buffer).toString()));
  socket.on('close', (code) => (state.code = code));
  socket.on('unexpected-response', (_request, response) => {
    state.refused = response.statusCode ?? 0;
    response.resume();
  });
  socket.on('error', () => undefined);
  await until(() => socket.readyState === WebSocket.OPEN || state.refused > 0 || state.code > 0);
  return { socket, messages, state };
}

describe('server-sent events', () => {
  test('begin with a ping, carry one JSON value per event and end with the source', async () => {
    source = items([{ n: 1 }, { n: 2 }]);
    const response = await fetch(url('events'), { headers: headers() });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.text()).toBe('event: ping\n\nevent: data\ndata: {"n":1}\n\nevent: data\ndata: {"n":2}\n\n');
  });

  test('tell an error as the last event', async () => {
    source = async function* () {
      yield 1;
      throw invalidField('x', 'is wrong');
    };
    const text = await (await fetch(url('events'), { headers: headers() })).text();
    expect(text).toContain(
      'event: error\ndata: {"message":"is wrong","validations":[{"field":"x","detail":"is wrong"}]}',
    );
    source = async function* () {
      yield 1;
      throw new Error('secret text');
    };
    expect(await (await fetch(url('events'), { headers: headers() })).text()).not.toContain('secret text');
  });

  test('end their source when the client leaves', async () => {
    const { seen, stream } = endless();
    source = stream;
    const leaving = new AbortController();
    const response = await fetch(url('events'), { headers: headers(), signal: leaving.signal });
    await response.body?.getReader().read();
    expect(seen.ended).toBe(false);
    leaving.abort();
    await until(() => seen.ended);
  });

  test('pull the source no faster than the client reads', async () => {
    let pulled = 0;
    source = async function* () {
      for (; pulled < 2000; pulled += 1) yield 'x'.repeat(64 * 1024);
    };
    const response = await api.app.request('/api/v2/test/events', { headers: headers() });
    await delay(200);
    expect(pulled).toBeLessThan(20);
    await response.body?.cancel();
  });

  test('take the token from the query, which appears in no log', async () => {
    source = items([]);
    expect((await fetch(`${url('events')}?coder_session_token=${member.token}`)).status).toBe(200);
    expect((await fetch(url('events'))).status).toBe(401);
    expect(api.logs.join('')).not.toContain(member.token);
  });
});

describe('WebSockets', () => {
  test('of events wrap each item and close with 1000 when the source is done', async () => {
    source = items([{ n: 1 }]);
    const { messages, state } = await open('events');
    await until(() => state.code > 0);
    expect(state.code).toBe(1000);
    expect(messages).toEqual(['{"type":"ping"}', '{"type":"data","data":{"n":1}}']);
  });

  test('of logs send one item per message and nothing else', async () => {
    source = items([{ id: 1 }, [{ id: 2 }, { id: 3 }]]);
    const { messages, state } = await open('logs');
    await until(() => state.code > 0);
    expect([state.code, messages]).toEqual([1000, ['{"id":1}', '[{"id":2},{"id":3}]']]);
  });

  test('tell an error as an event and close with 1011', async () => {
    source = async function* () {
      yield 1;
      throw invalidField('x', 'is wrong');
    };
    const { messages, state } = await open('events');
    await until(() => state.code > 0);
    expect(state.code).toBe(1011);
    expect(JSON.parse(messages.at(-1) ?? '')).toMatchObject({ type: 'error', data: { message: 'is wrong' } });
  });

  test('end their source when the client leaves', async () => {
    const { seen, stream } = endless();
    source = stream;
    const { socket, messages } = await open('events');
    await until(() => messages.length === 2);
    socket.close();
    await until(() => seen.ended);
  });

  test('ping every 15 seconds', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { stream } = endless();
    source = stream;
    const { socket, messages } = await open('events');
    await until(() => messages.length === 2);
    let protocolPings = 0;
    socket.on('ping', () => (protocolPings += 1));
    vi.advanceTimersByTime(15_000);
    await until(() => messages.length === 3 && protocolPings === 1);
    expect(messages[2]).toBe('{"type":"ping"}');
    socket.close();
  });

  test('are closed within a minute when their user is suspended', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { seen, stream } = endless();
    source = stream;
    const someone = await api.createUser();
    const { state, messages } = await open('events', { headers: { 'Coder-Session-Token': someone.token } });
    await until(() => messages.length === 2);
    await updateUser(api.db, someone.id, { status: 'suspended', updatedAt: api.clock.now });
    vi.advanceTimersByTime(59_999);
    await until(() => state.code > 0);
    expect([state.code, seen.ended]).toEqual([1008, true]);
  });

  test('need credentials, take them from the query, and refuse another origin when they come by cookie', async () => {
    source = items([]);
    expect((await open('events', { headers: {} })).state.refused).toBe(401);
    const byQuery = await open('events', { headers: {}, query: `?coder_session_token=${member.token}` });
    expect(byQuery.state.refused).toBe(0);
    const Cookie = `coder_session_token=${member.token}`;
    expect((await open('events', { headers: { Cookie, Origin: 'https://evil.example' } })).state.refused).toBe(403);
    expect((await open('events', { headers: { Cookie } })).state.refused).toBe(403);
    expect((await open('events', { headers: { Cookie, Origin: `http://127.0.0.1:${port}` } })).state.refused).toBe(0);
  });

  test('that exist only as such answer 400 to others', async () => {
    expect((await fetch(url('socket-only'), { headers: headers() })).status).toBe(400);
  });

  test('close with 1001 when the server stops', async () => {
    const stopping = await createTestApi();
    const own = await startServer(stopping);
    const { seen, stream } = endless();
    source = stream;
    const socket = new WebSocket(`ws://127.0.0.1:${own.port}/api/v2/test/events`, {
      headers: { 'Coder-Session-Token': stopping.ownerToken },
    });
    let code = 0;
    let received = 0;
    socket.on('message', () => (received += 1));
    socket.on('close', (value) => (code = value));
    await until(() => received === 2);
    const closed = new Promise((resolve) => own.server.close(resolve));
    await stopping.close();
    await until(() => code > 0);
    expect([code, seen.ended]).toEqual([1001, true]);
    await closed;
  });
});
