import { describe, expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../agent/log.ts';
import { type LogLimits, createLogSender } from '../../agent/log-sender.ts';
import { createServerClient } from '../../agent/server-client.ts';
import { waitFor } from '../support/wait.ts';
import { fakeServer } from './support/builders.ts';
import { type FakeServer, startFakeServer } from './support/fake-server.ts';

const usual: LogLimits = { flushEntries: 100, requestEntries: 1000, requestBytes: 1_047_552, queuedBytes: 2_097_152 };

function senderFor(server: Pick<FakeServer, 'url'>, { limits = usual, flushMs = 5 } = {}) {
  const log = createLog(() => undefined);
  const token = { current: () => 'token', renew: async () => undefined };
  const client = createServerClient({ url: server.url, token, timeoutMs: 2000, log });
  const sender = createLogSender({ client, flushMs, backoff: { minMs: 5, maxMs: 20 }, log, limits });
  onTestFinished(() => sender.stop());
  return sender;
}
const outputs = (server: FakeServer, source = 'a') =>
  server.lines().flatMap((line) => (line.source === source ? [line.output] : []));

describe('log lines', () => {
  test('arrive in order, by source', async () => {
    const server = await fakeServer();
    const sender = senderFor(server);
    for (let i = 0; i < 50; i++) {
      sender.add('a', 'info', `a${i}`);
      sender.add('b', 'error', `b${i}`);
    }
    expect(await sender.flush(2000)).toBe(true);
    for (const source of ['a', 'b'])
      expect(outputs(server, source)).toEqual(Array.from({ length: 50 }, (_, i) => `${source}${i}`));
    expect(server.lines().find(({ source }) => source === 'b')?.level).toBe('error');
  });

  test('go at once when there are a hundred, and a request has at most a thousand', async () => {
    const server = await fakeServer();
    const sender = senderFor(server, { flushMs: 60_000 });
    for (let i = 0; i < 99; i++) sender.add('a', 'info', 'x');
    expect(server.to('/logs')).toHaveLength(0);
    for (let i = 0; i < 2500; i++) sender.add('a', 'info', 'x');
    await waitFor('the first lines', async () => server.lines().length >= 2500);
    expect(Math.max(...server.to('/logs').map(({ body }) => body.logs.length))).toBe(1000);
  });

  test('never make a request of more than 1 MiB', async () => {
    const server = await fakeServer();
    const sender = senderFor(server);
    for (let i = 0; i < 100; i++) sender.add('a', 'info', 'ü"'.repeat(5000));
    expect(await sender.flush(5000)).toBe(true);
    const sizes = server.to('/logs').map(({ raw }) => Buffer.byteLength(raw));
    expect(sizes.length).toBeGreaterThan(1);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_048_576);
    expect(server.lines()).toHaveLength(100);
  });

  test('survive a server that refuses, hangs up and is away, each once and in order', async () => {
    const first = await startFakeServer((await fakeServer()).manifest);
    const sender = senderFor(first);
    sender.add('a', 'info', 'before');
    expect(await sender.flush(2000)).toBe(true);
    await first.close();
    for (let i = 0; i < 500; i++) sender.add('a', 'info', `line ${i}`);
    expect(await sender.flush(50)).toBe(false);
    const second = await startFakeServer(first.manifest, first.port);
    onTestFinished(() => second.close());
    let refusals = 0;
    second.handler = ({ path }) =>
      path === '/logs' && refusals++ < 3
        ? { status: [503, 429, 401][refusals - 1] ?? 500, headers: { 'Retry-After': '0' } }
        : undefined;
    expect(await sender.flush(5000)).toBe(true);
    const taken = second
      .to('/logs')
      .slice(3)
      .flatMap(({ body }) => body.logs as { output: string }[]);
    expect(taken.map(({ output }) => output)).toEqual(Array.from({ length: 500 }, (_, i) => `line ${i}`));
  });

  test('above the limit of memory are dropped, the newest first, and one line tells how many', async () => {
    const server = await fakeServer();
    server.handler = ({ path }) => (path === '/logs' ? { status: 503 } : undefined);
    const sender = senderFor(server, { limits: { ...usual, queuedBytes: 2000 } });
    for (let i = 0; i < 100; i++) sender.add('a', 'info', `line ${i}`);
    sender.add('b', 'info', 'of another source');
    expect(await sender.flush(50)).toBe(false);
    server.requests.length = 0;
    server.handler = () => undefined;
    expect(await sender.flush(3000)).toBe(true);
    sender.add('a', 'info', 'after');
    expect(await sender.flush(3000)).toBe(true);
    const seen = outputs(server).filter((line, i, all) => all.indexOf(line) === i);
    const kept = seen.filter((line) => line.startsWith('line ')).length;
    expect(kept).toBeGreaterThan(10);
    expect(seen).toEqual([
      ...Array.from({ length: kept }, (_, i) => `line ${i}`),
      `${100 - kept} log lines were dropped here: the server was away and the queue full`,
      'after',
    ]);
    expect(outputs(server, 'b')).toEqual([expect.stringMatching(/^1 log lines were dropped/)]);
  });

  test('stop for good at 413', async () => {
    const server = await fakeServer();
    server.handler = ({ path }) => (path === '/logs' ? { status: 413 } : undefined);
    const sender = senderFor(server);
    sender.add('a', 'info', 'one');
    await waitFor('the refusal', async () => server.to('/logs').length === 1);
    expect(await sender.flush(1000)).toBe(true);
    sender.add('a', 'info', 'two');
    expect(await sender.flush(1000)).toBe(true);
    expect(server.to('/logs')).toHaveLength(1);
  });

  test('that the server refuses as such do not stand in the way of others', async () => {
    const server = await fakeServer();
    server.handler = ({ path, body }) =>
      path === '/logs' && body.log_source_id === 'unknown' ? { status: 400 } : undefined;
    const sender = senderFor(server);
    sender.add('unknown', 'info', 'x');
    sender.add('a', 'info', 'y');
    expect(await sender.flush(2000)).toBe(true);
    expect(outputs(server)).toEqual(['y']);
  });
});
