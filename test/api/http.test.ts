import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jsonDepth } from '../../api/middleware/body.ts';
import { createClientIp } from '../../api/middleware/client-ip.ts';
import { csrfTokenOf } from '../../api/middleware/csrf.ts';
import { RateLimiter } from '../../api/middleware/rate-limit.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';

const base = '/api/v2';
let api: TestApi;
let member: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser({ username: 'member' });
});
afterAll(() => api.close());

describe('every response', () => {
  test('carries the defensive headers, a request id and the version', async () => {
    const { headers } = await api.request('GET', `${base}/users/me`, { token: member.token });
    const kept = Object.fromEntries(
      [...headers].filter(([name]) => !['content-length', 'x-coder-request-id'].includes(name)),
    );
    expect(kept).toEqual({
      'cache-control': 'no-store',
      'content-security-policy':
        "default-src 'self'; base-uri 'self'; object-src 'none'; frame-ancestors 'none'; form-action 'self'",
      'content-type': 'application/json',
      'cross-origin-opener-policy': 'same-origin',
      'referrer-policy': 'strict-origin-when-cross-origin',
      'x-coder-build-version': 'v0.1.0',
      'x-content-type-options': 'nosniff',
    });
    expect(headers.get('x-coder-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('keeps a request id that is a uuid and replaces any other', async () => {
    const id = '11111111-2222-4333-8444-555555555555';
    const ask = async (value: string) =>
      (await api.request('GET', base + '/', { headers: { 'X-Coder-Request-Id': value } })).headers.get(
        'x-coder-request-id',
      );
    expect(await ask(id)).toBe(id);
    expect(await ask('<script>')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('of a failed change has the id that the audit row and the access line have', async () => {
    const id = '99999999-2222-4333-8444-555555555555';
    await api.request('DELETE', `${base}/organizations/default`, {
      token: api.ownerToken,
      headers: { 'X-Request-Id': id },
    });
    const rows = await api.db
      .select({ status: auditLogs.statusCode })
      .from(auditLogs)
      .where(eq(auditLogs.requestId, id));
    const line = api.logs
      .map((text) => JSON.parse(text) as Record<string, unknown>)
      .find(({ request_id }) => request_id === id);
    expect(line).toMatchObject({ msg: 'request', method: 'DELETE', status: 400, user_id: api.owner.id });
    expect(rows).toEqual([]);
    await api.request('DELETE', `${base}/organizations/default`, {
      token: member.token,
      headers: { 'X-Request-Id': id },
    });
    const after = await api.db
      .select({ status: auditLogs.statusCode })
      .from(auditLogs)
      .where(eq(auditLogs.requestId, id));
    expect(after).toEqual([{ status: 403 }]);
  });

  test('has no CORS headers, whatever the origin', async () => {
    const { headers } = await api.request('GET', `${base}/buildinfo`, { headers: { Origin: 'https://evil.example' } });
    expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  test('to an unknown route is a 404 in the error form', async () => {
    const answer = await api.request('GET', `${base}/nothing/here`);
    expect([answer.status, answer.body.message]).toEqual([404, 'Route not found']);
  });
});

describe('bad bodies', () => {
  const post = (body: string, headers: Record<string, string> = { 'Content-Type': 'application/json' }) =>
    api.request('POST', `${base}/organizations`, { token: api.ownerToken, body, headers });

  test('broken, empty or missing JSON is 400', async () => {
    expect((await post('{"name":')).status).toBe(400);
    expect((await post('')).status).toBe(400);
    const without = await api.request('POST', `${base}/organizations`, { token: api.ownerToken });
    expect([without.status, without.body.validations[0].field]).toEqual([400, 'name']);
  });

  test('JSON is JSON, whatever type the client says it has', async () => {
    for (const [name, type] of [
      ['plain', 'text/plain'],
      ['curl', 'application/x-www-form-urlencoded'],
      ['json', 'application/json; charset=utf-8'],
    ] as const)
      expect((await post(`{"name":"${name}"}`, { 'Content-Type': type })).status).toBe(201);
  });

  test('fields are named by their dotted path', async () => {
    const answer = await api.request('POST', `${base}/authcheck`, {
      token: api.ownerToken,
      body: { checks: { one: { object: { resource_type: 7 }, action: 'read' } } },
    });
    expect(answer.body.validations[0].field).toBe('checks.one.object.resource_type');
  });

  test('more than 1 MiB is 413, declared or not', async () => {
    const large = JSON.stringify({ name: 'x'.repeat(1_100_000) });
    expect((await post(large)).status).toBe(413);
    const stream = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 20; i += 1) controller.enqueue(new TextEncoder().encode('x'.repeat(100_000)));
        controller.close();
      },
    });
    const chunked = await api.app.request(`${base}/organizations`, {
      method: 'POST',
      headers: { 'Coder-Session-Token': api.ownerToken, 'Content-Type': 'application/json' },
      body: stream,
      duplex: 'half',
    } as RequestInit);
    expect(chunked.status).toBe(413);
  });

  test('deeper than 64 levels is 400, brackets in strings do not count', async () => {
    const deep = (levels: number) => `{"name":"fine-${levels}","x":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    expect((await post(deep(64))).status).toBe(201);
    expect((await post(deep(65))).status).toBe(400);
    expect((await post(deep(100_000))).status).toBe(400);
    expect(jsonDepth('"[[[["')).toBe(0);
    expect(jsonDepth('["\\"[[[", {"a": [1]}]')).toBe(3);
  });

  test('a NUL in a text is the client’s mistake', async () => {
    const answer = await api.request('PATCH', `${base}/organizations/default`, {
      token: api.ownerToken,
      body: { description: 'a\u0000b' },
    });
    expect(answer.status).toBe(400);
  });

  test('unknown fields are ignored', async () => {
    const answer = await api.request('PATCH', `${base}/organizations/default`, {
      token: api.ownerToken,
      body: { nonsense: 1, description: 'd' },
    });
    expect(answer.status).toBe(200);
  });
});

describe('errors that nobody foresaw', () => {
  test('tell nothing but the request id', async () => {
    const broken = await createTestApi();
    await broken.db.execute('alter table organizations rename column icon to ikon');
    const answer = await broken.request('GET', `${base}/organizations`, { token: broken.ownerToken });
    expect(answer.status).toBe(500);
    expect(answer.body).toEqual({
      message: 'An internal error occurred',
      detail: answer.headers.get('x-coder-request-id'),
    });
    const logged = broken.logs.join('');
    expect(logged).toContain('column \\"icon\\" does not exist');
    // What a query was called with may be a secret.
    expect(logged).not.toContain('params:');
    await broken.close();
  });

  test('a database that is gone is 503 with Retry-After, and readyz turns red while healthz stays green', async () => {
    const broken = await createTestApi();
    await broken.deps.sql.end({ timeout: 1 });
    const answer = await broken.request('GET', `${base}/organizations`, { token: broken.ownerToken });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    const ready = await broken.request('GET', '/readyz');
    expect([ready.status, ready.body.checks[0]]).toMatchObject([503, { name: 'db', ok: false, gating: true }]);
    expect((await broken.request('GET', '/healthz')).text).toBe('OK');
    await broken.close();
  });
});

describe('cookies', () => {
  const cookieRequest = (headers: Record<string, string>, method = 'PUT') =>
    api.request(method, `${base}/users/me/appearance`, {
      ...(method !== 'GET' && { body: { theme_preference: 'dark' } }),
      headers: { Host: 'localhost', ...headers },
    });
  const cookie = (token: string) => `coder_session_token=${token}; csrf_token=${csrfTokenOf(token)}`;

  test('read without a proof, change with one only', async () => {
    const { token } = member;
    expect((await cookieRequest({ Cookie: cookie(token) }, 'GET')).status).toBe(200);
    expect((await cookieRequest({ Cookie: cookie(token) })).status).toBe(400);
    expect((await cookieRequest({ Cookie: cookie(token), 'X-CSRF-Token': csrfTokenOf(token) })).status).toBe(200);
    expect((await cookieRequest({ Cookie: cookie(token), 'Coder-Session-Token': token })).status).toBe(200);
    expect((await cookieRequest({ Cookie: cookie(token), 'X-CSRF-Token': csrfTokenOf(api.ownerToken) })).status).toBe(
      400,
    );
  });

  test('from another site are refused even with a proof', async () => {
    const { token } = member;
    const proof = { Cookie: cookie(token), 'X-CSRF-Token': csrfTokenOf(token) };
    expect((await cookieRequest({ ...proof, Origin: 'https://evil.example' })).status).toBe(400);
    expect((await cookieRequest({ ...proof, 'Sec-Fetch-Site': 'cross-site' })).status).toBe(400);
    expect((await cookieRequest({ ...proof, Origin: api.deps.config.CODER_ACCESS_URL })).status).toBe(200);
  });

  test('a token in the query is no token on an ordinary route', async () => {
    expect((await api.request('GET', `${base}/users/me?coder_session_token=${member.token}`)).status).toBe(401);
    expect(
      (await api.request('GET', `${base}/users/me`, { headers: { Authorization: `Bearer ${member.token}` } })).status,
    ).toBe(200);
  });
});

describe('rate limits', () => {
  test('the 513th request of a minute is refused, per user and route; owners bypass, others may not ask', async () => {
    const limited = await createTestApi({ env: { CODER_API_RATE_LIMIT: '512' } });
    const { token } = await limited.createUser();
    const ask = (path = '/users/me', who = token, headers = {}) =>
      limited.request('GET', base + path, { token: who, headers });
    const first = await ask();
    expect([first.headers.get('x-ratelimit-limit'), first.headers.get('x-ratelimit-remaining')]).toEqual([
      '512',
      '511',
    ]);
    expect(Number(first.headers.get('x-ratelimit-reset'))).toBeGreaterThan(limited.clock.now.getTime() / 1000);
    for (let i = 2; i <= 512; i += 1) expect((await ask()).status).toBe(200);
    const refused = await ask();
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60']);
    expect(refused.body.message).toContain('512');
    expect((await ask('/organizations')).status).toBe(200);
    expect((await ask('/users/me', limited.ownerToken)).status).toBe(200);
    const bypass = { 'X-Coder-Bypass-Ratelimit': 'true' };
    expect((await ask('/users/me', token, bypass)).status).toBe(428);
    expect((await ask('/users/me', limited.ownerToken, bypass)).status).toBe(200);
    limited.clock.now = new Date(limited.clock.now.getTime() + 60_000);
    expect((await ask()).status).toBe(200);
    await limited.close();
  });

  test('the 61st sign-in of a minute is refused', async () => {
    const limited = await createTestApi({ env: { CODER_API_RATE_LIMIT: '512' } });
    const login = () => limited.request('POST', `${base}/users/login`, { body: { email: 1 } });
    for (let i = 1; i <= 60; i += 1) expect((await login()).status).toBe(400);
    expect((await login()).status).toBe(429);
    await limited.close();
  });

  test('finished windows are forgotten', () => {
    const limiter = new RateLimiter();
    expect(limiter.take('a', 1, 0).remaining).toBe(0);
    expect(limiter.take('a', 1, 59_999).remaining).toBe(-1);
    expect(limiter.take('a', 1, 60_000).remaining).toBe(0);
  });
});

describe('the client’s address', () => {
  const header = (values: Record<string, string>) => (name: string) => values[name];
  const clientIp = createClientIp({ trustedOrigins: ['10.0.0.0/8', '::1'], trustedHeaders: ['X-Forwarded-For'] });
  test('is the peer, unless that is a trusted proxy', () => {
    expect(clientIp('203.0.113.9', header({ 'X-Forwarded-For': '1.2.3.4' }))).toBe('203.0.113.9');
    expect(clientIp('::ffff:203.0.113.9', header({}))).toBe('203.0.113.9');
    expect(clientIp(undefined, header({}))).toBeNull();
  });
  test('behind proxies is the right-most hop that nobody trusts', () => {
    expect(clientIp('10.0.0.1', header({ 'X-Forwarded-For': '6.6.6.6, 1.2.3.4, 10.0.0.7' }))).toBe('1.2.3.4');
    expect(clientIp('10.0.0.1', header({ 'X-Forwarded-For': 'garbage' }))).toBe('10.0.0.1');
    expect(clientIp('::1', header({ 'X-Forwarded-For': '1.2.3.4' }))).toBe('1.2.3.4');
  });
  test('a bad proxy setting is an error at start', () => {
    expect(() => createClientIp({ trustedOrigins: ['proxy.local'], trustedHeaders: [] })).toThrow('proxy.local');
  });
});
