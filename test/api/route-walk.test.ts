import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openApiDocument } from '../../api/openapi.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly access: string;
}

let api: TestApi;
let operations: Operation[];
/** Somebody whom nobody gave anything. */
let stranger: TestUser;

beforeAll(async () => {
  api = await createTestApi();
  stranger = await api.createUser({ organizationIds: [] });
  operations = Object.entries(openApiDocument(api.app).paths).flatMap(([path, item]) =>
    Object.entries(item as Record<string, { 'x-berth-access'?: string }>).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      access: operation['x-berth-access'] ?? '',
    })),
  );
});
afterAll(() => api.close());

/** A path with the owner's ids where it has parameters: things that exist but are none of the caller's business. */
function concrete(path: string): string {
  const values: Record<string, string> = {
    user: api.owner.id,
    organization: api.organizationId,
    keyid: 'aaaaaaaaaa',
    keyname: 'some-token',
    group: api.organizationId,
    os: 'linux',
    arch: 'amd64',
    number: '1',
  };
  return path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => values[name] ?? '5f1d7a52-8c55-4e8b-9f0a-3f7f3f3f3f3f');
}

/** An error of ours; 501 says on purpose that something is not part of the product. */
const isFailure = (status: number) => status >= 500 && status !== 501;

describe('every route', () => {
  test('declares who may call it, in the document and for every path the router knows', () => {
    expect(operations.length).toBeGreaterThan(50);
    expect(operations.filter(({ access }) => access === '')).toEqual([]);
    const documented = new Set(
      operations.map(({ method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
    );
    const hidden = ['/docs', '/swagger', '/docs/start.js', '/docs/viewer.js'];
    const undeclared = api.app.routes
      .filter(({ method, path }) => method !== 'ALL' && !hidden.includes(path))
      .map(({ method, path }) => `${method} ${path}`)
      .filter((route) => !documented.has(route));
    expect(undeclared).toEqual([]);
  });

  test('that is not public answers 401 without a token and with a bad one', async () => {
    for (const { method, path, access } of operations) {
      if (access === 'public') continue;
      const bare = await api.request(method, concrete(path));
      expect({ method, path, status: bare.status }).toEqual({ method, path, status: 401 });
      const bad = await api.request(method, concrete(path), { token: 'aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb' });
      expect({ method, path, status: bad.status }).toEqual({ method, path, status: 401 });
    }
  });

  test('gives a user without roles and organizations nothing of others', async () => {
    const open = [
      '/api/v2/experiments',
      '/api/v2/experiments/available',
      '/api/v2/entitlements',
      '/api/v2/users/roles',
      '/api/v2/users/logout',
    ];
    const seen: string[] = [];
    for (const { method, path, access } of operations) {
      if (access === 'public' || access === 'agent' || open.includes(path)) continue;
      const answer = await api.request(method, concrete(path), {
        token: stranger.token,
        ...(method !== 'GET' && { body: {} }),
      });
      if (answer.status >= 400) {
        expect({ method, path, failed: isFailure(answer.status) }).toEqual({ method, path, failed: false });
        continue;
      }
      // A list may be empty, or hold the caller himself, but nothing that names somebody or something else.
      seen.push(`${method} ${path}`);
      expect({ path, leaks: answer.text.includes(api.owner.id) || answer.text.includes(api.organizationId) }).toEqual({
        path,
        leaks: false,
      });
    }
    expect(seen).toContain('GET /api/v2/users');
  });

  test('answers no 5xx to an owner who sends nonsense', async () => {
    const failures: object[] = [];
    for (const { method, path, access } of operations) {
      if (access === 'agent' || path.endsWith('/logout')) continue;
      for (const body of method === 'GET' ? [undefined] : ['{"a":', '[]', 'null', '{"name":7}', '\u0000']) {
        const answer = await api.request(method, concrete(path), {
          token: api.ownerToken,
          ...(body !== undefined && { body, headers: { 'Content-Type': 'application/json' } }),
        });
        const fine = !isFailure(answer.status) || (path === '/readyz' && answer.status === 503);
        if (!fine) failures.push({ method, path, body, status: answer.status });
      }
    }
    expect(failures).toEqual([]);
  });
});
