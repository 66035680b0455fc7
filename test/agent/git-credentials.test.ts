import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { answerPrompt, runSsh } from '../../agent/git-credentials.ts';
import { fakeServer, temporaryDirectory } from './support/builders.ts';

describe('git', () => {
  test('gets name and password of the external authentication, or the place to sign in', async () => {
    const server = await fakeServer();
    const printed = { out: '', err: '' };
    const print = { out: (text: string) => (printed.out += text), err: (text: string) => (printed.err += text) };
    const ask = (prompt: string) => answerPrompt(prompt, { url: server.url, token: 't' }, print);
    server.handler = ({ path }) =>
      path.startsWith('/external-auth')
        ? { status: 200, body: { username: 'oauth2', password: 'pw', url: 'https://sign.in' } }
        : undefined;
    expect(await ask("Username for 'https://github.com': ")).toBe(0);
    expect(await ask("Password for 'https://oauth2@github.com': ")).toBe(0);
    expect(printed.out).toBe('oauth2\npw\n');
    expect(server.to('/external-auth')[0]?.path).toBe('/external-auth?match=https%3A%2F%2Fgithub.com');
    server.handler = () => ({ status: 200, body: { url: 'https://sign.in' } });
    expect(await ask("Username for 'https://github.com': ")).toBe(1);
    expect(printed.err).toContain('https://sign.in');
    server.handler = () => ({ status: 404 });
    expect(await ask("Username for 'https://github.com': ")).toBe(1);
    expect(await ask('Really?')).toBe(1);
  });

  test('over ssh has the owner’s key for as long as it runs, and goes without when there is none', async () => {
    const server = await fakeServer();
    const home = temporaryDirectory();
    const note = join(home, 'note');
    writeFileSync(join(home, 'ssh'), `#!/bin/sh\necho "$@" >>${note}\n[ "$1" != -i ] || cat "$2" >>${note}\nexit 3\n`, {
      mode: 0o755,
    });
    const env = { PATH: `${home}:${process.env['PATH'] ?? ''}` };
    const access = { url: server.url, token: 't' };
    server.handler = () => ({ status: 200, body: { private_key: 'the key\n', public_key: '' } });
    expect(await runSsh(['git@host', 'x'], access, env)).toBe(3);
    server.handler = () => ({ status: 403 });
    expect(await runSsh(['git@host', 'x'], access, env)).toBe(3);
    const lines = readFileSync(note, 'utf8').trim().split('\n');
    expect(lines).toEqual([expect.stringMatching(/^-i \S+ git@host x$/), 'the key', 'git@host x']);
  });
});
