import { and, eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { templates } from '../../db/schema/templates.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type Answer, type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, templateWith } from '../support/build-rows.ts';
import { insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let member: TestUser;
let template: JsonValue;
/** A started workspace of `member`, fresh for each test. */
let workspace: JsonValue;
let names = 0;

beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser({ username: 'alice' });
  template = await templateWith(api, []);
});
afterAll(() => api.close());
beforeEach(async () => {
  workspace = await create();
  await endBuild(api.db, workspace.latest_build.id);
});

async function create(body: Record<string, unknown> = {}, token = member.token): Promise<JsonValue> {
  const created = await api.request('POST', '/api/v2/users/me/workspaces', {
    token,
    body: { name: `ws-${(names += 1)}`, template_id: template.id, ...body },
  });
  if (created.status !== 201) throw new Error(created.text);
  return created.body;
}
const send = (method: string, path: string, body?: unknown, token = member.token): Promise<Answer> =>
  api.request(method, `/api/v2${path}`, { token, ...(body !== undefined && { body }) });
const read = async (): Promise<JsonValue> => (await send('GET', `/workspaces/${workspace.id}`)).body;
const fields = (body: JsonValue): string[] => (body.validations ?? []).map(({ field }: { field: string }) => field);
const put = (setting: string, body: unknown, token = member.token) =>
  send('PUT', `/workspaces/${workspace.id}/${setting}`, body, token);

describe('reading a workspace', () => {
  test('by id or by name of its owner gives the same, with an ETag', async () => {
    const byId = await send('GET', `/workspaces/${workspace.id}`);
    expect(byId.body).toMatchObject({
      id: workspace.id,
      latest_build: { status: 'running' },
      health: { healthy: true },
    });
    for (const owner of ['me', member.id, 'alice', 'ALICE']) {
      const byName = await send('GET', `/users/${owner}/workspace/${workspace.name.toUpperCase()}`);
      expect([owner, byName.status, byName.body]).toEqual([owner, 200, byId.body]);
    }
    const again = await api.request('GET', `/api/v2/workspaces/${workspace.id}`, {
      token: member.token,
      headers: { 'If-None-Match': byId.headers.get('etag')! },
    });
    expect([again.status, again.text]).toEqual([304, '']);
    expect((await send('GET', '/workspaces/not-a-uuid')).status).toBe(400);
    expect((await send('GET', `/workspaces/${workspace.id}?include_deleted=perhaps`)).status).toBe(400);
  });

  test('that is deleted is 410 by id, 404 by name, and there on demand', async () => {
    const { name } = workspace;
    const remove = async (id: string) => {
      const { body } = await send('POST', `/workspaces/${id}/builds`, { transition: 'delete' });
      await endBuild(api.db, body.id);
    };
    await remove(workspace.id);
    expect((await send('GET', `/workspaces/${workspace.id}`)).status).toBe(410);
    expect((await send('GET', `/workspaces/${workspace.id}?include_deleted=true`)).body).toMatchObject({
      id: workspace.id,
      latest_build: { status: 'deleted' },
    });
    expect((await send('GET', `/users/me/workspace/${name}`)).status).toBe(404);
    const byName = async () => (await send('GET', `/users/me/workspace/${name}?include_deleted=true`)).body.id;
    expect(await byName()).toBe(workspace.id);
    const second = await create({ name });
    expect(await byName()).toBe(second.id);
    await endBuild(api.db, second.latest_build.id);
    await remove(second.id);
    expect(await byName()).toBe(second.id);
    const stranger = await api.createUser();
    const foreign = await send('GET', `/workspaces/${workspace.id}?include_deleted=true`, undefined, stranger.token);
    expect(foreign.status).toBe(404);
  });
});

describe('the settings of a workspace', () => {
  test('follow the owner’s rights: strangers find nothing, readers may not change', async () => {
    const stranger = await api.createUser();
    const reader = await api.createUser({ roles: ['template-admin'] });
    const calls: [string, string, unknown][] = [
      ['PATCH', '', { name: 'other' }],
      ['PUT', '/ttl', { ttl_ms: null }],
      ['PUT', '/autostart', { schedule: null }],
      ['PUT', '/autoupdates', { automatic_updates: 'always' }],
      ['PUT', '/favorite', undefined],
      ['DELETE', '/favorite', undefined],
    ];
    for (const [method, path, body] of calls) {
      const as = async (token: string) =>
        (await send(method, `/workspaces/${workspace.id}${path}`, body, token)).status;
      expect([path, await as(stranger.token), await as(reader.token)]).toEqual([path, 404, 403]);
    }
  });

  test('take a new name only where the deployment allows it', async () => {
    const rename = (name: unknown) => send('PATCH', `/workspaces/${workspace.id}`, { name });
    expect((await rename(workspace.name)).status).toBe(204);
    expect((await rename('')).status).toBe(204);
    expect((await rename('other')).status).toBe(400);
    const open = await createTestApi({ env: { CODER_ALLOW_WORKSPACE_RENAMES: 'true' } });
    try {
      const own = await templateWith(open, []);
      const make = async (name: string) =>
        (
          await open.request('POST', '/api/v2/users/me/workspaces', {
            token: open.ownerToken,
            body: { name, template_id: own.id },
          })
        ).body;
      const [first] = [await make('first'), await make('second')];
      expect(first.allow_renames).toBe(true);
      const change = (name: string) =>
        open.request('PATCH', `/api/v2/workspaces/${first.id}`, { token: open.ownerToken, body: { name } });
      const taken = await change('SECOND');
      expect([taken.status, fields(taken.body)]).toEqual([409, ['name']]);
      expect((await change('a--b')).status).toBe(400);
      expect((await change('third')).status).toBe(204);
      expect((await open.request('GET', '/api/v2/users/me/workspace/third', { token: open.ownerToken })).status).toBe(
        200,
      );
    } finally {
      await open.close();
    }
  });

  test('take a time to live in whole minutes; off leaves a running build its hard limit', async () => {
    for (const ttl_ms of [59_999, 2_592_060_000, -60_000]) {
      const { status, body } = await put('ttl', { ttl_ms });
      expect([status, fields(body)]).toEqual([400, ['ttl_ms']]);
    }
    expect((await put('ttl', { ttl_ms: 90_000 })).status).toBe(204);
    expect((await read()).ttl_ms).toBe(60_000);
    const maxDeadline = new Date('2030-01-01T18:00:00Z');
    await api.db
      .update(workspaceBuilds)
      .set({ deadline: new Date('2030-01-01T17:00:00Z'), maxDeadline })
      .where(eq(workspaceBuilds.workspaceId, workspace.id));
    expect((await put('ttl', { ttl_ms: 120_000 })).status).toBe(204);
    expect((await read()).latest_build.deadline).toBe('2030-01-01T17:00:00.000Z');
    expect((await put('ttl', { ttl_ms: null })).status).toBe(204);
    const off = await read();
    expect(off).not.toHaveProperty('ttl_ms');
    expect(off.latest_build.deadline).toBe('2030-01-01T18:00:00.000Z');
    await api.db
      .update(workspaceBuilds)
      .set({ maxDeadline: null })
      .where(eq(workspaceBuilds.workspaceId, workspace.id));
    expect((await put('ttl', { ttl_ms: 0 })).status).toBe(204);
    expect((await read()).latest_build.deadline).toBeNull();
  });

  test('are the template’s where it does not let users choose', async () => {
    await api.db
      .update(templates)
      .set({ allowUserAutostop: false, allowUserAutostart: false })
      .where(eq(templates.id, template.id));
    try {
      expect(fields((await put('ttl', { ttl_ms: 60_000 })).body)).toEqual(['ttl_ms']);
      expect(fields((await put('autostart', { schedule: '0 9 * * 1-5' })).body)).toEqual(['schedule']);
    } finally {
      await api.db
        .update(templates)
        .set({ allowUserAutostop: true, allowUserAutostart: true })
        .where(eq(templates.id, template.id));
    }
  });

  test('take a schedule, or none', async () => {
    const bad = await put('autostart', { schedule: '0 9 * * 1-5 2030' });
    expect([bad.status, fields(bad.body)]).toEqual([400, ['schedule']]);
    expect((await put('autostart', { schedule: 'CRON_TZ=Asia/Tokyo 0 9 * * 1-5' })).status).toBe(204);
    expect((await read()).autostart_schedule).toBe('CRON_TZ=Asia/Tokyo 0 9 * * 1-5');
    expect((await put('autostart', { schedule: '' })).status).toBe(204);
    expect(await read()).not.toHaveProperty('autostart_schedule');
  });

  test('update always or never', async () => {
    expect((await put('autoupdates', { automatic_updates: 'always' })).status).toBe(204);
    expect((await read()).automatic_updates).toBe('always');
    expect((await put('autoupdates', { automatic_updates: 'often' })).status).toBe(400);
  });

  test('have a mark that only the owner sets and sees', async () => {
    expect((await put('favorite', undefined, api.ownerToken)).status).toBe(403);
    expect((await put('favorite', undefined)).status).toBe(204);
    expect((await read()).favorite).toBe(true);
    expect((await send('GET', `/workspaces/${workspace.id}`, undefined, api.ownerToken)).body.favorite).toBe(false);
    const remove = (token: string) => send('DELETE', `/workspaces/${workspace.id}/favorite`, undefined, token);
    expect((await remove(api.ownerToken)).status).toBe(403);
    expect((await remove(member.token)).status).toBe(204);
    expect((await read()).favorite).toBe(false);
  });

  test('leave one audit row with the difference, and none when nothing changes', async () => {
    await put('ttl', { ttl_ms: 60_000 });
    await put('ttl', { ttl_ms: 60_000 });
    const rows = await api.db
      .select({ diff: auditLogs.diff })
      .from(auditLogs)
      .where(and(eq(auditLogs.resourceId, workspace.id), eq(auditLogs.action, 'write')));
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows[0]!.diff)).toContain('60000');
  });

  test('do not exist on an unclaimed prebuild, nor on a deleted workspace', async () => {
    const prebuild = await insertWorkspaceOf(api.db, template);
    const calls: [string, string, unknown][] = [
      ['PUT', '/ttl', { ttl_ms: 60_000 }],
      ['PUT', '/autostart', { schedule: '0 9 * * 1-5' }],
      ['PUT', '/autoupdates', { automatic_updates: 'always' }],
      ['PUT', '/favorite', undefined],
      ['PATCH', '', { name: 'mine' }],
    ];
    const { body: gone } = await send('POST', `/workspaces/${workspace.id}/builds`, { transition: 'delete' });
    await endBuild(api.db, gone.id);
    for (const [method, path, body] of calls) {
      const on = async (id: string) => (await send(method, `/workspaces/${id}${path}`, body, api.ownerToken)).status;
      expect([path, await on(prebuild), await on(workspace.id)]).toEqual([path, 409, 405]);
    }
    const [row] = await api.db
      .select({ ttlMs: workspaces.ttlMs, schedule: workspaces.autostartSchedule, ownerId: workspaces.ownerId })
      .from(workspaces)
      .where(eq(workspaces.id, prebuild));
    expect(row).toEqual({ ttlMs: null, schedule: null, ownerId: PREBUILDS_SYSTEM_USER_ID });
  });
});

describe('a prebuild', () => {
  test('is deleted by those who may delete prebuilds; a person’s workspace is not', async () => {
    const admin = await api.createUser({ roles: ['template-admin'] });
    const prebuild = await insertWorkspaceOf(api.db, template);
    const remove = (id: string) => send('POST', `/workspaces/${id}/builds`, { transition: 'delete' }, admin.token);
    expect((await remove(prebuild)).status).toBe(201);
    expect((await remove(workspace.id)).status).toBe(403);
  });

  test('is found by the name of its owner by those who may read it', async () => {
    const prebuild = await insertWorkspaceOf(api.db, template);
    const [{ name } = { name: '' }] = await api.db
      .select({ name: workspaces.name })
      .from(workspaces)
      .where(eq(workspaces.id, prebuild));
    const found = await send('GET', `/users/prebuilds/workspace/${name}`, undefined, api.ownerToken);
    expect([found.status, found.body.is_prebuild]).toEqual([200, true]);
    expect((await send('GET', `/users/prebuilds/workspace/${name}`)).status).toBe(404);
  });
});

describe('a build that ends', () => {
  test('is latest and idle, and a later one may follow', async () => {
    const { body } = await send('POST', `/workspaces/${workspace.id}/builds`, { transition: 'stop' });
    await endBuild(api.db, body.id, { error: 'boom' });
    expect((await read()).latest_build).toMatchObject({ status: 'failed', job: { status: 'failed', error: 'boom' } });
    const flags = await api.db
      .select({
        latest: sql<number>`count(*) filter (where is_latest)::int`,
        active: sql<number>`count(*) filter (where active)::int`,
      })
      .from(workspaceBuilds)
      .where(eq(workspaceBuilds.workspaceId, workspace.id));
    expect(flags).toEqual([{ latest: 1, active: 0 }]);
  });
});
