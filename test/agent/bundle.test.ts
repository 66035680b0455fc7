import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { tmpdir } from 'node:os';
import { buildAgentBundle, loadAgentBundle } from '../../agent/bundle.ts';
import { waitFor } from '../support/wait.ts';
import { fakeServer, script, stopScript, temporaryDirectory } from './support/builders.ts';

const packageVersion = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
let directory: string;
let file: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'berth-bundle-'));
  file = join(directory, 'agent.mjs');
  writeFileSync(file, await buildAgentBundle());
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the bundle', () => {
  test('has the same bytes each time, and nothing of this host in it', async () => {
    const [first, second] = await Promise.all([buildAgentBundle(), buildAgentBundle()]);
    expect(first.equals(second)).toBe(true);
    expect(first.includes(process.cwd())).toBe(false);
    expect(first.length).toBeLessThan(300_000);
  });
  test('is built once and kept under the hash of its sources', async () => {
    const directory = temporaryDirectory();
    const [one, two] = await Promise.all([loadAgentBundle({ directory }), loadAgentBundle({ directory })]);
    expect(one).toBe(two);
    const names = readdirSync(directory);
    expect(names).toEqual([expect.stringMatching(/^agent-[0-9a-f]{32}\.mjs$/)]);
    expect(readFileSync(join(directory, names[0] ?? '')).equals(one.code)).toBe(true);
  });
});

describe('the process', () => {
  test('says its version', () => {
    const { stdout, status } = spawnSync(process.execPath, [file, 'version'], { encoding: 'utf8' });
    expect([stdout, status]).toEqual([`v${packageVersion}\n`, 0]);
  });
  test('without settings names the variable and ends with 1', () => {
    const { stderr, status } = spawnSync(process.execPath, [file], { encoding: 'utf8', env: {} });
    expect(status).toBe(1);
    expect(stderr).toContain('CODER_AGENT_URL');
  });
  test.each(['SIGTERM', 'SIGINT'] as const)('runs scripts, stays small, and ends with 0 after %s', async (signal) => {
    const server = await fakeServer({
      scripts: [script('echo up; "$GIT_ASKPASS" version'), stopScript('echo down')],
      git_auth_configs: 1,
    });
    const home = temporaryDirectory();
    const child = spawn(process.execPath, ['--max-semi-space-size=1', '--max-old-space-size=128', file], {
      env: {
        PATH: process.env['PATH'],
        HOME: home,
        CODER_AGENT_URL: `${server.url}/`,
        CODER_AGENT_TOKEN: 'canary-token',
        CODER_AGENT_LOG_DIR: home,
      },
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    await server.waitForState('ready');
    await waitFor('output', async () => server.lines().some(({ output }) => output === `v${packageVersion}`));
    const residentKb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]);
    expect(residentKb).toBeLessThan(90_000);
    child.kill(signal);
    expect(await exited).toBe(0);
    expect(server.states()).toEqual(['starting', 'ready', 'shutting_down', 'off']);
    expect(server.lines().map(({ output }) => output)).toContain('down');
    expect(stderr).not.toContain('canary-token');
    expect(stderr.trim().split('\n').length).toBeLessThan(6);
  });
});
