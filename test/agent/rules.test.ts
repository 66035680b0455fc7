import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseContainer } from '../../agent/containers.ts';
import { parseSchedule } from '../../agent/cron.ts';
import { configCandidates, parseUpOutcome, subAgentName } from '../../agent/devcontainer-rules.ts';
import { healthcheckOf, nextHealth } from '../../agent/health-rules.ts';
import { mayFollow, scriptsOutcome, stateAfter } from '../../agent/lifecycle.ts';
import { createLineSplitter } from '../../agent/lines.ts';
import { parseProcNet } from '../../agent/listening-ports.ts';
import { isDue, timeoutMsOf } from '../../agent/metadata-schedule.ts';
import type { ManifestApp } from '../../agent/protocol.ts';
import { agentLifecycleStates } from '../../domain/agent-lifecycle.ts';
import { parseEvent } from '../../agent/reinit-stream.ts';
import { memoryUsage } from '../../agent/resource-monitors.ts';
import { readSettings } from '../../agent/settings.ts';
import { interpreterOf } from '../../agent/shebang.ts';
import { parsePrompt } from '../../agent/git-credentials.ts';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { agentNameProblem } from '../../domain/sub-agents.ts';
import { temporaryDirectory } from './support/builders.ts';

describe('lifecycle', () => {
  test('only a later state follows', () => {
    for (const [i, last] of agentLifecycleStates.entries())
      for (const [j, next] of agentLifecycleStates.entries()) expect(mayFollow(last, next)).toBe(j > i);
    expect(mayFollow(undefined, 'starting')).toBe(true);
  });
  test('a failure outweighs a timeout; open pipes are neither', () => {
    const ok = { status: 'ok', exitCode: 0 } as const;
    const late = { status: 'timed_out', exitCode: 255 } as const;
    const bad = { status: 'exit_failure', exitCode: 3 } as const;
    const pipes = { status: 'pipes_left_open', exitCode: 0 } as const;
    expect(stateAfter('start', scriptsOutcome([]))).toBe('ready');
    expect(stateAfter('start', scriptsOutcome([ok, pipes]))).toBe('ready');
    expect(stateAfter('start', scriptsOutcome([ok, late]))).toBe('start_timeout');
    expect(stateAfter('start', scriptsOutcome([late, bad]))).toBe('start_error');
    expect(stateAfter('start', scriptsOutcome([{ ...pipes, exitCode: 1 }]))).toBe('start_error');
    expect([ok, late, bad].map((run) => stateAfter('stop', scriptsOutcome([run])))).toEqual([
      'off',
      'shutdown_timeout',
      'shutdown_error',
    ]);
  });
});

describe('health of an app', () => {
  const app = (healthcheck: ManifestApp['healthcheck']): ManifestApp => ({
    id: '1',
    slug: 'web',
    external: false,
    health: 'initializing',
    healthcheck,
  });
  test('three failures in a row make it unhealthy, one success healthy', () => {
    let state = nextHealth({ health: 'initializing', failures: 0 }, true, 3);
    expect(state).toEqual({ health: 'healthy', failures: 0 });
    const seen = [false, false, true, false, false, false, false, true].map((succeeded) => {
      state = nextHealth(state, succeeded, 3);
      return state.health;
    });
    expect(seen).toEqual(['healthy', 'healthy', 'healthy', 'healthy', 'healthy', 'unhealthy', 'unhealthy', 'healthy']);
  });
  test('an interval or threshold that is none becomes 5 s and 3', () => {
    expect(healthcheckOf(app({ url: 'http://x', interval: 0, threshold: -1 }))).toEqual({
      url: 'http://x',
      intervalMs: 5000,
      threshold: 3,
    });
    expect(healthcheckOf(app(undefined))).toBeNull();
    expect(healthcheckOf(app({ url: '', interval: 1, threshold: 1 }))).toBeNull();
  });
});

test('metadata is due at first, then at its interval, or never again', () => {
  const item = { display_name: '', key: 'k', script: '', interval: 10, timeout: 0 };
  expect([isDue(item, null, 0), isDue(item, 0, 9999), isDue(item, 0, 10_000)]).toEqual([true, false, true]);
  expect(isDue({ ...item, interval: 0 }, 0, 1e9)).toBe(false);
  expect([timeoutMsOf(item), timeoutMsOf({ ...item, timeout: 2 }), timeoutMsOf({ ...item, interval: 0 })]).toEqual([
    10_000, 2000, 3000,
  ]);
});

test('schedules: six fields, descriptors, time zones', () => {
  expect(parseSchedule('  ')).toBeNull();
  expect(parseSchedule('*/5 * * * * *')).toEqual({ kind: 'pattern', pattern: '*/5 * * * * *', timezone: undefined });
  expect(parseSchedule('CRON_TZ=Europe/Berlin 0 0 8 * * 1-5')).toMatchObject({
    timezone: 'Europe/Berlin',
    pattern: '0 0 8 * * 1-5',
  });
  expect(parseSchedule('@every 1h30m')).toEqual({ kind: 'every', everyMs: 5_400_000 });
  expect(parseSchedule('@hourly')).toMatchObject({ kind: 'pattern', pattern: '@hourly' });
});

test('interpreters of scripts', () => {
  expect(interpreterOf('echo hi')).toBeNull();
  expect(interpreterOf('#!/bin/bash -e\necho')).toEqual({ file: '/bin/bash', args: ['-e'] });
  expect(interpreterOf('\n  #!/usr/bin/env python3\r\n')).toEqual({ file: 'python3', args: [] });
  expect(interpreterOf('#!/usr/bin/env -S node --x\n')).toEqual({ file: 'node', args: ['--x'] });
});

describe('lines', () => {
  test('are the same however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.array(fc.nat(20)), (text, cuts) => {
        const seen: string[] = [];
        const splitter = createLineSplitter((line) => seen.push(line));
        let bytes = Buffer.from(text);
        for (const cut of cuts) {
          splitter.push(bytes.subarray(0, cut));
          bytes = bytes.subarray(cut);
        }
        splitter.push(bytes);
        splitter.end();
        const expected = text.split('\n');
        if (expected.at(-1) === '') expected.pop();
        expect(seen).toEqual(expected.map((line) => line.replace(/\r$/, '')));
      }),
    );
  });
  test('that never end come in pieces', () => {
    const seen: number[] = [];
    const splitter = createLineSplitter((line) => seen.push(line.length));
    splitter.push(Buffer.alloc(40_000, 'x'));
    splitter.end();
    expect(seen).toEqual([16_384, 16_384, 7232]);
  });
  test('with bytes that are no text still come', () => {
    const seen: string[] = [];
    const splitter = createLineSplitter((line) => seen.push(line));
    splitter.push(Buffer.from([0x61, 0xff, 0x0a]));
    expect(seen).toEqual(['a\uFFFD']);
  });
});

test('events of a claim; anything else is none', () => {
  const event = { workspace_id: 'w', user_id: 'u', reason: 'prebuild_claimed' };
  expect(parseEvent(`event: data\ndata: ${JSON.stringify(event)}`)).toEqual(event);
  for (const block of ['event: ping', ': comment', 'event: data\ndata: claimed', 'event: error\ndata: {"user_id":"u"}'])
    expect(parseEvent(block)).toBeNull();
});

describe('dev containers', () => {
  test('every folder gives a name that the server takes', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 30 }), (folder, attempt) => {
        expect(agentNameProblem(subAgentName(folder, attempt))).toBeUndefined();
      }),
    );
    expect([subAgentName('/home/ann/My App_2'), subAgentName('/srv/web/', 2), subAgentName('/')]).toEqual([
      'my-app-2',
      'web-2',
      'devcontainer',
    ]);
  });
  test('a given configuration is below the folder, unless it is absolute', () => {
    expect(configCandidates('/w', 'a/d.json')).toEqual(['/w/a/d.json']);
    expect(configCandidates('/w', '/d.json')).toEqual(['/d.json']);
  });
  test('the result is the last line of the output that is one', () => {
    expect(parseUpOutcome('noise\n{"outcome":"success","containerId":"c1","remoteWorkspaceFolder":"/w"}\n')).toEqual({
      containerId: 'c1',
      remoteWorkspaceFolder: '/w',
    });
    expect(parseUpOutcome('').containerId).toBe('');
  });
  test('a line of docker ps', () => {
    const line = JSON.stringify({ ID: 'c1', Names: 'web', Labels: 'a=b=c,d=', State: 'running' });
    expect(parseContainer(line)).toMatchObject({ id: 'c1', running: true, labels: { a: 'b=c', d: '' } });
    expect(parseContainer('no')).toBeNull();
  });
});

test('listening ports of /proc/net/tcp', () => {
  const text = `  sl  local_address rem_address   st
   0: 0100007F:1F90 00000000:0000 0A 00000000
   1: 0100007F:1F91 0100007F:0050 01 00000000\n`;
  expect(parseProcNet(text)).toEqual([8080]);
});

test('memory is the cgroup’s where it has a limit, else the machine’s', () => {
  const root = `${temporaryDirectory()}/`;
  mkdirSync(join(root, 'proc'), { recursive: true });
  mkdirSync(join(root, 'sys/fs/cgroup'), { recursive: true });
  writeFileSync(join(root, 'proc/meminfo'), 'MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    400 kB\n');
  expect(memoryUsage(root)).toEqual({ used: 600 * 1024, total: 1000 * 1024 });
  writeFileSync(join(root, 'sys/fs/cgroup/memory.max'), 'max\n');
  writeFileSync(join(root, 'sys/fs/cgroup/memory.current'), '500\n');
  expect(memoryUsage(root).total).toBe(1000 * 1024);
  writeFileSync(join(root, 'sys/fs/cgroup/memory.max'), '2000\n');
  writeFileSync(join(root, 'sys/fs/cgroup/memory.stat'), 'anon 1\ninactive_file 100\n');
  expect(memoryUsage(root)).toEqual({ used: 400, total: 2000 });
});

test('what git asks for', () => {
  expect(parsePrompt("Username for 'https://github.com': ")).toEqual({ kind: 'username', host: 'https://github.com' });
  expect(parsePrompt("Password for 'https://x@git.example.com/a/b': ")).toEqual({
    kind: 'password',
    host: 'https://git.example.com/a/b',
  });
  expect(parsePrompt('Are you sure?')).toBeNull();
});

describe('settings', () => {
  const env = { CODER_AGENT_URL: 'http://berth/', CODER_AGENT_TOKEN: 'secret-token' };
  test('have defaults', () => {
    expect(readSettings(env)).toMatchObject({
      url: 'http://berth',
      auth: 'token',
      retryForever: false,
      devcontainers: true,
      reconnectSpreadMs: 30_000,
    });
  });
  test('name the bad variable, never the token', () => {
    expect(() => readSettings({ ...env, CODER_AGENT_URL: 'berth' })).toThrow('CODER_AGENT_URL');
    expect(() => readSettings({ ...env, CODER_AGENT_TOKEN: '' })).toThrow('CODER_AGENT_TOKEN');
    expect(() => readSettings({ ...env, CODER_AGENT_AUTH: 'magic' })).toThrow('CODER_AGENT_AUTH');
    expect(() => readSettings({ ...env, CODER_AGENT_RECONNECT_SPREAD: 'x' })).toThrow('CODER_AGENT_RECONNECT_SPREAD');
    expect(readSettings({ CODER_AGENT_URL: 'http://x', CODER_AGENT_AUTH: 'aws-instance-identity' }).token).toBe('');
    expect(readSettings({ ...env, CODER_AGENT_DEVCONTAINERS_ENABLE: 'false' }).devcontainers).toBe(false);
  });
});
