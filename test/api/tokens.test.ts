import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apiKeys } from '../../db/schema/users.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';

const base = '/api/v2';
const hourMs = 3_600_000;
const hourNs = 3_600_000_000_000n;
let api: TestApi;
let member: TestUser;
let started: Date;
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser({ username: 'member' });
  started = api.clock.now;
});
afterAll(() => api.close());

const tokens = (body: object | string, who = member.token, user = 'me') =>
  api.request('POST', `${base}/users/${user}/keys/tokens`, {
    token: who,
    body,
    headers: { 'Content-Type': 'application/json' },
  });
const me = (token: string) => api.request('GET', `${base}/users/me`, { token });
const fieldOf = (answer: { body: { validations?: { field: string }[] } }) => answer.body.validations?.[0]?.field;
const at = async <T>(hours: number, work: () => Promise<T>): Promise<T> => {
  api.clock.now = new Date(started.getTime() + hours * hourMs);
  try {
    return await work();
  } finally {
    api.clock.now = started;
  }
};
const expiryOf = async (token: string) => {
  const [row] = await api.db
    .select({ at: apiKeys.expiresAt })
    .from(apiKeys)
    .where(eq(apiKeys.id, token.split('-')[0]!));
  return ((row?.at.getTime() ?? 0) - started.getTime()) / hourMs;
};

describe('expiry', () => {
  test('a session slides once an hour of it is gone, up to its lifetime', async () => {
    const token = await api.createKey(member.id);
    await at(0.5, () => me(token));
    expect(await expiryOf(token)).toBe(24);
    await at(23, () => me(token));
    expect(await expiryOf(token)).toBe(47);
    expect((await at(47, () => me(token))).status).toBe(401);
  });

  test('a named token of 25 hours ends after 25 hours and does not slide', async () => {
    const { body } = await tokens({ lifetime: Number(25n * hourNs), token_name: 'short' });
    expect((await at(24.9, () => me(body.key))).status).toBe(200);
    expect(await expiryOf(body.key)).toBe(25);
    expect((await at(25, () => me(body.key))).status).toBe(401);
  });

  test('the default lifetime is 168 hours', async () => {
    expect(await expiryOf((await tokens({})).body.key)).toBe(168);
  });

  test('a lifetime of the maximum is fine, a nanosecond more is not', async () => {
    const lifetime = (ns: bigint) => tokens(`{"lifetime": ${ns}}`);
    expect((await lifetime(8760n * hourNs)).status).toBe(201);
    for (const bad of [8760n * hourNs + 1n, 0n, -1n]) {
      const answer = await lifetime(bad);
      expect([bad, answer.status, fieldOf(answer)]).toEqual([bad, 400, 'lifetime']);
    }
    const owner = await tokens(`{"lifetime": ${169n * hourNs}}`, api.ownerToken);
    expect(owner.status).toBe(400);
    const config = await api.request('GET', `${base}/users/me/keys/tokens/tokenconfig`, { token: member.token });
    expect(BigInt(config.body.max_token_lifetime)).toBe(8760n * hourNs);
  });

  test('use is written down at most once per hour', async () => {
    const token = await api.createKey(member.id, {
      loginType: 'token',
      tokenName: 'touched',
      lifetimeSeconds: 1_000_000,
    });
    const writes = async (hours: number) => {
      const before = api.statements.filter((text) => text.includes('update api_keys')).length;
      await at(hours, () => me(token));
      return api.statements.filter((text) => text.includes('update api_keys')).length - before;
    };
    expect([await writes(50), await writes(50.5), await writes(51)]).toEqual([1, 0, 1]);
  });
});

describe('named tokens', () => {
  test('are listed, found by name and id, expired and deleted', async () => {
    const someone = await api.createUser();
    const { key } = (await tokens({ token_name: 'my-token', scopes: ['workspace:read'] }, someone.token)).body;
    const id = key.split('-')[0] as string;
    const list = await api.request('GET', `${base}/users/me/keys/tokens`, { token: someone.token });
    expect(list.body).toEqual([
      expect.objectContaining({
        id,
        token_name: 'my-token',
        username: someone.username,
        scope: 'all',
        scopes: ['workspace:read'],
        allow_list: ['*:*'],
        login_type: 'token',
        lifetime_seconds: 168 * 3600,
      }),
    ]);
    expect(list.text).not.toContain(key.split('-')[1]);
    const one = (path: string, token = someone.token) =>
      api.request('GET', `${base}/users/${someone.id}/keys/${path}`, { token });
    expect((await one('tokens/my-token')).body.id).toBe(id);
    expect((await one(id)).body.id).toBe(id);
    expect((await one(id, api.ownerToken)).status).toBe(200);
    expect((await one(id, member.token)).status).toBe(404);
    expect((await api.request('PUT', `${base}/users/me/keys/${id}/expire`, { token: someone.token })).status).toBe(204);
    expect((await me(key)).status).toBe(401);
    expect((await api.request('GET', `${base}/users/me/keys/tokens`, { token: someone.token })).body).toEqual([]);
    const expired = await api.request('GET', `${base}/users/me/keys/tokens?include_expired=true`, {
      token: someone.token,
    });
    expect(expired.body).toHaveLength(1);
    expect((await api.request('DELETE', `${base}/users/me/keys/${id}`, { token: someone.token })).status).toBe(204);
    expect((await api.request('DELETE', `${base}/users/me/keys/${id}`, { token: someone.token })).status).toBe(404);
    const actions = await api.db
      .select({ action: auditLogs.action })
      .from(auditLogs)
      .where(eq(auditLogs.resourceId, someone.id));
    expect(actions.map(({ action }) => action).sort()).toEqual(['create', 'delete', 'write']);
  });

  test('have names of their own per user', async () => {
    expect((await tokens({ token_name: 'twice' })).status).toBe(201);
    const again = await tokens({ token_name: 'twice' });
    expect([again.status, fieldOf(again)]).toEqual([409, 'name']);
    expect((await tokens({ token_name: 'a'.repeat(65) })).status).toBe(400);
    expect((await tokens({ token_name: 'no spaces' })).status).toBe(400);
  });

  test('for others are made by owners only, for the prebuilds user by nobody', async () => {
    expect((await tokens({}, api.ownerToken, member.id)).status).toBe(201);
    const admin = await api.createUser({ roles: ['user-admin'] });
    expect((await tokens({}, admin.token, member.id)).status).toBe(404);
    expect((await tokens({}, api.ownerToken, 'prebuilds')).status).toBe(403);
    expect((await tokens({}, member.token, 'prebuilds')).status).toBe(404);
  });

  test('include_all shows the readable ones', async () => {
    await tokens({}, api.ownerToken);
    await tokens({});
    const all = (token: string) => api.request('GET', `${base}/users/me/keys/tokens?include_all=true`, { token });
    const owners = new Set((await all(api.ownerToken)).body.map(({ username }: { username: string }) => username));
    expect(owners.size).toBeGreaterThan(1);
    const mine = new Set((await all(member.token)).body.map(({ username }: { username: string }) => username));
    expect([...mine]).toEqual(['member']);
  });

  test('of a command line live for 7 days and slide', async () => {
    const answer = await api.request('POST', `${base}/users/me/keys`, { token: member.token });
    expect(answer.status).toBe(201);
    expect(await expiryOf(answer.body.key)).toBe(168);
    await at(100, () => me(answer.body.key));
    expect(await expiryOf(answer.body.key)).toBe(268);
  });
});

describe('scopes', () => {
  test('a scope that the route does not need is 403, the legacy names are mapped', async () => {
    const reader = (await tokens({ scopes: ['workspace:read'] })).body.key as string;
    expect((await me(reader)).status).toBe(403);
    const personal = (await tokens({ scopes: ['user:read'] })).body.key as string;
    expect((await me(personal)).status).toBe(200);
    expect(
      (await api.request('PUT', `${base}/users/me/appearance`, { token: personal, body: { theme_preference: '' } }))
        .status,
    ).toBe(403);
    const legacy = (await tokens({ scope: 'application_connect' })).body.key as string;
    expect((await me(legacy)).status).toBe(403);
  });

  test('unknown scopes and allow-list entries are refused', async () => {
    expect(fieldOf(await tokens({ scopes: ['workspace:fly'] }))).toBe('scopes');
    expect(fieldOf(await tokens({ scopes: ['system:read'] }))).toBe('scopes');
    expect(fieldOf(await tokens({ allow_list: ['workspace'] }))).toBe('allow_list');
    expect(fieldOf(await tokens({ allow_list: ['workspace:1'] }))).toBe('allow_list');
  });

  test('a scoped key makes no key wider than itself', async () => {
    const narrow = await api.createKey(member.id, { scopes: ['api_key:*', 'user:read'] });
    expect(fieldOf(await tokens({ scopes: ['all'] }, narrow))).toBe('scopes');
    const same = await tokens({}, narrow);
    expect(same.status).toBe(201);
    const [row] = await api.db
      .select({ scopes: apiKeys.scopes })
      .from(apiKeys)
      .where(eq(apiKeys.id, same.body.key.split('-')[0]));
    expect(row?.scopes).toEqual(['api_key:*', 'user:read']);
    const listed = await api.createKey(member.id, { allowList: ['api_key:*', 'user:*'] });
    expect(fieldOf(await tokens({ allow_list: ['*:*'] }, listed))).toBe('allow_list');
  });

  test('an allow-list hides other objects of the same type', async () => {
    const owner = await api.createKey(api.owner.id, { allowList: [`user:${member.id}`] });
    expect((await api.request('GET', `${base}/users/${member.id}`, { token: owner })).status).toBe(200);
    expect((await api.request('GET', `${base}/users/${api.owner.id}`, { token: owner })).status).toBe(404);
    expect((await api.request('GET', `${base}/users`, { token: owner })).body).toMatchObject({
      count: 1,
      users: [{ id: member.id }],
    });
  });
});
