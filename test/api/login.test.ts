import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createPasswordHasher } from '../../commands/password-hash.ts';
import { loginFailures, users } from '../../db/schema/users.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';

const password = 'correct horse battery';
const base = '/api/v2';

describe('the first user', () => {
  test('is made once, however many ask at the same time', async () => {
    const api = await createTestApi();
    try {
      await api.db.execute(sql`delete from organization_members where user_id = ${api.owner.id}`);
      await api.db.execute(sql`update users set deleted = true where id = ${api.owner.id}`);
      expect((await api.request('GET', `${base}/users/first`)).status).toBe(404);
      const attempt = (name: string) =>
        api.request('POST', `${base}/users/first`, {
          body: { email: `${name}@example.com`, username: name, password, trial: false },
        });
      const answers = await Promise.all(['root', 'toor'].map(attempt));
      expect(answers.map(({ status }) => String(status)).sort()).toEqual(['201', '409']);
      const created = answers.find(({ status }) => status === 201);
      expect(created?.body).toEqual({ user_id: expect.any(String), organization_id: api.organizationId });
      expect((await api.request('GET', `${base}/users/first`)).status).toBe(200);
      expect((await attempt('third')).status).toBe(409);
      const [user] = await api.db
        .select({ status: users.status, roles: users.rbacRoles })
        .from(users)
        .where(eq(users.id, created?.body.user_id));
      expect(user).toEqual({ status: 'active', roles: ['owner'] });
    } finally {
      await api.close();
    }
  });
});

describe('signing in', () => {
  let api: TestApi;
  let hash: string;
  let count = 0;
  beforeAll(async () => {
    api = await createTestApi();
    hash = await createPasswordHasher().hash(password);
  });
  afterAll(() => api.close());
  beforeEach(async () => {
    await api.db.delete(loginFailures);
  });

  const person = (given: Parameters<TestApi['createUser']>[0] = {}) => {
    count += 1;
    return api.createUser({ username: `person-${count}`, hashedPassword: hash, ...given });
  };
  const signIn = (email: string, secret = password) =>
    api.request('POST', `${base}/users/login`, { body: { email, password: secret } });

  test('gives a token that works, cookies, and an audit row', async () => {
    const user = await person({ status: 'dormant' });
    const answer = await signIn(`${user.username.toUpperCase()}@Example.com`);
    expect(answer.status).toBe(201);
    expect(answer.body.session_token).toMatch(/^[A-Za-z0-9]{10}-[A-Za-z0-9]{22}$/);
    const cookies = answer.headers.getSetCookie();
    expect(cookies[0]).toMatch(/^coder_session_token=.*HttpOnly.*SameSite=Lax/);
    expect(cookies[1]).toMatch(/^csrf_token=/);
    const me = await api.request('GET', `${base}/users/me`, { token: answer.body.session_token });
    expect(me.body).toMatchObject({ id: user.id, status: 'active' });
    const rows = await api.db
      .select({ action: auditLogs.action, status: auditLogs.statusCode })
      .from(auditLogs)
      .where(eq(auditLogs.userId, user.id));
    expect(rows).toContainEqual({ action: 'login', status: 201 });
    expect(rows).toContainEqual({ action: 'write', status: 200 });
  });

  test('tells nothing about unknown accounts, wrong passwords and accounts without one', async () => {
    const [known, without] = [await person(), await person({ hashedPassword: '' })];
    const bodies = [];
    for (const [email, secret] of [
      ['nobody@example.com', password],
      [`${known.username}@example.com`, 'wrong horse battery'],
      [`${without.username}@example.com`, ''],
      ['prebuilds@system', password],
    ] as const) {
      const answer = await signIn(email, secret);
      expect(answer.status).toBe(401);
      bodies.push(answer.text);
    }
    expect(new Set(bodies).size).toBe(1);
  });

  test('does the same work for an unknown account as for a wrong password, so that time tells nothing', async () => {
    const work: unknown[] = [];
    const counting = createPasswordHasher({
      derive: async (_password, salt, at, length) => {
        work.push({ saltBytes: salt.length, at, length });
        return Buffer.alloc(length);
      },
    });
    const stored = await counting.hash(password);
    await counting.verify('wrong horse battery', stored);
    await counting.verify('wrong horse battery', null);
    expect(work).toHaveLength(3);
    expect(new Set(work.map((each) => JSON.stringify(each))).size).toBe(1);

    const known = await person();
    const verify = api.deps.passwords.verify;
    let hashings = 0;
    (api.deps.passwords as { verify: typeof verify }).verify = (...args) => {
      hashings += 1;
      return verify(...args);
    };
    for (const email of [`${known.username}@example.com`, 'nobody@example.com'])
      expect((await signIn(email, 'wrong horse battery')).status).toBe(401);
    expect(hashings).toBe(2);
    (api.deps.passwords as { verify: typeof verify }).verify = verify;
  });

  test('says why only to who knows the password', async () => {
    const suspended = await person({ status: 'suspended' });
    const right = await signIn(`${suspended.username}@example.com`);
    expect(right.status).toBe(401);
    expect(right.body.message).toContain('suspended');
    const wrong = await signIn(`${suspended.username}@example.com`, 'wrong horse battery');
    expect(wrong.body.message).not.toContain('suspended');
  });

  test('after six wrong passwords the next attempt waits two seconds and hashes nothing', async () => {
    const user = await person();
    const email = `${user.username}@example.com`;
    for (let i = 0; i < 6; i += 1) expect((await signIn(email, 'wrong horse battery')).status).toBe(401);
    const verify = api.deps.passwords.verify;
    let hashings = 0;
    (api.deps.passwords as { verify: typeof verify }).verify = (...args) => {
      hashings += 1;
      return verify(...args);
    };
    const refused = await signIn(email);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('2');
    expect(hashings).toBe(0);
    const before = api.clock.now;
    api.clock.now = new Date(before.getTime() + 2000);
    expect((await signIn(email)).status).toBe(201);
    expect(hashings).toBe(1);
    // The success forgot the account's failures.
    expect((await signIn(email, 'wrong horse battery')).status).toBe(401);
    api.clock.now = before;
    (api.deps.passwords as { verify: typeof verify }).verify = verify;
  });

  test('re-hashes a password whose parameters are out of date', async () => {
    const user = await person();
    const { scryptSync } = await import('node:crypto');
    const salt = Buffer.from('0123456789abcdef');
    const old = scryptSync(password, salt, 32, { N: 2 ** 12, r: 8, p: 1 });
    const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
    await api.db
      .update(users)
      .set({ hashedPassword: `$scrypt$ln=12,r=8,p=1$${text(salt)}$${text(old)}` })
      .where(eq(users.id, user.id));
    expect((await signIn(`${user.username}@example.com`)).status).toBe(201);
    const [row] = await api.db.select({ hash: users.hashedPassword }).from(users).where(eq(users.id, user.id));
    expect(row?.hash).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$/);
  });

  test('signing out ends this session only', async () => {
    const user = await person();
    const token = (await signIn(`${user.username}@example.com`)).body.session_token as string;
    expect((await api.request('POST', `${base}/users/logout`, { token })).status).toBe(200);
    expect((await api.request('GET', `${base}/users/me`, { token })).status).toBe(401);
    expect((await api.request('GET', `${base}/users/me`, { token: user.token })).status).toBe(200);
  });

  test('a changed password ends every session, and needs the old one', async () => {
    const user = await person();
    const put = (body: object, token = user.token) => api.request('PUT', `${base}/users/me/password`, { token, body });
    expect(
      (await put({ old_password: 'nope nope nope', password: 'another Horse 77' })).body.validations[0].field,
    ).toBe('old_password');
    expect((await put({ old_password: password, password })).status).toBe(400);
    expect((await put({ old_password: password, password: 'weak' })).body.validations[0].field).toBe('password');
    expect((await put({ old_password: password, password: 'another Horse 77' })).status).toBe(204);
    expect((await api.request('GET', `${base}/users/me`, { token: user.token })).status).toBe(401);
    expect((await signIn(`${user.username}@example.com`)).status).toBe(401);
    await api.db.delete(loginFailures);
    expect((await signIn(`${user.username}@example.com`, 'another Horse 77')).status).toBe(201);
  });

  test('an administrator sets a password without the old one, but not that of an owner', async () => {
    const [user, admin] = [await person(), await person({ roles: ['user-admin'] })];
    const put = (id: string) =>
      api.request('PUT', `${base}/users/${id}/password`, {
        token: admin.token,
        body: { password: 'another Horse 77' },
      });
    expect((await put(user.id)).status).toBe(204);
    expect((await put(api.owner.id)).status).toBe(403);
  });

  test('passwords and tokens reach no log line and no audit row', async () => {
    const user = await person();
    const token = (await signIn(`${user.username}@example.com`)).body.session_token as string;
    await api.request('GET', `${base}/users/me?coder_session_token=${token}`, { token });
    const audit = JSON.stringify(
      await api.db.select({ diff: auditLogs.diff, fields: auditLogs.additionalFields }).from(auditLogs),
    );
    const secret = token.split('-')[1]!;
    for (const text of [api.logs.join(''), audit])
      expect([text.includes(password), text.includes(secret)]).toEqual([false, false]);
  });

  test('at most four hashings run at once, 64 wait, the next is refused', async () => {
    const running: (() => void)[] = [];
    let most = 0;
    const slow = createPasswordHasher({
      derive: () =>
        new Promise((resolve) => {
          running.push(() => resolve(Buffer.alloc(32)));
          most = Math.max(most, running.length);
        }),
    });
    const all = Array.from({ length: 70 }, () =>
      slow.verify('x', null).then(
        () => 'done',
        (err: { code?: string; retryAfterSeconds?: number }) => `${err.code} ${err.retryAfterSeconds}`,
      ),
    );
    for (let i = 0; i < 68; i += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      running.shift()?.();
    }
    const answers = await Promise.all(all);
    expect(answers.filter((each) => each === 'done')).toHaveLength(68);
    expect(answers.filter((each) => each === 'UNAVAILABLE 1')).toHaveLength(2);
    expect(most).toBe(4);
  });

  test('validate-password tells what is wrong', async () => {
    const check = (text: string) =>
      api.request('POST', `${base}/users/validate-password`, { body: { password: text } });
    expect((await check(password)).body).toEqual({ valid: true, details: '' });
    expect((await check('weak')).body).toMatchObject({ valid: false, details: expect.stringContaining('8 to 64') });
  });

  test('a malformed token is refused without a query, a wrong one with a single query', async () => {
    const ask = async (token: string) => {
      const before = api.statements.length;
      const answer = await api.request('GET', `${base}/users/me`, { token });
      return { status: answer.status, text: answer.text, queries: api.statements.length - before };
    };
    const short = await ask(`${'a'.repeat(10)}-${'b'.repeat(21)}`);
    const wrong = await ask(`${api.ownerToken.split('-')[0]}-${'b'.repeat(22)}`);
    expect(short).toMatchObject({ status: 401, queries: 0 });
    expect(wrong).toMatchObject({ status: 401, queries: 1, text: short.text });
    expect(await ask(`${'a'.repeat(10)}-${'b'.repeat(22)}`)).toMatchObject({
      status: 401,
      queries: 1,
      text: short.text,
    });
  });
});
