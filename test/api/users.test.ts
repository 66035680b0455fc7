import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { users } from '../../db/schema/users.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';

const base = '/api/v2';
let api: TestApi;
let admin: TestUser;
let member: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  admin = await api.createUser({ username: 'admin', roles: ['user-admin'] });
  member = await api.createUser({ username: 'member' });
});
afterAll(() => api.close());

const newUser = (username: string, given: object = {}) => ({
  email: `${username}@example.com`,
  username,
  password: 'correct horse battery',
  organization_ids: [api.organizationId],
  ...given,
});
const create = (body: object, token = admin.token) => api.request('POST', `${base}/users`, { token, body });
const fieldOf = (answer: { body: { validations?: { field: string }[] } }) => answer.body.validations?.[0]?.field;

describe('creating users', () => {
  test('answers the user, dormant until the first sign-in, and writes one audit row', async () => {
    const answer = await create(newUser('fresh', { name: 'Fresh Person' }));
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      username: 'fresh',
      name: 'Fresh Person',
      status: 'dormant',
      login_type: 'password',
      roles: [],
      organization_ids: [api.organizationId],
      last_seen_at: '0001-01-01T00:00:00Z',
      is_service_account: false,
    });
    const rows = await api.db
      .select({ diff: auditLogs.diff, userId: auditLogs.userId })
      .from(auditLogs)
      .where(eq(auditLogs.resourceId, answer.body.id));
    expect(rows).toHaveLength(1);
    expect(rows[0]?.userId).toBe(admin.id);
    expect(rows[0]?.diff['hashed_password']).toEqual({ old: '', new: '', secret: true });
  });

  test.each([
    ['a--b', 'username'],
    ['-a', 'username'],
    ['a_b', 'username'],
    ['a'.repeat(33), 'username'],
    ['me', 'username'],
  ])('refuses the username %s', async (username, field) => {
    const answer = await create(newUser(username, { email: 'x@example.com' }));
    expect([answer.status, fieldOf(answer)]).toEqual([400, field]);
  });

  test('refuses bad input naming the field', async () => {
    const cases: [object, string][] = [
      [newUser('good1', { organization_ids: [] }), 'organization_ids'],
      [newUser('good2', { organization_ids: ['11111111-1111-4111-8111-111111111111'] }), 'organization_ids'],
      [newUser('good3', { organization_ids: ['nonsense'] }), 'organization_ids.0'],
      [newUser('good4', { login_type: 'oidc' }), 'password'],
      [newUser('good5', { password: 'weak' }), 'password'],
      [newUser('good6', { email: 'nobody' }), 'email'],
      [newUser('good7', { name: ' spaced' }), 'name'],
      [{ ...newUser('good8'), username: 7 }, 'username'],
      [newUser('good9', { login_type: 'magic' }), 'login_type'],
    ];
    for (const [body, field] of cases) {
      const answer = await create(body);
      expect([field, answer.status, fieldOf(answer)]).toEqual([field, 400, field]);
    }
  });

  test('names what is taken, whatever the case', async () => {
    await create(newUser('taken'));
    const name = await create(newUser('TAKEN', { email: 'other@example.com' }));
    expect([name.status, fieldOf(name)]).toEqual([409, 'username']);
    const mail = await create(newUser('other', { email: ' Taken@Example.com ' }));
    expect([mail.status, fieldOf(mail)]).toEqual([409, 'email']);
  });

  test('makes service accounts without address and password', async () => {
    const body = { username: 'robot', service_account: true, organization_ids: [api.organizationId] };
    const answer = await create(body);
    expect(answer.body).toMatchObject({ email: '', login_type: 'none', is_service_account: true });
    expect((await create({ ...body, username: 'robot2' })).status).toBe(201);
    expect((await create({ ...body, username: 'robot3', email: 'r@example.com' })).status).toBe(400);
  });

  test('is not for members: 403, audited as a failure', async () => {
    expect((await create(newUser('never'), member.token)).status).toBe(403);
    const rows = await api.db
      .select({ status: auditLogs.statusCode, diff: auditLogs.diff })
      .from(auditLogs)
      .where(eq(auditLogs.userId, member.id));
    expect(rows).toEqual([{ status: 403, diff: {} }]);
  });
});

describe('reading users', () => {
  test('system users are nowhere: not in the list, the count or by name', async () => {
    const list = await api.request('GET', `${base}/users?limit=1000`, { token: api.ownerToken });
    const [row] = await api.db.select({ count: sql<number>`count(*)::int` }).from(users);
    expect(list.body.count).toBe((row?.count ?? 0) - 1);
    expect(list.body.users.map(({ username }: { username: string }) => username)).not.toContain('prebuilds');
    for (const ref of ['prebuilds', 'c42fdf75-3097-471c-8c33-fb52454d81c0'])
      expect((await api.request('GET', `${base}/users/${ref}`, { token: api.ownerToken })).status).toBe(404);
  });

  test('a member sees himself alone', async () => {
    const list = await api.request('GET', `${base}/users`, { token: member.token });
    expect(list.body).toMatchObject({ count: 1, users: [{ id: member.id }] });
    expect((await api.request('GET', `${base}/users/me`, { token: member.token })).body.id).toBe(member.id);
    const foreign = await api.request('GET', `${base}/users/${admin.id}`, { token: member.token });
    const missing = await api.request('GET', `${base}/users/11111111-1111-4111-8111-111111111111`, {
      token: member.token,
    });
    expect([foreign.status, foreign.text]).toEqual([404, missing.text]);
  });

  test('names are found in any case', async () => {
    expect((await api.request('GET', `${base}/users/MEMBER`, { token: api.ownerToken })).body.id).toBe(member.id);
    expect(
      (await api.request('GET', `${base}/users/${member.id.toUpperCase()}`, { token: api.ownerToken })).body.id,
    ).toBe(member.id);
  });

  test('search and paging', async () => {
    const get = (query: string) => api.request('GET', `${base}/users?${query}`, { token: api.ownerToken });
    const names = (answer: { body: { users: { username: string }[] } }) =>
      answer.body.users.map(({ username }) => username);
    expect(names(await get('q=role:user-admin'))).toEqual(['admin']);
    expect(names(await get('q=MEMB'))).toEqual(['member']);
    expect(names(await get('q=service_account:true'))).toEqual(['robot', 'robot2']);
    expect(names(await get(`q=${encodeURIComponent('status:dormant,active owner@')}`))).toEqual(['owner']);
    expect(names(await get('q=%25'))).toEqual([]);
    expect(names(await get(`q=${encodeURIComponent('created_after:"2999-01-01T00:00:00Z"')}`))).toEqual([]);
    for (const [query, field] of [
      ['q=foo:1', 'foo'],
      ['q=a:b:c', 'q'],
      ['q=status:gone', 'status'],
      ['limit=-1', 'limit'],
      ['limit=x', 'limit'],
      ['offset=-1', 'offset'],
      ['after_id=1', 'after_id'],
      ['after_id=11111111-1111-4111-8111-111111111111', 'after_id'],
      [`after_id=${member.id}&offset=1`, 'after_id'],
    ] as const)
      expect([query, (await get(query)).status, fieldOf(await get(query))]).toEqual([query, 400, field]);
    const all = names(await get('limit=0'));
    const first = await get('limit=2');
    const next = await get(`limit=2&after_id=${first.body.users[1].id}`);
    expect([...names(first), ...names(next)]).toEqual(all.slice(0, 4));
    expect(names(await get('limit=2&offset=2'))).toEqual(all.slice(2, 4));
    expect(first.body.count).toBe(all.length);
  });

  test('the list takes the same number of statements for few and for many rows', async () => {
    const count = async () => {
      const before = api.statements.length;
      await api.request('GET', `${base}/users?limit=1000`, { token: api.ownerToken });
      return api.statements.length - before;
    };
    const few = await count();
    await api.db.execute(sql`insert into users (email, username, created_at, updated_at)
      select 'many-' || n || '@example.com', 'many-' || n, now(), now() from generate_series(1, 500) n`);
    expect(await count()).toBe(few);
    await api.db.execute(sql`update users set deleted = true where username like 'many-%'`);
  });
});

describe('changing users', () => {
  const put = (path: string, token: string, body?: object) =>
    api.request('PUT', `${base}/users/${path}`, { token, ...(body && { body }) });

  test('profile: self and user admins, conflicts named', async () => {
    const someone = await api.createUser();
    const renamed = await put('me/profile', someone.token, { username: 'renamed', name: 'New Name' });
    expect(renamed.body).toMatchObject({ username: 'renamed', name: 'New Name' });
    expect(fieldOf(await put('me/profile', someone.token, { username: 'ADMIN', name: '' }))).toBe('username');
    expect((await put(`${someone.id}/profile`, member.token, { username: 'x', name: '' })).status).toBe(404);
    expect((await put(`${someone.id}/profile`, admin.token, { username: 'renamed2', name: '' })).status).toBe(200);
  });

  test('a suspended user is out at the next request, in again after the activation', async () => {
    const someone = await api.createUser();
    const token = await api.createKey(someone.id, { loginType: 'token', tokenName: 'kept' });
    const suspended = await put(`${someone.id}/status/suspend`, admin.token);
    expect(suspended.body.status).toBe('suspended');
    for (const each of [someone.token, token]) {
      const answer = await api.request('GET', `${base}/users/me`, { token: each });
      expect(answer.status).toBe(401);
    }
    expect((await put(`${someone.id}/status/activate`, admin.token)).body.status).toBe('active');
    expect((await api.request('GET', `${base}/users/me`, { token })).status).toBe(200);
    // The session ended for good.
    expect((await api.request('GET', `${base}/users/me`, { token: someone.token })).status).toBe(401);
  });

  test('nobody suspends or deletes himself, nor an owner, nor the prebuilds user', async () => {
    expect((await put(`${admin.id}/status/suspend`, admin.token)).status).toBe(400);
    expect((await put(`${api.owner.id}/status/suspend`, admin.token)).status).toBe(400);
    expect((await put('prebuilds/status/suspend', admin.token)).status).toBe(400);
    expect((await api.request('DELETE', `${base}/users/me`, { token: admin.token })).status).toBe(400);
    expect((await api.request('DELETE', `${base}/users/prebuilds`, { token: api.ownerToken })).status).toBe(400);
  });

  test('the last owner stays', async () => {
    const second = await api.createUser({ username: 'second-owner', roles: ['owner'] });
    expect((await put(`${api.owner.id}/roles`, second.token, { roles: [] })).status).toBe(200);
    expect((await api.request('DELETE', `${base}/users/${second.id}`, { token: admin.token })).status).toBe(400);
    expect((await put(`${second.id}/roles`, second.token, { roles: [] })).status).toBe(400);
    expect((await put(`${api.owner.id}/roles`, second.token, { roles: ['owner'] })).status).toBe(200);
  });

  test('two owners who strip each other at the same time leave one', async () => {
    const [one, two] = [await api.createUser({ roles: ['owner'] }), await api.createUser({ roles: ['owner'] })];
    await api.db.execute(
      sql`update users set rbac_roles = '{}' where rbac_roles @> '{owner}' and id not in (${one.id}, ${two.id})`,
    );
    const answers = await Promise.all([
      put(`${two.id}/roles`, one.token, { roles: [] }),
      put(`${one.id}/roles`, two.token, { roles: [] }),
    ]);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(1);
    const left = await api.db.execute<{ count: number }>(
      sql`select count(*)::int from users where rbac_roles @> '{owner}'`,
    );
    expect(left[0]?.count).toBe(1);
    await api.db.execute(sql`update users set rbac_roles = '{owner}' where id = ${api.owner.id}`);
  });

  test('roles: unknown 400, own 400, user admins may not grant site roles', async () => {
    expect((await put(`${member.id}/roles`, api.ownerToken, { roles: ['emperor'] })).status).toBe(400);
    expect((await put(`${api.owner.id}/roles`, api.ownerToken, { roles: ['auditor'] })).status).toBe(400);
    expect((await put(`${member.id}/roles`, admin.token, { roles: ['owner'] })).status).toBe(403);
    expect((await put(`${admin.id}/roles`, member.token, { roles: [] })).status).toBe(404);
    const granted = await put(`${member.id}/roles`, api.ownerToken, { roles: ['auditor', 'member'] });
    expect(granted.body.roles).toEqual([{ name: 'auditor', display_name: 'Auditor' }]);
    const roles = await api.request('GET', `${base}/users/${member.id}/roles`, { token: api.ownerToken });
    expect(roles.body).toEqual({ roles: ['auditor'], organization_roles: { [api.organizationId]: [] } });
    await put(`${member.id}/roles`, api.ownerToken, { roles: [] });
    const assignable = await api.request('GET', `${base}/users/roles`, { token: admin.token });
    expect(assignable.body).toContainEqual(
      expect.objectContaining({ name: 'owner', assignable: false, built_in: true }),
    );
  });

  test('a user with a workspace stays until it is gone; then the name is free again', async () => {
    const someone = await api.createUser({ username: 'leaver' });
    const [version, job, template, workspace] = ['1', '2', '3', '4'].map(
      (n) => `${n.repeat(8)}-0000-4000-8000-${n.repeat(12)}`,
    );
    await api.db
      .execute(sql`insert into templates (id, organization_id, name, provisioner, active_version_id, created_by, created_at, updated_at)
      values (${template}, ${api.organizationId}, 't', 'echo', ${version}, ${someone.id}, now(), now())`);
    await api.db
      .execute(sql`insert into workspaces (id, owner_id, organization_id, template_id, name, last_used_at, created_at, updated_at)
      values (${workspace}, ${someone.id}, ${api.organizationId}, ${template}, 'dev', now(), now(), now())`);
    expect(job).toBeDefined();
    const remove = () => api.request('DELETE', `${base}/users/${someone.id}`, { token: admin.token });
    expect((await remove()).status).toBe(417);
    await api.db.execute(sql`update workspaces set deleted = true where id = ${workspace}`);
    expect((await remove()).status).toBe(200);
    expect((await api.request('GET', `${base}/users/me`, { token: someone.token })).status).toBe(401);
    expect((await create(newUser('leaver'))).status).toBe(201);
    const keys = await api.db.execute(sql`select id from api_keys where user_id = ${someone.id}`);
    expect(keys).toHaveLength(0);
  });

  test('a dormant user becomes active with the first request, with one audit row', async () => {
    const someone = await api.createUser({ status: 'dormant' });
    for (let i = 0; i < 2; i += 1)
      expect((await api.request('GET', `${base}/users/me`, { token: someone.token })).status).toBe(200);
    const rows = await api.db
      .select({ actor: auditLogs.actor, fields: auditLogs.additionalFields })
      .from(auditLogs)
      .where(eq(auditLogs.resourceId, someone.id));
    expect(rows).toEqual([{ actor: 'authenticator', fields: { automatic_actor: 'dormancy' } }]);
  });
});

describe('personal settings', () => {
  const ask = (method: string, path: string, token = member.token, body?: object) =>
    api.request(method, `${base}/users/me/${path}`, { token, ...(body && { body }) });

  test('appearance is kept', async () => {
    expect((await ask('GET', 'appearance')).body).toEqual({ theme_preference: '', terminal_font: '' });
    const body = { theme_preference: 'dark', terminal_font: 'fira-code' };
    expect((await ask('PUT', 'appearance', member.token, body)).body).toEqual(body);
    expect((await ask('GET', 'appearance')).body).toEqual(body);
    expect(
      (await ask('PUT', 'appearance', member.token, { theme_preference: '<script>', terminal_font: '' })).status,
    ).toBe(400);
    expect((await api.request('GET', `${base}/users/${admin.id}/appearance`, { token: member.token })).status).toBe(
      404,
    );
  });

  test('quiet hours are a time of day in a zone', async () => {
    expect((await ask('GET', 'quiet-hours')).body).toMatchObject({
      raw_schedule: 'CRON_TZ=UTC 0 0 * * *',
      user_set: false,
      user_can_set: true,
      timezone: 'UTC',
      time: '12:00AM',
    });
    const set = await ask('PUT', 'quiet-hours', member.token, { schedule: ' CRON_TZ=Europe/Berlin  30 23 * * *' });
    expect((await ask('GET', 'quiet-hours')).body).toEqual(set.body);
    expect(set.body).toMatchObject({
      raw_schedule: 'CRON_TZ=Europe/Berlin 30 23 * * *',
      user_set: true,
      user_can_set: true,
      time: '11:30PM',
      timezone: 'Europe/Berlin',
    });
    expect(new Date(set.body.next).getTime()).toBeGreaterThan(api.clock.now.getTime());
    for (const schedule of ['* * * * *', '0,30 2 * * *', '30 2 * * 1', 'CRON_TZ=Mars/X 30 2 * * *', 'soon']) {
      const bad = await ask('PUT', 'quiet-hours', member.token, { schedule });
      expect([schedule, bad.status, fieldOf(bad)]).toEqual([schedule, 400, 'schedule']);
    }
    expect((await ask('PUT', 'quiet-hours', member.token, { schedule: '' })).body.user_set).toBe(false);
  });

  test('quiet hours of users are not used where the deployment has its own for all', async () => {
    const strict = await createTestApi({
      env: {
        CODER_ALLOW_CUSTOM_QUIET_HOURS: 'false',
        CODER_QUIET_HOURS_DEFAULT_SCHEDULE: 'CRON_TZ=Asia/Tokyo 15 3 * * *',
      },
    });
    try {
      const user = await strict.createUser();
      await strict.db.execute(
        sql`update users set quiet_hours_schedule = 'CRON_TZ=UTC 0 5 * * *' where id = ${user.id}`,
      );
      const path = `${base}/users/me/quiet-hours`;
      const put = (token: string, schedule: string) =>
        strict.request('PUT', `${base}/users/${user.id}/quiet-hours`, { token, body: { schedule } });
      for (const token of [user.token, strict.ownerToken])
        for (const schedule of ['CRON_TZ=UTC 0 6 * * *', 'no schedule', ''])
          expect((await put(token, schedule)).status).toBe(403);
      expect((await strict.request('GET', path, user)).body).toMatchObject({
        raw_schedule: 'CRON_TZ=Asia/Tokyo 15 3 * * *',
        user_set: false,
        user_can_set: false,
        time: '3:15AM',
      });
    } finally {
      await strict.close();
    }
  });

  test('the git key is made once, renewed on request, and its private half is stored sealed', async () => {
    const first = (await ask('GET', 'gitsshkey')).body;
    expect(first.public_key).toMatch(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}\n$/);
    expect((await ask('GET', 'gitsshkey')).body).toEqual(first);
    expect((await ask('PUT', 'gitsshkey')).body.public_key).not.toBe(first.public_key);
    const [row] = await api.db.execute<{ private_key: string }>(
      sql`select private_key from gitsshkeys where user_id = ${member.id}`,
    );
    expect(row?.private_key).not.toContain('BEGIN');
    expect((await api.request('GET', `${base}/users/${member.id}/gitsshkey`, { token: api.ownerToken })).status).toBe(
      200,
    );
  });

  test('organizations of a user and login type', async () => {
    expect((await ask('GET', 'login-type')).body).toEqual({ login_type: 'password' });
    expect((await ask('GET', 'organizations')).body).toMatchObject([{ id: api.organizationId, is_default: true }]);
    expect((await ask('GET', 'organizations/default')).body).toMatchObject({ id: api.organizationId });
    expect((await ask('GET', 'organizations/nowhere')).status).toBe(404);
  });
});
