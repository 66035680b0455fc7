import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { waitFor } from '../support/wait.ts';
import { script, startAgent, stopScript } from './support/builders.ts';

const counting = stopScript('echo stopped >>$HOME/stops; echo stop line');

describe('a shutdown', () => {
  test('runs the stop scripts, reports each state in order, sends the last lines and ends with 0', async () => {
    const { agent, server, exitCode, home } = await startAgent({ scripts: [counting] });
    await server.waitForState('ready');
    await agent.shutdown();
    expect(await exitCode).toBe(0);
    expect(server.states()).toEqual(['starting', 'ready', 'shutting_down', 'off']);
    expect(readFileSync(join(home, 'stops'), 'utf8')).toBe('stopped\n');
    expect(server.lines().map(({ output }) => output)).toContain('stop line');
    expect(server.timings().map(({ stage }) => stage)).toEqual(['stop']);
    const changes = server.to('/report-lifecycle').map(({ body }) => String(body.changed_at));
    expect(changes).toEqual(changes.toSorted());
  });

  test('on the server’s command leaves the process; a later SIGTERM runs nothing again', async () => {
    const { agent, server, exitCode, home } = await startAgent({ scripts: [counting] });
    await server.waitForState('ready');
    server.send({ type: 'shutdown', reason: 'stop' });
    await server.waitForState('off');
    server.send({ type: 'shutdown', reason: 'stop' });
    expect(server.sockets).toHaveLength(1);
    await agent.shutdown();
    expect(await exitCode).toBe(0);
    expect(readFileSync(join(home, 'stops'), 'utf8')).toBe('stopped\n');
    expect(server.states().filter((state) => state === 'off')).toHaveLength(1);
  });

  test('runs the stop scripts also when the server is away, and does not wait for it for long', async () => {
    const { agent, server, exitCode, home } = await startAgent(
      { scripts: [counting] },
      { times: { finalFlushMs: 200 } },
    );
    await server.waitForState('ready');
    server.handler = () => ({ status: 503 });
    server.refuse = () => ({ status: 503 });
    for (const socket of server.sockets) socket.terminate();
    const began = performance.now();
    await agent.shutdown();
    expect(await exitCode).toBe(0);
    expect(existsSync(join(home, 'stops'))).toBe(true);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  test('interrupts start scripts that still run and skips `ready`', async () => {
    const { agent, server } = await startAgent({ scripts: [script('sleep 60'), counting] });
    await server.waitForState('starting');
    await agent.shutdown();
    expect(server.states()).toEqual(['starting', 'shutting_down', 'off']);
  });

  test('of which a script fails or takes too long says so', async () => {
    const failing = await startAgent({ scripts: [stopScript('exit 1')] });
    await failing.server.waitForState('ready');
    await failing.agent.shutdown();
    expect(failing.server.states().at(-1)).toBe('shutdown_error');
    const slow = await startAgent({ scripts: [{ ...stopScript('sleep 30'), timeout: 100_000_000 }] });
    await slow.server.waitForState('ready');
    await slow.agent.shutdown();
    expect(slow.server.states().at(-1)).toBe('shutdown_timeout');
  });

  test('before there ever was a manifest ends at once', async () => {
    const { agent, server, exitCode } = await startAgent();
    server.handler = ({ path }) => (path === '/manifest' ? { status: 503 } : undefined);
    await agent.shutdown();
    expect(await exitCode).toBe(0);
  });

  test('keeps logs and states going but ends metadata first', async () => {
    const metadata = [{ display_name: '', key: 'k', script: 'date +%s%N', interval: 1, timeout: 1 }];
    const wait = stopScript('while [ ! -e $HOME/go ]; do sleep 0.02; done; echo late line');
    const { agent, server, home } = await startAgent({ metadata, scripts: [wait] });
    await waitFor('metadata', async () => server.to('/metadata').length > 0);
    const ended = agent.shutdown();
    await server.waitForState('shutting_down');
    const before = server.to('/metadata').length;
    const began = Date.now();
    await waitFor('more than its interval', async () => Date.now() - began > 1300);
    expect(server.to('/metadata').length).toBe(before);
    writeFileSync(join(home, 'go'), '');
    await ended;
    expect(server.lines().map(({ output }) => output)).toContain('late line');
  });
});

describe('states', () => {
  test('are retried until they are taken, one at a time and in order', async () => {
    const { server } = await startAgent();
    let refusals = 0;
    server.handler = ({ path }) => (path === '/report-lifecycle' && refusals++ < 3 ? { status: 503 } : undefined);
    await server.waitForState('ready');
    expect(server.states()).toEqual(['starting', 'starting', 'starting', 'starting', 'ready']);
    const changes = new Set(server.to('/report-lifecycle').map(({ body }) => body.changed_at));
    expect(changes.size).toBeLessThanOrEqual(2);
  });
  test('that the server refuses for good do not hold up the next ones', async () => {
    const { server } = await startAgent();
    server.handler = ({ body }) => (body?.state === 'starting' ? { status: 400 } : undefined);
    await server.waitForState('ready');
    expect(server.states()).toEqual(['starting', 'ready']);
  });
});
