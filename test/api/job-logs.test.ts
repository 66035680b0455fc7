import { serve } from '@hono/node-server';
import type { WebSocketServerLike } from '@hono/node-server';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { completeRun } from '../../activities/job-end.ts';
import { createJobLog, type JobLog } from '../../activities/job-log.ts';
import type { JobRun } from '../../activities/job-run.ts';
import { finishBuildRow } from '../../db/queries/workspace-builds.ts';
import type { JobLogLine } from '../../domain/provisioned.ts';
import { createRedactor } from '../../terraform/secrets.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { templateWith } from '../support/build-rows.ts';
import { takeAs } from '../support/take.ts';

let api: TestApi;
let server: ReturnType<typeof serve>;
let base: string;
let template: JsonValue;
let names = 0;
/** A build that runs, and the pen of its run. */
let build: JsonValue;
let log: JobLog;
let end: () => Promise<void>;

beforeAll(async () => {
  api = await createTestApi();
  template = await templateWith(api, []);
  const sockets = new WebSocketServer({ noServer: true });
  server = serve({
    fetch: api.app.fetch,
    port: 0,
    hostname: '127.0.0.1',
    websocket: { server: sockets as unknown as WebSocketServerLike },
  });
  await once(server, 'listening');
  base = `127.0.0.1:${(server.address() as AddressInfo).port}/api/v2`;
});
afterAll(async () => {
  const closed = new Promise((resolve) => server.close(resolve));
  if ('closeAllConnections' in server) server.closeAllConnections();
  await closed;
  await api.close();
});
beforeEach(async () => {
  const body = { name: `ws-${(names += 1)}`, template_id: template.id };
  const created = await api.request('POST', '/api/v2/users/me/workspaces', { token: api.ownerToken, body });
  build = created.body.latest_build;
  const jobId: string = build.job.id;
  const job = (await takeAs(api.db, jobId))!;
  const redactor = createRedactor([]);
  const pen = { db: api.db, jobId, attempt: job.attempt, length: 0, overflowed: false, redactor };
  log = createJobLog({ ...pen, onFenced: () => undefined });
  const run = {
    deps: { db: api.db },
    job,
    log,
    redactor,
    timings: [],
    stop: new AbortController().signal,
  } as unknown as JobRun;
  end = () => completeRun(run, { success: true }, (tx) => finishBuildRow(tx, build.id));
});

const line = (output: string): JobLogLine => ({
  source: 'provisioner',
  level: 'info',
  stage: 'Starting workspace',
  output,
  createdAt: new Date('2026-01-01T00:00:00.000Z'),
});
const path = (query = '') => `/workspacebuilds/${build.id}/logs${query}`;
const get = (query = '') => api.request('GET', `/api/v2${path(query)}`, { token: api.ownerToken });
const headers = () => ({ 'Coder-Session-Token': api.ownerToken });

interface Row {
  readonly id: number;
  readonly output: string;
}
interface Follower {
  readonly rows: Row[];
  /** Resolves with the close code, or the HTTP status of a refused upgrade. */
  readonly closed: Promise<number>;
  leave(): void;
}
function followSocket(query = ''): Follower {
  const socket = new WebSocket(`ws://${base}${path(`?follow=true${query}`)}`, { headers: headers() });
  const rows: Row[] = [];
  socket.on('message', (data) => rows.push(JSON.parse((data as Buffer).toString()) as Row));
  const closed = new Promise<number>((resolve) => {
    socket.on('close', resolve);
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
    socket.on('error', () => undefined);
  });
  return { rows, closed, leave: () => socket.terminate() };
}
function followEvents(query = ''): Follower {
  const rows: Row[] = [];
  const leaving = new AbortController();
  const read = async () => {
    const response = await fetch(`http://${base}${path(`?follow=true${query}`)}`, {
      headers: { ...headers(), Accept: 'text/event-stream' },
      signal: leaving.signal,
    });
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      for (let at = text.indexOf('\n\n'); at !== -1; at = text.indexOf('\n\n')) {
        const [, event, data] = /^event: (\w+)(?:\ndata: (.*))?$/.exec(text.slice(0, at))!;
        if (event === 'data') rows.push(JSON.parse(data!) as Row);
        text = text.slice(at + 2);
      }
    }
    return response.status;
  };
  return { rows, closed: read().catch(() => 0), leave: () => leaving.abort() };
}

describe('the log of a build', () => {
  test('is a list of rows in order, between two ids', async () => {
    log.stage('Setting up');
    await log.add([line('one'), line('two'), line('three')]);
    await log.flush();
    const { status, body } = await get();
    expect(status).toBe(200);
    expect(body[1]).toEqual({
      id: expect.any(Number),
      created_at: '2026-01-01T00:00:00.000Z',
      log_source: 'provisioner',
      log_level: 'info',
      stage: 'Starting workspace',
      output: 'one',
    });
    expect(body[0]).toMatchObject({ stage: 'Setting up', output: '', log_source: 'provisioner_daemon' });
    const outputs = async (query: string) => (await get(query)).body.map(({ output }: Row) => output);
    const ids = body.map(({ id }: Row) => id);
    expect(await outputs(`?after=${ids[1]}`)).toEqual(['two', 'three']);
    expect(await outputs(`?before=${ids[2]}`)).toEqual(['', 'one']);
    expect(await outputs(`?after=${ids[0]}&before=${ids[3]}`)).toEqual(['one', 'two']);
    for (const query of ['?after=-1', '?before=x', '?format=xml', '?follow=maybe'])
      expect((await get(query)).status).toBe(400);
  });

  test('is text without stage markers on demand', async () => {
    log.stage('Setting up');
    await log.add([line('one'), line('two')]);
    await log.flush();
    const { text, headers: answered } = await get('?format=text');
    expect(answered.get('content-type')).toMatch(/^text\/plain/);
    expect(text).toBe('2026-01-01T00:00:00.000Z one\n2026-01-01T00:00:00.000Z two\n');
  });

  test('is followed by a stream only, and only forwards', async () => {
    const both = await get('?follow=true&before=5');
    expect([both.status, both.body.validations[0].field]).toEqual([400, 'before']);
    expect((await get('?follow=true')).status).toBe(400);
    expect(await followSocket('&before=5').closed).toBe(400);
  });
});

describe.each([
  ['a WebSocket', followSocket, 1000],
  ['server-sent events', followEvents, 200],
] as const)('following over %s', (_, follow, completed) => {
  test('gives stored rows, then live ones, and ends after the last of a finished job', async () => {
    await log.add([line('stored')]);
    await log.flush();
    const follower = follow();
    for (let i = 0; i < 5; i += 1) {
      await log.add([line(`live ${i}`)]);
      await log.flush();
    }
    log.say('info', 'last');
    await end();
    expect(await follower.closed).toBe(completed);
    expect(follower.rows.map(({ output }) => output)).toEqual([
      'stored',
      ...Array.from({ length: 5 }, (__, i) => `live ${i}`),
      'last',
    ]);
  });

  test('of a finished job gives its rows and ends at once', async () => {
    await log.add(Array.from({ length: 2_500 }, (__, i) => line(`row ${i}`)));
    await end();
    const follower = follow();
    expect(await follower.closed).toBe(completed);
    expect(follower.rows.map(({ output }) => output)).toEqual(Array.from({ length: 2_500 }, (__, i) => `row ${i}`));
  });

  test('loses and doubles nothing when the reader reconnects at any moment', async () => {
    const expected: string[] = [];
    const writing = (async () => {
      for (let batch = 0; batch < 60; batch += 1) {
        const lines = Array.from({ length: 1 + (batch % 7) }, (__, i) => `${batch}.${i}`);
        expected.push(...lines);
        await log.add(lines.map(line));
        if (batch % 3 === 0) await log.flush();
        await delay(5);
      }
      await end();
    })();
    const seen: Row[] = [];
    for (let code = -1; code !== completed;) {
      const after = seen.at(-1)?.id;
      const follower = follow(after === undefined ? '' : `&after=${after}`);
      const early = delay(10 + Math.random() * 60).then(() => {
        follower.leave();
        return -1;
      });
      code = await Promise.race([follower.closed, early]);
      seen.push(...follower.rows);
    }
    await writing;
    expect(seen.map(({ output }) => output)).toEqual(expected);
    expect(seen.map(({ id }) => id)).toEqual(seen.map(({ id }) => id).toSorted((a, b) => a - b));
  });
});

describe('a follower', () => {
  test('sees the end of a build that is canceled while it waits', async () => {
    const body = { name: `ws-${(names += 1)}`, template_id: template.id };
    const created = await api.request('POST', '/api/v2/users/me/workspaces', { token: api.ownerToken, body });
    build = created.body.latest_build;
    const follower = followSocket();
    await delay(50);
    await api.request('PATCH', `/api/v2/workspacebuilds/${build.id}/cancel`, { token: api.ownerToken });
    expect(await follower.closed).toBe(1000);
    expect(follower.rows).toEqual([]);
  });
});

describe('watching a workspace', () => {
  test('tells every change of its build once, the last one like a read of it', async () => {
    const leaving = new AbortController();
    const response = await fetch(`http://${base}/workspaces/${build.workspace_id}/watch`, {
      headers: headers(),
      signal: leaving.signal,
    });
    const events: JsonValue[] = [];
    let pings = 0;
    const reading = (async () => {
      let text = '';
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        for (let at = text.indexOf('\n\n'); at !== -1; at = text.indexOf('\n\n')) {
          const [, event, data] = /^event: (\w+)(?:\ndata: (.*))?$/.exec(text.slice(0, at))!;
          if (event === 'data') events.push(JSON.parse(data!));
          else pings += 1;
          text = text.slice(at + 2);
        }
      }
    })();
    const until = async (status: string) => {
      for (const limit = Date.now() + 5_000; events.at(-1)?.latest_build.status !== status; await delay(10))
        if (Date.now() > limit) throw new Error(`no event with status ${status}`);
    };
    await until('starting');
    expect(pings).toBe(1);
    await end();
    await until('running');
    const post = { token: api.ownerToken, body: { transition: 'delete' } };
    const { body: last } = await api.request('POST', `/api/v2/workspaces/${build.workspace_id}/builds`, post);
    await until('pending');
    const read = await api.request('GET', `/api/v2/workspaces/${build.workspace_id}`, { token: api.ownerToken });
    expect({ ...events.at(-1) }).toEqual(read.body);
    await api.request('PATCH', `/api/v2/workspacebuilds/${last.id}/cancel`, { token: api.ownerToken });
    await until('canceled');
    expect(new Set(events.map((event) => JSON.stringify(event))).size).toBe(events.length);
    leaving.abort();
    await reading.catch(() => undefined);
  });

  test('needs the right to read it', async () => {
    const stranger = await api.createUser();
    const denied = await fetch(`http://${base}/workspaces/${build.workspace_id}/watch`, {
      headers: { 'Coder-Session-Token': stranger.token },
    });
    expect(denied.status).toBe(404);
    expect(
      (await fetch(`http://${base}/workspaces/${build.workspace_id}/watch-ws`, { headers: headers() })).status,
    ).toBe(400);
  });
});
