import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { waitFor } from '../support/wait.ts';
import { fakeServer, startAgent, temporaryDirectory } from './support/builders.ts';
import { startFakeServer } from './support/fake-server.ts';

const path = (version: string) => `/api/v2/workspaceagents/me/connect?version=${version}&role=agent`;

describe('the connection', () => {
  test('names version, role and token, and is back after the server was away', async () => {
    const first = await startFakeServer((await fakeServer()).manifest);
    const { diagnostics } = await startAgent({}, { server: first });
    await first.waitForState('ready');
    expect(first.handshakes).toEqual([path('3.0')]);
    await first.close();
    await waitFor('failed attempts', async () => diagnostics.some((line) => line.includes('cannot be reached')));
    const second = await startFakeServer(first.manifest, first.port);
    onTestFinished(() => second.close());
    await waitFor('the connection', async () => second.sockets.length === 1);
    expect(second.states()).toEqual([]);
    expect(diagnostics.join('')).not.toContain('b7c2a3de');
  });

  test('falls back once to the version that the server names', async () => {
    const server = await fakeServer();
    server.refuse = (at) =>
      at.includes('version=3.0') ? { status: 400, headers: { 'Coder-Agent-Api-Version': '2.9' } } : undefined;
    await startAgent({}, { server });
    await server.waitForState('ready');
    expect(server.handshakes).toEqual([path('3.0'), path('2.9')]);
  });

  test('that is refused with 401 for too long ends the process with 2', async () => {
    const server = await fakeServer();
    server.refuse = () => ({ status: 401 });
    const { exitCode } = await startAgent({}, { server, times: { giveUpAfterMs: 200 } });
    expect(await exitCode).toBe(2);
  });

  test('is tried for ever when it is told so', async () => {
    const server = await fakeServer();
    server.refuse = () => ({ status: 401 });
    await startAgent({}, { server, env: { CODER_AGENT_RETRY_FOREVER: '1' }, times: { giveUpAfterMs: 0 } });
    await waitFor('many attempts', async () => server.handshakes.length > 5);
    server.refuse = undefined;
    await server.waitForState('ready');
  });

  test('waits as long as the server asks', async () => {
    const server = await fakeServer();
    server.refuse = () => ({ status: 429, headers: { 'Retry-After': '1' } });
    await startAgent({}, { server });
    await waitFor('the first attempt', async () => server.handshakes.length === 1);
    const began = performance.now();
    server.refuse = undefined;
    await server.waitForState('ready');
    expect(performance.now() - began).toBeGreaterThan(900);
  });

  test('without a sign of life is given up', async () => {
    const { server } = await startAgent({}, { times: { silenceMs: 100 } });
    await waitFor('another connection', async () => server.handshakes.length > 1);
  });

  test('reads the token anew from its file each time', async () => {
    const server = await fakeServer();
    const file = join(temporaryDirectory(), 'token');
    writeFileSync(file, 'first\n');
    await startAgent({}, { server, env: { CODER_AGENT_TOKEN: '', CODER_AGENT_TOKEN_FILE: file } });
    await server.waitForState('ready');
    expect(server.to('/manifest')[0]?.headers['coder-session-token']).toBe('first');
    writeFileSync(file, 'second\n');
    server.sockets[0]?.close(1008, 'build is outdated');
    await waitFor('the new token', async () =>
      server.to('/manifest').some(({ headers }) => headers['coder-session-token'] === 'second'),
    );
  });

  test('answers every request with one response', async () => {
    const { server } = await startAgent();
    await server.waitForState('ready');
    server.send({ type: 'request', id: '1', method: 'listening-ports', params: {} });
    server.send({ type: 'request', id: '2', method: 'devcontainers.recreate', params: { id: 'none' } });
    server.send({ type: 'request', id: '3', method: 'containers.list', params: {} });
    server.send({ type: 'request', id: '4', method: 'unknown' as never, params: {} });
    await waitFor('the answers', async () => server.answers.length === 4);
    const answers = Object.fromEntries(server.answers.map((answer) => [answer.id, answer]));
    expect(answers['1']?.result).toEqual({
      ports: expect.arrayContaining([expect.objectContaining({ port: server.port })]),
    });
    expect(answers['2']?.error).toBe('NOT_FOUND: no such dev container');
    expect(answers['3']?.result).toMatchObject({ devcontainers: [] });
    expect(answers['4']?.error).toContain('unknown method');
  });
});

describe('identity of a machine', () => {
  test.each([
    [
      'aws-instance-identity',
      {
        '/latest/api/token': 'imds',
        '/latest/dynamic/instance-identity/document': 'doc',
        '/latest/dynamic/instance-identity/signature': 'sig',
      },
      { document: 'doc', signature: 'sig', agent_name: 'main' },
    ],
    [
      'azure-instance-identity',
      { '/metadata/attested/document?api-version=2020-09-01': '{"signature":"sig","encoding":"pkcs7"}' },
      { signature: 'sig', encoding: 'pkcs7', agent_name: 'main' },
    ],
    [
      'google-instance-identity',
      { '/computeMetadata/v1/instance/service-accounts/default/identity?audience=coder&format=full': 'jwt' },
      { json_web_token: 'jwt', agent_name: 'main' },
    ],
  ])('%s is exchanged on each connection, and the token goes with every call', async (auth, documents, body) => {
    const server = await fakeServer();
    let exchanges = 0;
    server.handler = (request) => {
      if (request.path === `/api/v2/workspaceagents/${auth}`) {
        exchanges += 1;
        return { status: 200, body: { session_token: `token-${exchanges}` } };
      }
      const found = (documents as Record<string, string>)[request.path];
      return found === undefined ? undefined : { status: 200, body: found };
    };
    const env = {
      CODER_AGENT_AUTH: auth,
      CODER_AGENT_TOKEN: '',
      CODER_AGENT_METADATA_URL: server.url,
      CODER_AGENT_NAME: 'main',
    };
    await startAgent({}, { server, env });
    await server.waitForState('ready');
    expect(server.to(`/api/v2/workspaceagents/${auth}`)[0]?.body).toEqual(body);
    await waitFor('reinit', async () => server.to('/reinit').length === 1);
    expect(server.to('/reinit')[0]?.headers['coder-session-token']).toBe('token-1');
    server.sockets[0]?.close(1008);
    await waitFor('the next exchange', async () => server.sockets.length === 1 && exchanges === 2);
  });

  test('that is refused is exchanged again, never given up', async () => {
    const server = await fakeServer();
    let exchanges = 0;
    server.handler = ({ path: at }) => {
      if (at.startsWith('/computeMetadata')) return { status: 200, body: 'jwt' };
      if (!at.endsWith('google-instance-identity')) return undefined;
      return exchanges++ < 5 ? { status: 401 } : { status: 200, body: { session_token: 't' } };
    };
    const env = { CODER_AGENT_AUTH: 'google-instance-identity', CODER_AGENT_METADATA_URL: server.url };
    await startAgent({}, { server, env, times: { giveUpAfterMs: 0 } });
    await server.waitForState('ready');
  });
});
