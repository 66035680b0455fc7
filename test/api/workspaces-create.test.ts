import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { templateVersions, templates } from '../../db/schema/templates.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, insertPreset, templateWith } from '../support/build-rows.ts';
import { createImportedVersion, createVersion, finishImport } from '../support/template-rows.ts';

let api: TestApi;
let member: TestUser;
let template: JsonValue;
let names = 0;
const newName = () => `ws-${(names += 1)}`;

const create = (body: Record<string, unknown>, options: { token?: string; user?: string; key?: string } = {}) =>
  api.request('POST', `/api/v2/users/${options.user ?? 'me'}/workspaces`, {
    token: options.token ?? member.token,
    body: { name: newName(), ...body },
    ...(options.key !== undefined && { headers: { 'Idempotency-Key': options.key } }),
  });
const fields = (body: JsonValue): string[] => (body.validations ?? []).map(({ field }: { field: string }) => field);
const rowCounts = async () => [
  (await api.db.select({ id: workspaces.id }).from(workspaces)).length,
  (await api.db.select({ id: workspaceBuilds.id }).from(workspaceBuilds)).length,
  (await api.db.select({ id: provisionerJobs.id }).from(provisionerJobs)).length,
];

beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser({ username: 'alice' });
  template = await templateWith(
    api,
    [
      { name: 'region', defaultValue: 'eu', mutable: false },
      { name: 'cpu', type: 'number', defaultValue: '2', validationMin: 1, validationMax: 8 },
      { name: 'size', options: [option('s'), option('l')], defaultValue: 's' },
      { name: 'must', required: true },
    ],
    { default_ttl_ms: 3_600_000 },
  );
});
afterAll(() => api.close());

const option = (value: string) => ({ name: value, value, description: '', icon: '' });
const must = { name: 'must', value: 'x' };
const valid = () => ({ template_id: template.id, rich_parameter_values: [must] });

describe('a new workspace', () => {
  test('comes with its first build pending, in one answer and one workflow', async () => {
    const { status, body } = await create(valid());
    expect(status).toBe(201);
    expect(body).toMatchObject({
      owner_id: member.id,
      owner_name: 'alice',
      template_id: template.id,
      ttl_ms: 3_600_000,
      automatic_updates: 'never',
      outdated: false,
      is_prebuild: false,
      latest_build: {
        build_number: 1,
        transition: 'start',
        reason: 'initiator',
        status: 'pending',
        initiator_id: member.id,
        resources: [],
        job: { status: 'pending', type: 'workspace_build', input: { workspace_build_id: body.latest_build.id } },
      },
    });
    const start = api.temporal.starts.find(({ workflowId }) => workflowId === `build/${body.latest_build.id}`);
    expect(start).toMatchObject({ workflowType: 'buildWorkspace', priority: 1 });
    expect(Object.keys(start!.input).toSorted()).toEqual(['buildId', 'jobId', 'priority', 'taskQueue']);
    const stored = await api.request('GET', `/api/v2/workspacebuilds/${body.latest_build.id}/parameters`, {
      token: member.token,
    });
    expect(stored.body).toEqual([
      { name: 'cpu', value: '2' },
      { name: 'must', value: 'x' },
      { name: 'region', value: 'eu' },
      { name: 'size', value: 's' },
    ]);
  });

  test('is created the same way through the organization', async () => {
    const path = (organization: string) => `/api/v2/organizations/${organization}/members/me/workspaces`;
    const body = { name: newName(), ...valid() };
    expect((await api.request('POST', path('default'), { token: member.token, body })).status).toBe(201);
    expect((await api.request('POST', path('nowhere'), { token: member.token, body })).status).toBe(404);
  });

  test('needs a name of the right form that its owner does not use yet', async () => {
    for (const name of ['', 'a--b', '-a', 'a_b', 'new', 'x'.repeat(33), 'a b', 'a\0b']) {
      const { status, body } = await create({ ...valid(), name });
      expect([name, status, fields(body)]).toEqual([name, 400, ['name']]);
    }
    const name = newName();
    expect((await create({ ...valid(), name })).status).toBe(201);
    const taken = await create({ ...valid(), name: name.toUpperCase() });
    expect([taken.status, fields(taken.body)]).toEqual([409, ['name']]);
    const other = await api.createUser();
    expect((await create({ ...valid(), name }, { token: other.token })).status).toBe(201);
  });

  test('takes a template or a version, never both or none', async () => {
    const both = await create({ ...valid(), template_version_id: template.active_version_id });
    expect([both.status, fields(both.body)]).toEqual([400, ['template_version_id']]);
    const none = await create({});
    expect([none.status, fields(none.body)]).toEqual([400, ['template_id']]);
    const version = await create({ template_version_id: template.active_version_id, rich_parameter_values: [must] });
    expect([version.status, version.body.template_id]).toEqual([201, template.id]);
    expect((await create({ template_id: crypto.randomUUID() })).status).toBe(404);
    expect((await create({ template_version_id: crypto.randomUUID() })).status).toBe(404);
    expect(fields((await create({ template_id: 'no-uuid' })).body)).toEqual(['template_id']);
  });

  test('has a time to live of whole minutes from one minute to 30 days', async () => {
    for (const ttl_ms of [59_999, 2_592_060_000, -1, 1]) {
      const { status, body } = await create({ ...valid(), ttl_ms });
      expect([ttl_ms, status, fields(body)]).toEqual([ttl_ms, 400, ['ttl_ms']]);
    }
    const ttlOf = async (ttl_ms: number | null) => (await create({ ...valid(), ttl_ms })).body.ttl_ms;
    expect(await ttlOf(90_000)).toBe(60_000);
    expect(await ttlOf(2_592_000_000)).toBe(2_592_000_000);
    expect(await ttlOf(0)).toBe(3_600_000);
    expect(await ttlOf(null)).toBe(3_600_000);
    const plain = await templateWith(api, []);
    expect((await create({ template_id: plain.id })).body).not.toHaveProperty('ttl_ms');
  });

  test('has a schedule that the template allows', async () => {
    for (const autostart_schedule of [
      'nonsense',
      '* * * * *',
      '0 9 1 * *',
      'CRON_TZ=Nowhere 0 9 * * 1-5',
      '0 9 * * 9',
    ]) {
      const { status, body } = await create({ ...valid(), autostart_schedule });
      expect([autostart_schedule, status, fields(body)]).toEqual([autostart_schedule, 400, ['schedule']]);
    }
    const good = await create({ ...valid(), autostart_schedule: 'CRON_TZ=Europe/Berlin 30 9 * * 1-5' });
    expect([good.status, good.body.autostart_schedule]).toEqual([201, 'CRON_TZ=Europe/Berlin 30 9 * * 1-5']);
    expect((await create({ ...valid(), autostart_schedule: '' })).body).not.toHaveProperty('autostart_schedule');
    const closed = await templateWith(api, []);
    await api.db.update(templates).set({ allowUserAutostart: false }).where(eq(templates.id, closed.id));
    const refused = await create({ template_id: closed.id, autostart_schedule: '0 9 * * 1-5' });
    expect([refused.status, fields(refused.body)]).toEqual([400, ['schedule']]);
  });

  test('has the template’s time to live where users may not choose', async () => {
    const fixed = await templateWith(api, [], { default_ttl_ms: 7_200_000 });
    await api.db.update(templates).set({ allowUserAutostop: false }).where(eq(templates.id, fixed.id));
    expect((await create({ template_id: fixed.id, ttl_ms: 600_000 })).body.ttl_ms).toBe(7_200_000);
  });

  test('updates itself always or never', async () => {
    expect((await create({ ...valid(), automatic_updates: 'always' })).body.automatic_updates).toBe('always');
    const wrong = await create({ ...valid(), automatic_updates: 'sometimes' });
    expect([wrong.status, fields(wrong.body)]).toEqual([400, ['automatic_updates']]);
  });

  test('is refused with every bad parameter by its name, and leaves nothing behind', async () => {
    const before = await rowCounts();
    const { status, body } = await create({
      template_id: template.id,
      rich_parameter_values: [
        { name: 'cpu', value: '9' },
        { name: 'size', value: 'xl' },
        { name: 'unknown', value: '1' },
        { name: 'region', value: 'us' },
        { name: 'region', value: 'eu' },
      ],
    });
    expect(status).toBe(400);
    expect(fields(body).toSorted()).toEqual(['cpu', 'must', 'region', 'size', 'unknown']);
    const nul = await create({ ...valid(), rich_parameter_values: [{ name: 'must', value: 'a\0b' }] });
    expect(nul.status).toBe(400);
    expect(await rowCounts()).toEqual(before);
  });
});

describe('the version of a new workspace', () => {
  test('must be imported and not archived, its template neither deprecated nor deleted', async () => {
    const pending = (await createVersion(api, { body: { template_id: template.id } })).body.id;
    expect(fields((await create({ template_version_id: pending })).body)).toEqual(['template_version_id']);
    await finishImport(api.db, pending, { error: 'broken' });
    const failed = await create({ template_version_id: pending });
    expect([failed.status, failed.body.validations[0].detail]).toEqual([400, expect.stringContaining('failed')]);

    const archived = await createImportedVersion(api, { body: { template_id: template.id } });
    await api.db.update(templateVersions).set({ archived: true }).where(eq(templateVersions.id, archived));
    const old = await create({ template_version_id: archived });
    expect([old.status, fields(old.body)]).toEqual([400, ['template_version_id']]);

    const deprecated = await templateWith(api, []);
    await api.db.update(templates).set({ deprecated: 'use the new one' }).where(eq(templates.id, deprecated.id));
    const refused = await create({ template_id: deprecated.id });
    expect([refused.status, refused.body.detail]).toEqual([400, 'use the new one']);

    const gone = await templateWith(api, []);
    await api.db.update(templates).set({ deleted: true }).where(eq(templates.id, gone.id));
    expect((await create({ template_id: gone.id })).status).toBe(404);
    expect((await create({ template_version_id: gone.active_version_id })).status).toBe(404);
  });

  test('is the active one where the template demands it, except for template admins', async () => {
    const strict = await templateWith(api, []);
    const other = await createImportedVersion(api, { body: { template_id: strict.id } });
    await api.db.update(templates).set({ requireActiveVersion: true }).where(eq(templates.id, strict.id));
    expect((await create({ template_version_id: other })).status).toBe(403);
    expect((await create({ template_version_id: strict.active_version_id })).status).toBe(201);
    const admin = await api.createUser({ roles: ['template-admin'] });
    expect((await create({ template_version_id: other }, { token: admin.token })).status).toBe(201);
  });

  test('is hidden from those who may not read its template, and refused to those who may not use it', async () => {
    const hidden = await templateWith(api, []);
    await api.db.update(templates).set({ groupAcl: {} }).where(eq(templates.id, hidden.id));
    expect((await create({ template_id: hidden.id })).status).toBe(404);
    const auditor = await api.createUser({ roles: ['auditor'] });
    expect((await create({ template_id: hidden.id }, { token: auditor.token })).status).toBe(403);
  });
});

describe('the owner of a new workspace', () => {
  test('may be another for owners and organization admins, not for members', async () => {
    const other = await api.createUser({ username: 'bob' });
    const byOwner = await create(valid(), { token: api.ownerToken, user: 'bob' });
    expect([byOwner.status, byOwner.body.owner_name, byOwner.body.latest_build.initiator_id]).toEqual([
      201,
      'bob',
      api.owner.id,
    ]);
    const admin = await api.createUser({ organizationRoles: ['organization-admin'] });
    expect((await create(valid(), { token: admin.token, user: other.id })).status).toBe(201);
    expect((await create(valid(), { user: 'bob' })).status).toBe(403);
    expect((await create(valid(), { user: 'nobody' })).status).toBe(404);
    expect((await create(valid(), { token: api.ownerToken, user: 'prebuilds' })).status).toBe(404);
  });

  test('is a member of the template’s organization', async () => {
    const outsider = await api.createUser({ organizationIds: [] });
    const { status, body } = await create(valid(), { token: api.ownerToken, user: outsider.id });
    expect([status, body.message]).toEqual([400, expect.stringContaining('organization')]);
  });
});

describe('the preset of a new workspace', () => {
  test('must belong to the version, and its values win over those of the request', async () => {
    const preset = await insertPreset(api.db, template.active_version_id, {
      name: 'big',
      values: { cpu: '8', size: 'l' },
    });
    const created = await create({
      template_id: template.id,
      template_version_preset_id: preset,
      rich_parameter_values: [must, { name: 'cpu', value: '1' }],
    });
    expect([created.status, created.body.latest_build.template_version_preset_id]).toEqual([201, preset]);
    const { body } = await api.request('GET', `/api/v2/workspacebuilds/${created.body.latest_build.id}/parameters`, {
      token: member.token,
    });
    expect(body).toContainEqual({ name: 'cpu', value: '8' });
    const wrong = await create({ ...valid(), template_version_preset_id: crypto.randomUUID() });
    expect([wrong.status, fields(wrong.body)]).toEqual([400, ['template_version_preset_id']]);
  });

  test('is found by the values: the one with most parameters, then the default one, then the name', async () => {
    const matched = await templateWith(api, [
      { name: 'a', defaultValue: '1' },
      { name: 'b', defaultValue: '1' },
    ]);
    const insert = (name: string, values: Record<string, string>, isDefault = false) =>
      insertPreset(api.db, matched.active_version_id, { name, values, isDefault });
    const onlyA = await insert('only-a', { a: '1' }, true);
    const both = await insert('both', { a: '1', b: '2' });
    await insert('zeta', { b: '3' });
    const alpha = await insert('alpha', { b: '3' });
    const presetOf = async (values: Record<string, string>) => {
      const rich_parameter_values = Object.entries(values).map(([name, value]) => ({ name, value }));
      const { body } = await create({ template_id: matched.id, rich_parameter_values });
      return body.latest_build.template_version_preset_id;
    };
    expect(await presetOf({})).toBe(onlyA);
    expect(await presetOf({ b: '2' })).toBe(both);
    expect(await presetOf({ a: '9', b: '3' })).toBe(alpha);
    expect(await presetOf({ a: '9', b: '9' })).toBeNull();
  });
});

describe('an Idempotency-Key', () => {
  test('gives the same workspace for the same request, also for twins at once', async () => {
    const body = { ...valid(), name: newName() };
    const before = await rowCounts();
    const answers = await Promise.all(Array.from({ length: 8 }, () => create(body, { key: 'twins' })));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 201));
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
    const after = await rowCounts();
    expect(after.map((count, i) => count - before[i]!)).toEqual([1, 1, 1]);
    await endBuild(api.db, answers[0]!.body.latest_build.id);
    const later = await create(body, { key: 'twins' });
    expect([later.status, later.body.id, later.body.latest_build.status]).toEqual([
      201,
      answers[0]!.body.id,
      'running',
    ]);
  });

  test('means one request only: another body or path is a conflict, another user another request', async () => {
    const body = { ...valid(), name: newName() };
    expect((await create(body, { key: 'once' })).status).toBe(201);
    expect((await create({ ...body, ttl_ms: 60_000 }, { key: 'once' })).status).toBe(409);
    const other = await api.createUser();
    expect((await create(body, { key: 'once', token: other.token })).status).toBe(201);
    for (const key of ['', 'x'.repeat(129)]) {
      const { status, body: answer } = await create(valid(), { key });
      expect([key.length, status, fields(answer)]).toEqual([key.length, 400, ['Idempotency-Key']]);
    }
  });

  test('of a request that failed may be used again', async () => {
    expect((await create({ template_id: template.id, name: 'again' }, { key: 'retry' })).status).toBe(400);
    expect((await create({ ...valid(), name: 'again' }, { key: 'retry' })).status).toBe(201);
  });

  test('is forgotten after a day', async () => {
    const body = { ...valid(), name: newName() };
    const first = await create(body, { key: 'daily' });
    api.clock.now = new Date(api.clock.now.getTime() + 25 * 3_600_000);
    const token = await api.createKey(member.id);
    const second = await create({ ...body, name: newName() }, { key: 'daily', token });
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.body.id).not.toBe(first.body.id);
  });
});

describe('Temporal being away', () => {
  test('does not matter to the answer: the pending row is kept for the sweep', async () => {
    api.temporal.reachable = false;
    try {
      const token = await api.createKey(member.id);
      const { status, body } = await create(valid(), { token });
      expect([status, body.latest_build.status]).toEqual([201, 'pending']);
      const [job] = await api.db
        .select({ startedAt: provisionerJobs.workflowStartedAt })
        .from(provisionerJobs)
        .where(eq(provisionerJobs.id, body.latest_build.job.id));
      expect(job!.startedAt).toBeNull();
    } finally {
      api.temporal.reachable = true;
    }
  });
});
