import { and, eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { workspaceBuildStates } from '../../db/schema/workspaces.ts';
import { type Answer, type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, templateWith } from '../support/build-rows.ts';
import { damages, giveState, plainState, stateResource, stateText } from '../support/state-rows.ts';

let api: TestApi;
let member: TestUser;
let admin: TestUser;
let template: JsonValue;
/** A workspace of `member` whose first build has succeeded, fresh for each test. */
let workspace: JsonValue;
let names = 0;

beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser();
  admin = await api.createUser({ roles: ['template-admin'] });
  template = await templateWith(api, []);
});
afterAll(() => api.close());
beforeEach(async () => {
  const body = { name: `ws-${(names += 1)}`, template_id: template.id };
  workspace = (await api.request('POST', '/api/v2/users/me/workspaces', { token: member.token, body })).body;
  await endBuild(api.db, workspace.latest_build.id);
});

const states = (path = '') => `/api/v2/workspaces/${workspace.id}/state${path}`;
const get = (path: string, token = admin.token) => api.request('GET', states(path), { token });
const post = (path: string, body?: unknown, token = admin.token): Promise<Answer> =>
  api.request('POST', states(path), { token, ...(body !== undefined && { body }) });
const restore = (version: number, body?: unknown, token = admin.token) =>
  post(`/versions/${version}/restore`, body, token);
const forget = (address: string, token = admin.token) => post('/forget', { address }, token);
const put = (buildId: string, text: string, token = admin.token) =>
  api.request('PUT', `/api/v2/workspacebuilds/${buildId}/state`, {
    token,
    body: { state: Buffer.from(text).toString('base64') },
  });
const stateOf = (buildId: string) =>
  api.request('GET', `/api/v2/workspacebuilds/${buildId}/state`, { token: admin.token });
const versions = async (): Promise<JsonValue[]> => (await get('/versions')).body;
const give = (options: Parameters<typeof plainState>[0] = {}, buildId = workspace.latest_build.id) =>
  giveState(api, buildId, plainState(options));
const build = async (transition: string): Promise<JsonValue> => {
  const path = `/api/v2/workspaces/${workspace.id}/builds`;
  return (await api.request('POST', path, { token: api.ownerToken, body: { transition } })).body;
};
const fields = (body: JsonValue): string[] => (body.validations ?? []).map(({ field }: { field: string }) => field);
const auditsOf = (buildId: string) =>
  api.db
    .select({ status: auditLogs.statusCode, user: auditLogs.userId, extra: auditLogs.additionalFields })
    .from(auditLogs)
    .where(and(eq(auditLogs.resourceId, buildId), eq(auditLogs.action, 'write')));

describe('the versions of a state', () => {
  test('are listed with who gave them and which is the current one', async () => {
    expect(await versions()).toEqual([]);
    const first = stateText({ serial: 1 });
    expect((await put(workspace.latest_build.id, first)).status).toBe(204);
    await give({ serial: 2 });
    const list = await versions();
    expect(list).toEqual([
      expect.objectContaining({ version: 2, serial: 2, source: 'upload', created_by: null, created_by_name: '' }),
      {
        version: 1,
        build_id: workspace.latest_build.id,
        build_number: 1,
        source: 'upload',
        created_at: expect.stringMatching(/^\d{4}-.*Z$/),
        created_by: admin.id,
        created_by_name: admin.username,
        serial: 1,
        lineage: 'l',
        checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
        size_bytes: first.length,
        current: false,
        kept: true,
      },
    ]);
    expect(list[0]).toMatchObject({ current: true });
    expect((await get('/versions?limit=1')).body).toEqual([list[0]]);
    expect((await get('/versions?limit=0&offset=1')).body).toEqual([list[1]]);
    expect((await get('/versions?limit=-1')).status).toBe(400);
  });

  test('are read byte by byte, and each read is written down', async () => {
    const odd = stateText({ serial: 1 }).replace(
      '"outputs": {}',
      '"outputs": {"n": {"value": 12345678901234567890.10}}',
    );
    await put(workspace.latest_build.id, odd);
    await give({ serial: 2 });
    const read = await get('/versions/1');
    expect([read.status, read.headers.get('content-type'), read.text]).toEqual([200, 'application/json', odd]);
    const audits = await auditsOf(workspace.latest_build.id);
    expect(audits).toContainEqual(
      expect.objectContaining({
        user: admin.id,
        extra: expect.objectContaining({ state_read: true, state_version: 1, workspace_id: workspace.id }),
      }),
    );
    expect((await get('/versions/3')).status).toBe(404);
    for (const version of ['0', '-1', 'x', '1.5', '99999999999'])
      expect([version, fields((await get(`/versions/${version}`)).body)]).toEqual([version, ['version']]);
  });

  test('are none of the business of those who may not update the template, the workspace’s owner among them', async () => {
    await give({ resources: [stateResource('terraform_data', 'a')] });
    await give({ serial: 2 });
    const stranger = await api.createUser();
    const missing = crypto.randomUUID();
    for (const token of [member.token, stranger.token]) {
      const answers = [
        await get('/versions', token),
        await get('/versions/1', token),
        await restore(1, {}, token),
        await forget('terraform_data.a', token),
        await put(workspace.latest_build.id, stateText(), token),
      ];
      expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
      const nobodys = await api.request('GET', `/api/v2/workspaces/${missing}/state/versions`, { token });
      expect(answers[0]!.body).toEqual(nobodys.body);
    }
    expect(await versions()).toHaveLength(2);
  });

  test('stay to be read when the workspace is deleted, but nothing is changed any more', async () => {
    await give({ serial: 1 });
    await give({ serial: 2 });
    await endBuild(api.db, (await build('delete')).id);
    expect(await versions()).toHaveLength(2);
    expect((await get('/versions/1')).status).toBe(200);
    const gone = [await restore(1), await forget('x.y'), await put(workspace.latest_build.id, stateText())];
    expect(gone.map(({ status, body }) => [status, body.message])).toEqual(
      gone.map(() => [410, 'The workspace is deleted']),
    );
  });

  test('beyond the last ten are gone, also for a build whose own state was among them', async () => {
    const first = workspace.latest_build.id;
    await give({ serial: 1 });
    const second = await build('stop');
    await endBuild(api.db, second.id);
    for (let serial = 2; serial <= 11; serial += 1) await give({ serial }, second.id);
    expect((await versions()).map(({ kept }) => kept)).toEqual([...Array.from({ length: 10 }, () => true), false]);
    const gone = [await get('/versions/1'), await stateOf(first), await restore(1)];
    for (const answer of gone)
      expect([answer.status, answer.body]).toEqual([
        410,
        {
          message: 'The content of state version 1 (build 1) is no longer kept',
          detail: 'the last 10 versions of a workspace are',
        },
      ]);
    const late = await put(first, stateText({ serial: 99 }));
    expect([late.status, late.body.message]).toEqual([410, 'Build 1 is too old to be given a state']);
    expect(await versions()).toHaveLength(11);
  });
});

describe('restoring a version', () => {
  test('adds one with the old content to the latest build, which the next build starts from', async () => {
    await give({ serial: 1 });
    const second = await build('stop');
    await endBuild(api.db, second.id);
    await give({ serial: 2 }, second.id);
    const { status, body } = await restore(1);
    expect([status, body]).toMatchObject([
      201,
      {
        version: 3,
        build_id: second.id,
        source: 'restore',
        serial: 1,
        current: true,
        kept: true,
        created_by: admin.id,
        created_by_name: admin.username,
      },
    ]);
    expect(await versions()).toEqual([
      body,
      expect.objectContaining({ version: 2 }),
      expect.objectContaining({ version: 1 }),
    ]);
    expect((await stateOf(second.id)).text).toBe(stateText({ serial: 1 }));
    expect((await auditsOf(second.id))[0]).toMatchObject({
      status: 201,
      user: admin.id,
      extra: { state_restored: 1, state_version: 3, workspace_id: workspace.id },
    });
  });

  test('of the current one, or of none that ever was, is refused', async () => {
    expect((await restore(1)).status).toBe(404);
    await give({ serial: 1 });
    const current = await restore(1);
    expect([current.status, current.body.message]).toEqual([409, 'Version 1 is the current state already']);
    expect((await restore(2)).status).toBe(404);
    expect((await restore(1, { force: 'yes' })).status).toBe(400);
    expect(await versions()).toHaveLength(1);
  });

  test('of another lineage, or of an empty state, needs to be meant', async () => {
    await give({ serial: 5, lineage: 'other' });
    await giveState(api, workspace.latest_build.id, { bytes: Buffer.alloc(0), serial: 0, lineage: '' }, 'orphan');
    // After an empty one anything may follow.
    expect((await restore(1)).status).toBe(201);
    await give({ serial: 1 });
    for (const [version, reason] of [
      [1, 'its lineage is other, the current one is l'],
      [2, 'it is empty'],
    ] as const) {
      const refused = await restore(version);
      expect([refused.status, fields(refused.body)]).toEqual([409, ['force']]);
      expect(refused.body.detail).toContain(reason);
    }
    expect(await versions()).toHaveLength(4);
    const forced = await restore(1, { force: true });
    expect([forced.status, forced.body]).toMatchObject([201, { version: 5, lineage: 'other' }]);
  });

  test('and giving others, fifty times each and all at once, numbers every one', async () => {
    await give({ serial: 1 });
    await give({ serial: 2 });
    const id = workspace.latest_build.id;
    // One for sure: the others may all come too late.
    const first = await restore(1);
    const answers = [
      first,
      ...(await Promise.all(
        Array.from({ length: 50 }, (_, index) => [restore(1), put(id, stateText({ serial: index + 3 }))]).flat(),
      )),
    ];
    const restored = answers.filter(({ status }) => status === 201).map(({ body }) => body.version);
    const given = answers.filter(({ status }) => status === 204);
    // After ten others the content of the first one is no longer kept.
    const tooLate = answers.filter(({ status }) => status === 410);
    expect([first.status, given.length, restored.length + tooLate.length]).toEqual([201, 50, 51]);
    expect(new Set(restored).size).toBe(restored.length);
    const list = await versions();
    expect(list.map(({ version }) => version)).toEqual(list.map((_, index) => list.length - index));
    expect(list).toHaveLength(2 + 50 + restored.length);
    expect(list.filter(({ kept }) => kept)).toHaveLength(10);
  });
});

describe('a damaged state', () => {
  test.each(damages)('with %s is never used, and the newest intact one is offered', async (_what, reason, damage) => {
    const id = workspace.latest_build.id;
    await give({ serial: 1, resources: [stateResource('terraform_data', 'a')] });
    await give({ serial: 2 });
    await give({ serial: 3, resources: [stateResource('terraform_data', 'a')] });
    await damage(api, { workspaceId: workspace.id, version: 3 });
    const name = `${member.username}/${workspace.name}`;
    const answers = [await stateOf(id), await get('/versions/3'), await forget('terraform_data.a')];
    for (const { status, body } of answers)
      expect([status, body]).toEqual([
        409,
        {
          message: `State version 3 of ${name} (build 1, serial 3) is damaged: ${reason}`,
          detail: `version 2 (build 1, serial 2) is intact: berth state restore ${name} 2`,
        },
      ]);
    expect(await versions()).toHaveLength(3);
    expect((await restore(2)).status).toBe(201);
    expect((await stateOf(id)).text).toBe(stateText({ serial: 2 }));
    const refused = await restore(3);
    expect([refused.status, refused.body.detail]).toEqual([
      409,
      `version 2 (build 1, serial 2) is intact: berth state restore ${name} 2`,
    ]);
  });

  test('can also be replaced by one that is given', async () => {
    await give({ serial: 1 });
    await damages[0]![2](api, { workspaceId: workspace.id, version: 1 });
    const { body } = await stateOf(workspace.latest_build.id);
    expect(body.detail).toMatch(/^no older version is intact; berth state push \S+ <file>/);
    expect((await put(workspace.latest_build.id, stateText({ serial: 9 }))).status).toBe(204);
    expect((await stateOf(workspace.latest_build.id)).text).toBe(stateText({ serial: 9 }));
  });
});

describe('forgetting a resource', () => {
  const resources = [
    stateResource('terraform_data', 'a'),
    stateResource('terraform_data', 'counted', [0, 1, 2]),
    { ...stateResource('terraform_data', 'inner', ['k']), module: 'module.m[0]' },
    { ...stateResource('coder_workspace', 'me'), mode: 'data' },
  ];

  test('makes a version without it, one serial further', async () => {
    await give({ serial: 7, resources });
    const one = await forget('terraform_data.counted[1]');
    expect([one.status, one.body]).toMatchObject([
      201,
      {
        version: 2,
        source: 'forget',
        serial: 8,
        lineage: 'l',
        current: true,
        forgotten: ['terraform_data.counted[1]'],
      },
    ]);
    const all = await forget('terraform_data.counted');
    expect(all.body.forgotten).toEqual(['terraform_data.counted[0]', 'terraform_data.counted[2]']);
    expect((await forget('module.m')).body.forgotten).toEqual(['module.m[0].terraform_data.inner["k"]']);
    expect((await stateOf(workspace.latest_build.id)).text).toBe(
      stateText({ serial: 10, resources: [resources[0], resources[3]] }),
    );
    expect((await get('/versions/1')).text).toBe(stateText({ serial: 7, resources }));
    const audits = await auditsOf(workspace.latest_build.id);
    expect(audits).toContainEqual(
      expect.objectContaining({
        status: 201,
        extra: expect.objectContaining({ state_forgotten: ['terraform_data.counted[1]'], state_version: 2 }),
      }),
    );
  });

  test('that is not there names what is, at most twenty', async () => {
    await give({ serial: 1, resources });
    const { status, body } = await forget('terraform_data.b');
    expect([status, fields(body)]).toEqual([400, ['address']]);
    expect(body.detail).toBe(
      'it has terraform_data.a, terraform_data.counted[0], terraform_data.counted[1], terraform_data.counted[2], module.m[0].terraform_data.inner["k"], data.coder_workspace.me',
    );
    const many = Array.from({ length: 30 }, (_, index) => index);
    await give({ serial: 2, resources: [stateResource('terraform_data', 'many', many)] });
    const { detail } = (await forget('terraform_data.b')).body;
    expect(detail.match(/many\[/g)).toHaveLength(20);
    expect(detail).toMatch(/ and 10 more$/);
    expect((await forget('')).status).toBe(400);
    expect((await forget('a'.repeat(3_000))).status).toBe(400);
    expect(await versions()).toHaveLength(2);
  });

  test('of a workspace without a state finds nothing', async () => {
    const none = await forget('terraform_data.a');
    expect([none.status, none.body.detail]).toEqual([400, 'it has no resources at all']);
    await giveState(api, workspace.latest_build.id, { bytes: Buffer.alloc(0), serial: 0, lineage: '' }, 'orphan');
    expect((await forget('terraform_data.a')).status).toBe(400);
  });
});

test('while a build is active no state is changed, and nothing is written', async () => {
  await give({ serial: 1, resources: [stateResource('terraform_data', 'a')] });
  await give({ serial: 2, resources: [stateResource('terraform_data', 'a')] });
  await build('stop');
  const before = await api.db
    .select({ version: workspaceBuildStates.version, updatedAt: workspaceBuildStates.updatedAt })
    .from(workspaceBuildStates)
    .where(eq(workspaceBuildStates.workspaceId, workspace.id));
  const answers = [
    await restore(1),
    await restore(1, { force: true }),
    await forget('terraform_data.a'),
    await put(workspace.latest_build.id, stateText({ serial: 3 })),
  ];
  for (const { status, body } of answers)
    expect([status, body.message]).toEqual([409, expect.stringContaining('active')]);
  const after = await api.db
    .select({ version: workspaceBuildStates.version, updatedAt: workspaceBuildStates.updatedAt })
    .from(workspaceBuildStates)
    .where(eq(workspaceBuildStates.workspaceId, workspace.id));
  expect(after).toEqual(before);
  expect((await get('/versions/1')).status).toBe(200);
});
