import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { waitFor } from '../support/wait.ts';
import { fakeServer, script, startAgent, stopScript } from './support/builders.ts';
import type { FakeServer } from './support/fake-server.ts';

const scripts = [
  script('echo start $CODER_WORKSPACE_OWNER_NAME >>$HOME/runs'),
  stopScript('echo stop $CODER_WORKSPACE_OWNER_NAME >>$HOME/runs'),
];
const prebuildsUser = 'c42fdf75-3097-471c-8c33-fb52454d81c0';
const textOf = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const runsOf = (home: string) => readFileSync(join(home, 'runs'), 'utf8').trim().split('\n');
/** The claim as the server shows it: another owner, agent row and build behind the same token. */
function claim(server: FakeServer, userId = randomUUID()) {
  server.manifest = {
    ...server.manifest,
    agent_id: randomUUID(),
    build_id: randomUUID(),
    build_number: 2,
    owner_id: userId,
    owner_name: 'bob',
  };
  return { workspace_id: server.manifest.workspace_id, user_id: userId, reason: 'prebuild_claimed' };
}
const unclaimed = async () => {
  const server = await fakeServer({ owner_id: prebuildsUser, owner_name: 'prebuilds', scripts });
  server.reinitOpen = true;
  const started = await startAgent({}, { server });
  await server.waitForState('ready');
  await waitFor('the reinit stream', async () => server.streams.length === 1);
  return started;
};
const sendEvent = (server: FakeServer, event: object) =>
  server.streams.at(-1)?.end(`event: data\ndata: ${JSON.stringify(event)}\n\n`);
const ready = (server: FakeServer, times: number) =>
  waitFor(`${times} starts`, async () => server.states().filter((state) => state === 'ready').length === times);
const claimedRuns = ['start prebuilds', 'stop prebuilds', 'start bob'];

describe('a claim', () => {
  test('by the event: everything of the former owner ends unreported, then the scripts run once for the new one', async () => {
    const { server, home } = await unclaimed();
    sendEvent(server, claim(server));
    await ready(server, 2);
    expect(runsOf(home)).toEqual(claimedRuns);
    expect(server.states()).toEqual(['starting', 'ready', 'starting', 'ready']);
    expect(server.timings().map(({ stage }) => stage)).toEqual(['start', 'start']);
    expect(server.to('/reinit')).toHaveLength(1);
  });

  test('told by event, frame, closed socket and manifest is one claim', async () => {
    const { server, home } = await unclaimed();
    const event = claim(server);
    server.send({ type: 'reinit', event });
    sendEvent(server, event);
    server.send({ type: 'manifest_changed' });
    server.sockets[0]?.close(4001);
    await ready(server, 2);
    await waitFor('the next socket', async () => server.handshakes.length === 2 && server.sockets.length === 1);
    server.send({ type: 'reinit', event });
    server.send({ type: 'manifest_changed' });
    const looked = server.to('/manifest').length;
    await waitFor('another look', async () => server.to('/manifest').length > looked);
    expect(runsOf(home)).toEqual(claimedRuns);
  });

  test('whose event is earlier than the manifest waits for it, also through 409', async () => {
    const { server, home } = await unclaimed();
    const looked = server.to('/manifest').length;
    const old = server.manifest;
    const event = claim(server);
    const claimed = server.manifest;
    server.manifest = old;
    let refusals = 0;
    server.handler = ({ path }) =>
      path === '/manifest' && refusals++ < 2 ? { status: 409, headers: { 'Retry-After': '0' } } : undefined;
    sendEvent(server, event);
    await waitFor('looks at the old one', async () => server.to('/manifest').length >= looked + 4);
    expect(runsOf(home)).toEqual(['start prebuilds']);
    server.manifest = claimed;
    await ready(server, 2);
    expect(runsOf(home)).toEqual(claimedRuns);
  });

  test('of which the event names the owner that is there already changes nothing', async () => {
    const { server, home } = await unclaimed();
    sendEvent(server, { user_id: prebuildsUser, workspace_id: '', reason: '' });
    server.send({ type: 'reinit', event: { user_id: prebuildsUser, workspace_id: '', reason: '' } });
    server.send({ type: 'manifest_changed' });
    await waitFor('another look', async () => server.to('/manifest').length > 1);
    expect(runsOf(home)).toEqual(['start prebuilds']);
  });

  test('that is none: 409 ends the asking for good', async () => {
    const { server } = await startAgent();
    await server.waitForState('ready');
    await waitFor('the question', async () => server.to('/reinit').length === 1);
    server.sockets[0]?.close(1012);
    await waitFor('the next connection', async () => server.handshakes.length === 2);
    await waitFor('another look', async () => server.to('/manifest').length > 1);
    expect(server.to('/reinit')).toHaveLength(1);
    expect(server.to('/reinit')[0]?.path).toBe('/reinit?wait=true');
    expect(server.to('/reinit')[0]?.headers['coder-session-token']).toBeDefined();
  });

  test('is asked for again after errors and dropped streams', async () => {
    const { server } = await unclaimed();
    let refusals = 0;
    server.handler = ({ path }) => (path.startsWith('/reinit') && refusals++ < 2 ? { status: 503 } : undefined);
    server.streams[0]?.destroy();
    await waitFor('another stream', async () => server.streams.length === 2);
    expect(refusals).toBeGreaterThanOrEqual(2);
  });
});

describe('a machine that slept through stop and start', () => {
  test('reconnects, finds another build and starts again', async () => {
    const { server, home } = await startAgent({ scripts });
    await server.waitForState('ready');
    server.send({ type: 'shutdown', reason: 'stop' });
    await server.waitForState('off');
    server.manifest = { ...server.manifest, agent_id: randomUUID(), build_id: randomUUID(), build_number: 3 };
    server.sockets[0]?.terminate();
    await ready(server, 2);
    expect(server.states()).toEqual(['starting', 'ready', 'shutting_down', 'off', 'starting', 'ready']);
    expect(runsOf(home)).toEqual(['start ann', 'stop ann', 'start ann']);
  });
});

describe('what an instance could not report', () => {
  test('is not told of the one that follows', async () => {
    const { server, home } = await startAgent({ scripts });
    await server.waitForState('ready');
    server.handler = ({ body }) => (body?.state === 'off' ? { status: 503 } : undefined);
    server.send({ type: 'shutdown', reason: 'stop' });
    await server.waitForState('off');
    server.manifest = { ...server.manifest, agent_id: randomUUID(), build_id: randomUUID() };
    server.send({ type: 'manifest_changed' });
    await ready(server, 2);
    server.handler = () => undefined;
    server.requests.length = 0;
    server.send({ type: 'shutdown', reason: 'stop' });
    await waitFor('the end', async () => server.states().includes('off'));
    expect(server.states()).toEqual(['shutting_down', 'off']);
    expect(runsOf(home)).toEqual(['start ann', 'stop ann', 'start ann', 'stop ann']);
  });
});

describe('a reconnection to the same build', () => {
  test('starts nothing again, but takes over changed secrets', async () => {
    const cron = script('echo $TOKEN >>$HOME/tokens', { cron: '* * * * * *', run_on_start: false });
    const { server, home } = await startAgent({ scripts: [...scripts, cron] });
    await server.waitForState('ready');
    const secret = { env_name: 'TOKEN', file_path: '~/token', value_base64: Buffer.from('new').toString('base64') };
    server.manifest = { ...server.manifest, secrets: [secret] };
    server.sockets[0]?.close(1012);
    await waitFor('the new value', async () => textOf(join(home, 'tokens')).includes('new'));
    expect(readFileSync(join(home, 'token'), 'utf8')).toBe('new');
    expect(runsOf(home)).toEqual(['start ann']);
    expect(server.to('/startup')).toHaveLength(1);
  });
});
