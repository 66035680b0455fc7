import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';

const base = '/api/v2';
let api: TestApi;
let member: TestUser;
let other: { id: string };
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser({ username: 'member' });
  other = (await api.request('POST', `${base}/organizations`, { token: api.ownerToken, body: { name: 'other' } })).body;
});
afterAll(() => api.close());

const ask = (method: string, path: string, token: string, body?: object) =>
  api.request(method, `${base}${path}`, { token, ...(body && { body }) });
const fieldOf = (answer: { body: { validations?: { field: string }[] } }) => answer.body.validations?.[0]?.field;

describe('organizations', () => {
  test('are found by id, name and default; strangers see nothing', async () => {
    for (const ref of [other.id, 'OTHER'])
      expect((await ask('GET', `/organizations/${ref}`, api.ownerToken)).body.id).toBe(other.id);
    expect((await ask('GET', '/organizations/default', member.token)).body).toMatchObject({
      id: api.organizationId,
      is_default: true,
    });
    const missing = await ask('GET', '/organizations/nowhere', member.token);
    for (const ref of [other.id, 'other']) {
      const answer = await ask('GET', `/organizations/${ref}`, member.token);
      expect([answer.status, answer.text]).toEqual([404, missing.text]);
    }
    expect((await ask('GET', '/organizations', member.token)).body.map(({ id }: { id: string }) => id)).toEqual([
      api.organizationId,
    ]);
    expect((await ask('GET', '/organizations', api.ownerToken)).body).toHaveLength(2);
  });

  test('are created by owners, with names that are free and well formed', async () => {
    expect((await ask('POST', '/organizations', member.token, { name: 'mine' })).status).toBe(403);
    const taken = await ask('POST', '/organizations', api.ownerToken, { name: 'Other' });
    expect([taken.status, fieldOf(taken)]).toEqual([409, 'name']);
    for (const name of ['default', 'new', 'a--b', 'a'.repeat(33)])
      expect((await ask('POST', '/organizations', api.ownerToken, { name })).status).toBe(400);
  });

  test('are changed by their admins', async () => {
    const admin = await api.createUser({ organizationRoles: ['organization-admin'] });
    const answer = await ask('PATCH', '/organizations/default', admin.token, {
      description: 'Ours',
      display_name: 'Home',
    });
    expect(answer.body).toMatchObject({ name: 'default', display_name: 'Home', description: 'Ours' });
    expect((await ask('PATCH', '/organizations/default', member.token, { description: 'x' })).status).toBe(403);
    expect((await ask('PATCH', '/organizations/other', admin.token, { description: 'x' })).status).toBe(404);
    expect(
      fieldOf(
        await ask('PATCH', '/organizations/default', admin.token, { default_org_member_roles: ['organization-admin'] }),
      ),
    ).toBe('default_org_member_roles');
  });

  test('the default one is never deleted, others when nothing is left, naming what is', async () => {
    expect((await ask('DELETE', '/organizations/default', api.ownerToken)).status).toBe(400);
    const { body } = await ask('POST', '/organizations', api.ownerToken, { name: 'doomed' });
    await ask('POST', `/organizations/doomed/members/${member.id}`, api.ownerToken);
    await ask('POST', '/organizations/doomed/groups', api.ownerToken, { name: 'crew' });
    await api.db
      .execute(sql`insert into templates (organization_id, name, provisioner, active_version_id, created_by, created_at, updated_at)
      select ${body.id}, 't' || n, 'echo', gen_random_uuid(), ${member.id}, now(), now() from generate_series(1, 2) n`);
    await api.db
      .execute(sql`insert into workspaces (owner_id, organization_id, template_id, name, last_used_at, created_at, updated_at)
      select ${member.id}, ${body.id}, id, 'dev', now(), now(), now() from templates where name = 't1'`);
    const refused = await ask('DELETE', '/organizations/doomed', api.ownerToken);
    expect([refused.status, refused.body.detail]).toEqual([409, '1 workspaces, 2 templates, 1 groups, 1 members']);
    await api.db.execute(sql`update workspaces set deleted = true where organization_id = ${body.id}`);
    await api.db.execute(sql`update templates set deleted = true where organization_id = ${body.id}`);
    await api.db.execute(sql`delete from groups where organization_id = ${body.id} and id <> ${body.id}`);
    await ask('DELETE', `/organizations/doomed/members/${member.id}`, api.ownerToken);
    expect((await ask('DELETE', '/organizations/doomed', api.ownerToken)).status).toBe(200);
    expect((await ask('GET', '/organizations/doomed', api.ownerToken)).status).toBe(404);
    expect((await ask('POST', '/organizations', api.ownerToken, { name: 'doomed' })).status).toBe(201);
  });

  test('there is one default at most', async () => {
    const second = api.db.execute(
      sql`insert into organizations (name, display_name, is_default, created_at, updated_at) values ('x', 'x', true, now(), now())`,
    );
    await expect(second).rejects.toThrow();
  });
});

describe('members', () => {
  test('see each other; the prebuilds user shows by id only, or to admins who ask', async () => {
    const names = (answer: { body: { username: string }[] }) => answer.body.map(({ username }) => username);
    const list = await ask('GET', '/organizations/default/members', member.token);
    expect(names(list)).toContain('owner');
    expect(names(list)).not.toContain('prebuilds');
    const page = await ask('GET', '/organizations/default/paginated-members?limit=1&offset=1', member.token);
    expect(page.body.members).toHaveLength(1);
    expect(page.body.count).toBe(list.body.length);
    expect(
      (await ask('GET', `/organizations/default/members/${PREBUILDS_SYSTEM_USER_ID}`, member.token)).body.username,
    ).toBe('prebuilds');
    expect((await ask('GET', '/organizations/default/members?q=include_system:true', member.token)).status).toBe(403);
    expect(names(await ask('GET', '/organizations/default/members?q=include_system:true', api.ownerToken))).toContain(
      'prebuilds',
    );
    expect(names(await ask('GET', `/organizations/default/members?q=user_id:${member.id}`, member.token))).toEqual([
      'member',
    ]);
    expect(fieldOf(await ask('GET', '/organizations/default/members?q=somebody', member.token))).toBe('q');
  });

  test('are added and removed by admins', async () => {
    const admin = await api.createUser({ organizationRoles: ['organization-admin'] });
    const guest = await api.createUser({ organizationIds: [] });
    const path = `/organizations/default/members/${guest.id}`;
    expect((await ask('POST', path, member.token)).status).toBe(403);
    const added = await ask('POST', path, admin.token);
    expect([added.status, added.body.user_id]).toEqual([200, guest.id]);
    expect((await ask('POST', path, admin.token)).status).toBe(409);
    expect((await ask('GET', '/organizations/default', guest.token)).status).toBe(200);
    expect((await ask('DELETE', path, admin.token)).status).toBe(204);
    expect((await ask('GET', '/organizations/default', guest.token)).status).toBe(404);
    expect((await ask('DELETE', path, admin.token)).status).toBe(404);
    expect((await ask('DELETE', `/organizations/default/members/${admin.id}`, admin.token)).status).toBe(400);
    expect((await ask('POST', `/organizations/other/members/${guest.id}`, admin.token)).status).toBe(404);
  });

  test('get roles from who may give them', async () => {
    const admin = await api.createUser({ organizationRoles: ['organization-admin'] });
    const people = await api.createUser({ organizationRoles: ['organization-user-admin'] });
    const put = (token: string, roles: string[], place = 'default', id = member.id) =>
      ask('PUT', `/organizations/${place}/members/${id}/roles`, token, { roles });
    const granted = await put(admin.token, ['organization-template-admin', 'organization-member']);
    expect(granted.body.roles).toEqual([
      {
        name: 'organization-template-admin',
        display_name: 'Organization Template Admin',
        organization_id: api.organizationId,
      },
    ]);
    expect((await put(people.token, [])).status).toBe(403);
    expect((await put(admin.token, [])).status).toBe(200);
    expect((await put(people.token, ['organization-workspace-access'])).status).toBe(200);
    expect((await put(people.token, ['organization-admin'])).status).toBe(403);
    expect((await put(member.token, ['organization-admin'])).status).toBe(403);
    expect((await put(admin.token, ['organization-admin'], 'default', admin.id)).status).toBe(400);
    expect((await put(admin.token, ['owner'])).status).toBe(400);
    expect((await put(admin.token, ['organization-admin'], 'other')).status).toBe(404);
    const roles = await ask('GET', '/organizations/default/members/roles', people.token);
    expect(roles.body).toContainEqual(expect.objectContaining({ name: 'organization-admin', assignable: false }));
    expect(roles.body).toContainEqual(
      expect.objectContaining({ name: 'organization-workspace-access', assignable: true }),
    );
  });
});

describe('groups', () => {
  test('everyone is in the everyone group, which keeps its name', async () => {
    const everyone = await ask('GET', `/groups/${api.organizationId}`, member.token);
    expect(everyone.body).toMatchObject({ name: 'Everyone', id: api.organizationId });
    expect(everyone.body.members.map(({ username }: { username: string }) => username)).toEqual(
      expect.arrayContaining(['member', 'owner']),
    );
    expect(everyone.body.members.map(({ username }: { username: string }) => username)).not.toContain('prebuilds');
    const patch = (body: object) => ask('PATCH', `/groups/${api.organizationId}`, api.ownerToken, body);
    expect((await patch({ quota_allowance: 7 })).body.quota_allowance).toBe(7);
    expect(fieldOf(await patch({ name: 'all' }))).toBe('name');
    expect((await patch({ add_users: [member.id] })).status).toBe(400);
    expect(fieldOf(await patch({ quota_allowance: -1 }))).toBe('quota_allowance');
    expect((await ask('DELETE', `/groups/${api.organizationId}`, api.ownerToken)).status).toBe(400);
  });

  test('are seen by their members, and take members of the organization only', async () => {
    const { body } = await ask('POST', '/organizations/default/groups', api.ownerToken, {
      name: 'crew',
      quota_allowance: 3,
    });
    expect((await ask('POST', '/organizations/default/groups', member.token, { name: 'mine' })).status).toBe(403);
    expect((await ask('POST', '/organizations/default/groups', api.ownerToken, { name: 'CREW' })).status).toBe(409);
    expect((await ask('GET', `/groups/${body.id}`, member.token)).status).toBe(404);
    const stranger = await api.createUser({ organizationIds: [] });
    expect(fieldOf(await ask('PATCH', `/groups/${body.id}`, api.ownerToken, { add_users: [stranger.id] }))).toBe(
      'add_users',
    );
    const joined = await ask('PATCH', `/groups/${body.id}`, api.ownerToken, { add_users: [member.id] });
    expect(joined.body).toMatchObject({ total_member_count: 1, members: [{ id: member.id }] });
    expect((await ask('GET', `/groups/${body.id}`, member.token)).status).toBe(200);
    expect((await ask('PATCH', `/groups/${body.id}`, member.token, { name: 'x' })).status).toBe(403);
    const names = (answer: { body: { name: string }[] }) => answer.body.map(({ name }) => name);
    expect(names(await ask('GET', '/organizations/default/groups', member.token))).toEqual(['crew', 'Everyone']);
    expect(names(await ask('GET', '/groups', member.token))).toEqual(['crew', 'Everyone']);
    expect((await ask('DELETE', `/groups/${body.id}`, api.ownerToken)).status).toBe(200);
    expect((await ask('GET', '/groups/not-a-uuid', member.token)).body.validations[0].field).toBe('group');
  });
});
