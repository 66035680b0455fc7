import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  initScript,
  initScriptPlatforms,
  initScripts,
  isInitScriptPlatform,
  renderInitScript,
} from '../../agent/init-script.ts';
import { waitFor } from '../support/wait.ts';
import { fakeServer, temporaryDirectory } from './support/builders.ts';
import type { FakeServer } from './support/fake-server.ts';

/** Stands in for the agent: notes its environment and ends. */
const program = `import { writeFileSync } from 'node:fs';
const { CODER_AGENT_URL, CODER_AGENT_AUTH, CODER_AGENT_TOKEN } = process.env;
writeFileSync(process.env.HOME + '/ran', [CODER_AGENT_URL, CODER_AGENT_AUTH, CODER_AGENT_TOKEN].join(' '));
process.exit(7);
`;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const agentSha256 = sha256(program);
const shells = ['dash', 'sh', 'bash', 'busybox'].filter((name) => spawnSync(name, ['-c', 'true']).error === undefined);
const tools = ['mktemp', 'cut', 'sha256sum', 'sleep', 'rm', 'cat', 'env', 'sh'];

/** A PATH with exactly these commands. */
function pathWith(names: readonly string[]): string {
  const directory = temporaryDirectory();
  mkdirSync(directory, { recursive: true });
  for (const name of names) {
    const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
    if (found !== '') symlinkSync(found, join(directory, name));
  }
  return directory;
}

function run(shell: string, server: FakeServer, { path = process.env['PATH'] ?? '' } = {}) {
  const home = temporaryDirectory();
  const script = renderInitScript(initScript({ os: 'linux', arch: 'amd64', agentSha256 }), {
    accessUrl: server.url,
    authType: 'token',
  });
  const env = {
    PATH: path,
    HOME: home,
    TMPDIR: home,
    CODER_AGENT_TOKEN: 'the-token',
    CODER_AGENT_NO_SLEEP: '1',
    CODER_AGENT_DOWNLOAD_RETRY: '0.05',
  };
  // By its full path: what is not on the given PATH must not be found.
  const file = spawnSync('sh', ['-c', `command -v ${shell}`], { encoding: 'utf8' }).stdout.trim();
  const child = spawn(file, [...(shell === 'busybox' ? ['sh'] : []), '-c', script], { env });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = new Promise<number | null>((resolve) => child.once('exit', resolve));
  onTestFinished(() => void child.kill('SIGKILL'));
  return { home, code, stderr: () => stderr };
}
const isAgent = (path: string) => /^\/bin\/agent\.mjs\?sha256=[0-9a-f]{64}$/.test(path);
const serve = (server: FakeServer, content: () => string | undefined) => {
  server.handler = ({ path }) => {
    const body = isAgent(path) ? content() : undefined;
    return { status: body === undefined ? 404 : 200, body: body ?? '' };
  };
};

describe('the init script', () => {
  test.each(shells)('is taken by %s on every platform', (shell) => {
    for (const [os, archs] of [
      ['linux', initScriptPlatforms.linux],
      ['darwin', initScriptPlatforms.darwin],
    ] as const)
      for (const arch of archs) {
        const text = initScript({ os, arch, agentSha256 });
        const checked = spawnSync(shell, [...(shell === 'busybox' ? ['sh'] : []), '-n'], {
          input: text,
          encoding: 'utf8',
        });
        expect([checked.status, checked.stderr]).toEqual([0, '']);
      }
  });

  test('leaves two places for the provider, and nothing that Kubernetes would expand', () => {
    const scripts = initScripts(agentSha256);
    expect(Object.keys(scripts).toSorted()).toEqual(
      [
        'darwin_amd64',
        'darwin_arm64',
        'linux_amd64',
        'linux_arm64',
        'linux_armv7',
        'windows_amd64',
        'windows_arm64',
      ].toSorted(),
    );
    for (const [platform, text] of Object.entries(scripts)) {
      expect(text).toContain('${ACCESS_URL}bin/');
      expect(text).toContain('${AUTH_TYPE}');
      expect(text).toContain(agentSha256);
      expect(text).toContain(
        `agent-${platform.startsWith('windows') ? 'windows-' : platform.replace(/_.*/, '-')}${platform.replace(/.*_/, '')}`,
      );
      expect(text).not.toContain('$$');
      expect(text).not.toContain('set -x');
      // An argument or variable of a process takes 128 KiB.
      expect(text.length).toBeLessThan(32_768);
      const filled = renderInitScript(text, { accessUrl: 'https://b.example/', authType: 'token' });
      expect(filled).toContain('https://b.example/bin/');
      expect(filled).not.toMatch(/\$\{(ACCESS_URL|AUTH_TYPE|ARCH)\}/);
    }
    expect(isInitScriptPlatform('plan9', 'amd64')).toBe(false);
    expect(isInitScriptPlatform('toString', 'length')).toBe(false);
    expect(() => initScript({ os: 'linux', arch: '386', agentSha256 })).toThrow('Unknown os/arch: linux/386');
  });

  test.each(shells)('run by %s loads, checks and becomes the agent', async (shell) => {
    const server = await fakeServer();
    serve(server, () => program);
    const { home, code } = run(shell, server);
    expect(await code).toBe(7);
    expect(readFileSync(join(home, 'ran'), 'utf8')).toBe(`${server.url}/ token the-token`);
  });

  test('runs nothing with another checksum, and tries again', async () => {
    const server = await fakeServer();
    let content = `${program}\n// changed`;
    serve(server, () => content);
    const { home, code, stderr } = run('sh', server);
    await waitFor('two attempts', async () => server.requests.filter(({ path }) => isAgent(path)).length >= 2);
    expect(existsSync(join(home, 'ran'))).toBe(false);
    expect(stderr()).toContain('another checksum');
    content = program;
    expect(await code).toBe(7);
  });

  test('outlasts a server that is away', async () => {
    const server = await fakeServer();
    let content: string | undefined;
    serve(server, () => content);
    const { code, stderr } = run('sh', server);
    await waitFor('three attempts', async () => server.to('/bin/').length >= 3);
    expect(stderr()).toContain('cannot be downloaded');
    content = program;
    expect(await code).toBe(7);
  });

  test('with wget alone loads as well', async () => {
    if (spawnSync('wget', ['--version']).error !== undefined) return;
    const server = await fakeServer();
    serve(server, () => program);
    expect(await run('sh', server, { path: pathWith([...tools, 'wget', 'node']) }).code).toBe(7);
  });

  test('without anything to load with ends with 127', async () => {
    const server = await fakeServer();
    const { code, stderr } = run('sh', server, { path: pathWith([...tools, 'node']) });
    expect(await code).toBe(127);
    expect(stderr()).toContain('none of curl, wget and busybox');
  });

  test('without Node.js asks for the single executable, runs nothing unchecked, and goes on once there is one', async () => {
    const server = await fakeServer();
    server.handler = ({ path }) => ({
      status: 200,
      body: isAgent(path) ? program : '#!/bin/sh\ntouch $HOME/ran\n',
    });
    const path = pathWith([...tools, 'curl']);
    const { home, code } = run('sh', server, { path });
    await waitFor('its attempts', async () => server.to('/bin/agent-linux-amd64').length >= 2);
    expect(existsSync(join(home, 'ran'))).toBe(false);
    symlinkSync(process.execPath, join(path, 'node'));
    expect(await code).toBe(7);
  });

  test('that fails stays for a day, unless told not to', async () => {
    const sleeps = join(temporaryDirectory(), 'slept');
    const path = pathWith(tools.filter((name) => name !== 'sleep'));
    writeFileSync(join(path, 'sleep'), `#!/bin/sh\necho "$1" >${sleeps}\n`, { mode: 0o755 });
    const text = renderInitScript(initScript({ os: 'linux', arch: 'amd64', agentSha256 }), {
      accessUrl: 'http://127.0.0.1:1',
      authType: 'token',
    });
    const { status } = spawnSync('/bin/sh', ['-c', text], { env: { PATH: path, HOME: path, TMPDIR: path } });
    expect([status, readFileSync(sleeps, 'utf8')]).toEqual([127, '86400\n']);
  });
});
