import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { storeAgentBundle } from '../../db/queries/files.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { tarOf } from '../support/builders.ts';

let api: TestApi;
let directory: string;
const get = (path: string, headers: Record<string, string> = {}) => api.request('GET', path, { headers });
const digestOf = (text: string) => `sha-256=:${createHash('sha256').update(text).digest('base64')}:`;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'berth-downloads-'));
  api = await createTestApi({
    env: { BERTH_DATA_DIR: directory, CODER_ACCESS_URL: 'https://berth.example', CODER_API_RATE_LIMIT: '512' },
  });
});
afterAll(async () => {
  await api.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('the agent', () => {
  test('is one file with its digest, and nothing for those who have it', async () => {
    const first = await get('/bin/agent.mjs');
    expect(first.status).toBe(200);
    expect(first.headers.get('content-type')).toContain('javascript');
    expect(first.headers.get('content-digest')).toBe(digestOf(first.text));
    const again = await get('/bin/agent.mjs', { 'If-None-Match': first.headers.get('etag') ?? '' });
    expect([again.status, again.text]).toEqual([304, '']);
  });
  test('of an earlier version is found by its digest, and nothing else is', async () => {
    const current = await get('/bin/agent.mjs');
    const digest = createHash('sha256').update(current.text).digest('hex');
    expect((await get(`/bin/agent.mjs?sha256=${digest}`)).text).toBe(current.text);
    const former = Buffer.from('// an agent of last year');
    const { hash } = await storeAgentBundle(api.db, former);
    const found = await get(`/bin/agent.mjs?sha256=${hash}`);
    expect([found.status, found.text, found.headers.get('content-digest')]).toEqual([
      200,
      former.toString(),
      digestOf(former.toString()),
    ]);
    // A template's archive stands in the same table.
    const archive = new Uint8Array(await tarOf({ 'main.tf': '' }));
    const headers = { 'Content-Type': 'application/x-tar' };
    const upload = await api.request('POST', '/api/v2/files', { token: api.ownerToken, headers, body: archive });
    expect(upload.status).toBe(201);
    const ofArchive = createHash('sha256').update(archive).digest('hex');
    expect((await get(`/bin/agent.mjs?sha256=${ofArchive}`)).status).toBe(404);
    expect((await get('/bin/agent.mjs?sha256=x')).status).toBe(400);
  });
  test('is no single executable', async () => {
    const answer = await get('/bin/agent-linux-amd64');
    expect(answer.status).toBe(404);
    expect(answer.body.detail).toContain('Node.js 20');
  });
});

describe('the init script', () => {
  test('is by default for linux/amd64, and knows the agent’s digest', async () => {
    const agent = await get('/bin/agent.mjs');
    const script = await get('/api/v2/init-script');
    expect(script.status).toBe(200);
    expect(script.headers.get('content-type')).toContain('text/plain');
    expect(script.headers.get('content-digest')).toBe(digestOf(script.text));
    expect(script.text).toContain(createHash('sha256').update(agent.text).digest('hex'));
    expect(script.text).toContain('https://berth.example/bin/');
    expect(script.text).toContain('agent-linux-amd64');
    expect(script.text).not.toMatch(/\$\{(ACCESS_URL|AUTH_TYPE|ARCH)\}/);
    expect((await get('/api/v2/init-script/linux/amd64')).text).toBe(script.text);
  });
  test('is chosen by query or path, in any case', async () => {
    const byQuery = await get('/api/v2/init-script?os=Darwin&arch=ARM64');
    expect(byQuery.text).toContain('agent-darwin-arm64');
    expect((await get('/api/v2/init-script/darwin/arm64')).text).toBe(byQuery.text);
    expect((await get('/api/v2/init-script/windows/amd64')).text).toContain('Invoke-WebRequest');
  });
  test('of an unknown machine is 400', async () => {
    for (const path of ['/api/v2/init-script/plan9/amd64', '/api/v2/init-script?os=plan9']) {
      const answer = await get(path);
      expect([answer.status, answer.body.message]).toEqual([400, 'Unknown os/arch: plan9/amd64']);
    }
  });
  test('may be loaded sixty times a minute', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 61; i++) statuses.push((await get('/api/v2/init-script/linux/arm64')).status);
    expect([statuses.filter((status) => status === 200).length >= 55, statuses.at(-1)]).toEqual([true, 429]);
  });
});
