import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insertKey } from '../../db/queries/api-keys.ts';
import { newApiKey } from '../../db/queries/session-tokens.ts';
import { findUserById, findUserByUsername } from '../../db/queries/users.ts';
import { workspaces } from '../../db/schema/workspaces.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { insertPool } from '../support/pool-rows.ts';
import { claimFor, insertPrebuildOf } from '../support/prebuild-rows.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let member: TestUser;
let templateAdmin: TestUser;
let organizationTemplateAdmin: TestUser;
let organizationAdmin: TestUser;
let auditor: TestUser;
let template: JsonValue;
let presetId: string;
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser({ username: 'bob' });
  templateAdmin = await api.createUser({ roles: ['template-admin'] });
  organizationTemplateAdmin = await api.createUser({ organizationRoles: ['organization-template-admin'] });
  organizationAdmin = await api.createUser({ organizationRoles: ['organization-admin'] });
  auditor = await api.createUser({ roles: ['auditor'] });
  template = await createTemplate(api);
  presetId = await insertPool(api.db, template.active_version_id);
});
afterAll(() => api.close());

const ask = (method: string, path: string, token: string, body?: unknown) =>
  api.request(method, `/api/v2${path}`, { token, ...(body !== undefined && { body }) });
const statusOf = async (...call: Parameters<typeof ask>) => (await ask(...call)).status;
const newPrebuild = () => insertPrebuildOf(api, template, { presetId });
const nameOf = async (id: string) =>
  (await api.db.select({ name: workspaces.name }).from(workspaces).where(eq(workspaces.id, id)))[0]!.name;
const prebuildsUser = PREBUILDS_SYSTEM_USER_ID;

describe('the prebuilds user', () => {
  test('is in no list and no number, and has no page', async () => {
    for (const path of ['/users?limit=1000', '/users?q=prebuilds', '/users?q=role:member&limit=1000']) {
      const { body } = await ask('GET', path, api.ownerToken);
      expect([path, body.count, body.users.some(({ id }: JsonValue) => id === prebuildsUser)]).toEqual([
        path,
        body.users.length,
        false,
      ]);
    }
    for (const path of ['', '/roles', '/appearance', '/gitsshkey', '/keys/tokens'])
      expect([path, await statusOf('GET', `/users/prebuilds${path}`, api.ownerToken)]).toEqual([path, 404]);
    expect(await findUserById(api.db, prebuildsUser)).toBeUndefined();
    const found = await findUserByUsername(api.db, 'prebuilds', { includeSystem: true });
    expect(found).toMatchObject({ id: prebuildsUser, loginType: 'none', status: 'active', rbacRoles: [] });
    const { body: people } = await ask('GET', '/organizations/default/members', api.ownerToken);
    expect(people.some(({ user_id: id }: JsonValue) => id === prebuildsUser)).toBe(false);
    const { body: available } = await ask('GET', `/templates/${template.id}/acl/available`, api.ownerToken);
    expect(available.users.some(({ id }: JsonValue) => id === prebuildsUser)).toBe(false);
  });

  test('is never changed, whoever asks and by whatever name', async () => {
    const calls: [string, string, unknown?][] = [
      ['PUT', '/status/suspend'],
      ['PUT', '/status/activate'],
      ['PUT', '/profile', { username: 'pool', name: 'Pool' }],
      ['PUT', '/password', { password: 'Correct-Horse-9-Staple' }],
      ['PUT', '/roles', { roles: ['owner'] }],
      ['DELETE', ''],
    ];
    const before = await api.db.execute(sql`select * from users where id = ${prebuildsUser}::uuid`);
    for (const [method, path, body] of calls)
      for (const ref of ['prebuilds', 'PREBUILDS', prebuildsUser]) {
        const by = (token: string) => statusOf(method, `/users/${ref}${path}`, token, body);
        expect([path, ref, await by(api.ownerToken), await by(member.token)]).toEqual([path, ref, 400, 404]);
      }
    expect(await api.db.execute(sql`select * from users where id = ${prebuildsUser}::uuid`)).toEqual(before);
  });

  test('gets no role of an organization', async () => {
    const put = (token: string, roles: string[]) =>
      statusOf('PUT', `/organizations/default/members/prebuilds/roles`, token, { roles });
    expect(await put(api.ownerToken, ['organization-admin'])).toBe(400);
    expect(await put(organizationAdmin.token, [])).toBe(400);
    expect(await put(member.token, [])).toBe(403);
  });

  test('gets no key, from the API or from the database', async () => {
    expect(await statusOf('POST', '/users/prebuilds/keys/tokens', api.ownerToken, {})).toBe(403);
    expect(await statusOf('POST', `/users/${prebuildsUser}/keys/tokens`, api.ownerToken, { token_name: 'x' })).toBe(
      403,
    );
    expect(await statusOf('POST', '/users/prebuilds/keys/tokens', member.token, {})).toBe(404);
    expect(await statusOf('POST', '/users/prebuilds/keys', api.ownerToken)).toBe(404);
    const { token: _, ...stored } = newApiKey();
    const now = api.clock.now;
    const key = {
      ...stored,
      userId: prebuildsUser,
      loginType: 'token' as const,
      scopes: ['coder:all'],
      allowList: ['*:*'],
    };
    await expect(
      insertKey(api.db, { ...key, lastUsed: now, expiresAt: now, createdAt: now, updatedAt: now }),
    ).rejects.toMatchObject({ name: 'DomainError', code: 'FORBIDDEN' });
    expect(await api.db.execute(sql`select 1 from api_keys where user_id = ${prebuildsUser}::uuid`)).toEqual([]);
  });

  test('is found as a member, joins and leaves', async () => {
    const path = '/organizations/default/members/prebuilds';
    expect((await ask('GET', path, member.token)).body).toMatchObject({ user_id: prebuildsUser });
    expect(await statusOf('POST', path, organizationAdmin.token)).toBe(409);
    expect(await statusOf('DELETE', path, organizationAdmin.token)).toBe(204);
    expect(await statusOf('GET', path, member.token)).toBe(404);
    expect(await statusOf('POST', path, organizationAdmin.token)).toBe(200);
    const others = await api.createUser({ organizationIds: [] });
    expect(await statusOf('GET', path, others.token)).toBe(404);
  });

  test('belongs to groups, which show it only to those who may change them', async () => {
    const { body: group } = await ask('POST', '/organizations/default/groups', api.ownerToken, {
      name: 'pools',
      quota_allowance: 5,
    });
    const change = { add_users: [prebuildsUser, member.id] };
    const joined = await ask('PATCH', `/groups/${group.id}`, organizationAdmin.token, change);
    expect([joined.status, joined.body.members.map(({ id }: JsonValue) => id), joined.body.total_member_count]).toEqual(
      [200, [member.id], 1],
    );
    const members = async (token: string, query = '?include_system=true', id = group.id) => {
      const { status, body } = await ask('GET', `/groups/${id}${query}`, token);
      return status === 200 ? body.members.map(({ username }: JsonValue) => username) : status;
    };
    expect(await members(organizationAdmin.token)).toEqual(['bob', 'prebuilds']);
    expect(await members(organizationAdmin.token, '?include_system=false')).toEqual(['bob']);
    expect(await members(member.token, '')).toEqual(['bob']);
    expect(await members(member.token)).toBe(403);
    expect(await members(member.token, '?include_system=perhaps')).toBe(400);
    expect(await members(api.ownerToken, undefined, api.organizationId)).toContain('prebuilds');
    const { body: listed } = await ask('GET', '/groups', api.ownerToken);
    for (const each of listed) expect(each.members.some(({ id }: JsonValue) => id === prebuildsUser)).toBe(false);
    const left = await ask('PATCH', `/groups/${group.id}`, api.ownerToken, { remove_users: [prebuildsUser] });
    expect(left.status).toBe(200);
    expect(await members(api.ownerToken)).toEqual(['bob']);
  });
});

describe('an unclaimed prebuild', () => {
  test('does not exist for members', async () => {
    const id = await newPrebuild();
    const name = await nameOf(id);
    const { body: shown } = await ask('GET', `/workspaces/${id}`, api.ownerToken);
    const buildId = shown.latest_build.id;
    const agentId = shown.latest_build.resources[0].agents[0].id;
    for (const q of ['', 'owner:prebuilds', `name:${name}`, 'status:running', `template:${template.name}`]) {
      const { body } = await ask('GET', `/workspaces?q=${encodeURIComponent(q)}`, member.token);
      expect([q, body.workspaces.filter(({ is_prebuild: is }: JsonValue) => is)]).toEqual([q, []]);
    }
    for (const path of [
      `/workspaces/${id}`,
      `/workspaces/${id}/builds`,
      `/users/prebuilds/workspace/${name}`,
      `/users/${prebuildsUser}/workspace/${name}`,
      `/users/prebuilds/workspace/${name}/builds/1`,
      `/workspacebuilds/${buildId}`,
      `/workspacebuilds/${buildId}/logs`,
      `/workspacebuilds/${buildId}/resources`,
      `/workspaceagents/${agentId}`,
    ])
      expect([path, await statusOf('GET', path, member.token), await statusOf('GET', path, api.ownerToken)]).toEqual([
        path,
        404,
        200,
      ]);
    for (const transition of ['start', 'stop', 'delete'])
      expect(await statusOf('POST', `/workspaces/${id}/builds`, member.token, { transition })).toBe(404);
    for (const path of ['/users/prebuilds/workspaces', '/organizations/default/members/prebuilds/workspaces']) {
      const body = { name: 'mine', template_id: template.id };
      expect([path, await statusOf('POST', path, member.token, body)]).toEqual([path, 404]);
      expect([path, await statusOf('POST', path, api.ownerToken, body)]).toEqual([path, 404]);
    }
  });

  test('is seen by those who keep templates, by id, by name and with all the others', async () => {
    const mine = await createTemplate(api);
    const pool = await insertPool(api.db, mine.active_version_id);
    const ids = [
      await insertPrebuildOf(api, mine, { presetId: pool }),
      await insertPrebuildOf(api, mine, { presetId: pool, build: 'failed' }),
      await insertPrebuildOf(api, mine, { presetId: pool, build: 'pending' }),
    ];
    await insertWorkspaceOf(api.db, mine, { ownerId: member.id });
    const q = encodeURIComponent(`owner:prebuilds template:${mine.name}`);
    for (const { token } of [api.owner, templateAdmin, organizationTemplateAdmin, organizationAdmin]) {
      const { body } = await ask('GET', `/workspaces?q=${q}`, token);
      expect(body.workspaces.map(({ id }: JsonValue) => id).toSorted()).toEqual(ids.toSorted());
      expect(body.count).toBe(3);
      expect(body.workspaces).toContainEqual(
        expect.objectContaining({ is_prebuild: true, owner_name: 'prebuilds', claimed_at: null }),
      );
      const name = await nameOf(ids[0]!);
      expect((await ask('GET', `/users/prebuilds/workspace/${name}`, token)).body.id).toBe(ids[0]);
    }
    expect((await ask('GET', `/workspaces?q=${q}`, auditor.token)).body.workspaces).toEqual([]);
  });

  test('takes no settings of its own: 409 for those who may change workspaces', async () => {
    const id = await newPrebuild();
    const before = await api.db.execute(sql`select * from workspaces where id = ${id}`);
    const calls: [string, string, unknown?][] = [
      ['PUT', '/ttl', { ttl_ms: 3_600_000 }],
      ['PUT', '/autostart', { schedule: '30 9 * * 1-5' }],
      ['PUT', '/autoupdates', { automatic_updates: 'always' }],
      ['PUT', '/favorite'],
      ['DELETE', '/favorite'],
      ['PATCH', '', { name: 'mine' }],
      ['PATCH', '', { name: '' }],
    ];
    for (const [method, path, body] of calls) {
      const by = (token: string) => statusOf(method, `/workspaces/${id}${path}`, token, body);
      expect([path, await by(api.ownerToken), await by(templateAdmin.token), await by(member.token)]).toEqual([
        path,
        409,
        403,
        404,
      ]);
    }
    expect(await api.db.execute(sql`select * from workspaces where id = ${id}`)).toEqual(before);
  });

  test('is deleted by those who keep templates, who may not stop or start it', async () => {
    const build = (id: string, token: string, body: object) =>
      statusOf('POST', `/workspaces/${id}/builds`, token, body);
    for (const { token } of [templateAdmin, organizationTemplateAdmin]) {
      const id = await newPrebuild();
      expect(await build(id, token, { transition: 'stop' })).toBe(403);
      expect(await build(id, token, { transition: 'start' })).toBe(403);
      expect(await build(id, token, { transition: 'delete' })).toBe(201);
    }
    for (const { token } of [api.owner, organizationAdmin]) {
      expect(await build(await newPrebuild(), token, { transition: 'stop' })).toBe(201);
      expect(await build(await newPrebuild(), token, { transition: 'delete' })).toBe(201);
    }
    expect(await build(await newPrebuild(), auditor.token, { transition: 'delete' })).toBe(404);
    const elsewhere = await api.createUser({ organizationIds: [] });
    expect(await build(await newPrebuild(), elsewhere.token, { transition: 'delete' })).toBe(404);
  });

  test('gives them no right to delete workspaces of people', async () => {
    const bobs = await insertWorkspaceOf(api.db, template, { ownerId: member.id });
    for (const { token } of [templateAdmin, organizationTemplateAdmin])
      for (const body of [{ transition: 'delete' }, { transition: 'delete', orphan: true }])
        expect(await statusOf('POST', `/workspaces/${bobs}/builds`, token, body)).toBe(403);
  });

  test('is out of their reach from the claim on', async () => {
    const id = await newPrebuild();
    await claimFor(api, id, { ownerId: member.id });
    for (const { token } of [templateAdmin, organizationTemplateAdmin])
      for (const transition of ['delete', 'stop', 'start'])
        expect(await statusOf('POST', `/workspaces/${id}/builds`, token, { transition })).toBe(403);
    expect((await ask('GET', `/workspaces/${id}`, member.token)).body).toMatchObject({ is_prebuild: false });
    expect(await statusOf('POST', `/workspaces/${id}/builds`, member.token, { transition: 'delete' })).toBe(201);
  });

  test('is forgotten with its resources by those who may also change its template', async () => {
    const orphan = (id: string, token: string) =>
      statusOf('POST', `/workspaces/${id}/builds`, token, { transition: 'delete', orphan: true });
    expect(await orphan(await newPrebuild(), templateAdmin.token)).toBe(201);
    expect(await orphan(await newPrebuild(), organizationTemplateAdmin.token)).toBe(201);
    // A key of theirs that does not reach templates.
    const narrow = await api.createKey(templateAdmin.id, {
      scopes: ['workspace:read', 'workspace:update', 'workspace:delete', 'prebuilt_workspace:*'],
    });
    const id = await newPrebuild();
    expect([403, 404]).toContain(await orphan(id, narrow));
    expect(await statusOf('POST', `/workspaces/${id}/builds`, narrow, { transition: 'delete' })).toBe(201);
  });

  test('counts as nobody’s workspace where templates tell their use', async () => {
    const lonely = await createTemplate(api);
    const pool = await insertPool(api.db, lonely.active_version_id);
    await insertPrebuildOf(api, lonely, { presetId: pool });
    const { body } = await ask('GET', `/templates/${lonely.id}`, api.ownerToken);
    expect(body.active_user_count).toBe(0);
    // Nor does it keep its template from being deleted.
    expect(await statusOf('DELETE', `/templates/${lonely.id}`, api.ownerToken)).toBe(200);
  });
});

describe('jobs of pools', () => {
  test('are found by their initiator and status; claims are not among them', async () => {
    const mine = await createTemplate(api);
    const pool = await insertPool(api.db, mine.active_version_id);
    const pending = await insertPrebuildOf(api, mine, { presetId: pool, build: 'pending' });
    await insertPrebuildOf(api, mine, { presetId: pool, build: 'running' });
    await claimFor(api, await insertPrebuildOf(api, mine, { presetId: pool }), { ownerId: member.id });
    const list = async (query: string, token = templateAdmin.token) => {
      const { status, body } = await ask('GET', `/organizations/default/provisionerjobs?limit=1000&${query}`, token);
      return status === 200
        ? body.flatMap(({ metadata }: JsonValue) => (metadata.template_id === mine.id ? [metadata.workspace_id] : []))
        : status;
    };
    expect(await list('initiator=prebuilds&status=pending')).toEqual([pending]);
    expect(await list(`initiator=${prebuildsUser}&status=pending`)).toEqual([pending]);
    expect(await list('initiator=prebuilds')).toHaveLength(3);
    expect(await list(`initiator=${member.id}`)).toHaveLength(1);
    expect(await list('initiator=prebuilds&status=pending', member.token)).toBe(403);
  });
});
