import { and, eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { upsertDaemon } from '../../db/queries/provisioner-daemons.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { templateVersions, templates } from '../../db/schema/templates.ts';
import { workspaceBuildStates, workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { taskQueueOf } from '../../commands/task-queue.ts';
import { NIL_UUID } from '../../domain/ids.ts';
import { type Answer, type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, insertParameters, insertPreset, takeBuild, templateWith } from '../support/build-rows.ts';
import { createImportedVersion, createVersion } from '../support/template-rows.ts';
import { takeAs } from '../support/take.ts';

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
  template = await templateWith(api, [
    { name: 'region', defaultValue: 'eu', mutable: false },
    { name: 'disk', type: 'number', defaultValue: '10', validationMonotonic: 'increasing' },
    { name: 'once', defaultValue: 'no', ephemeral: true },
  ]);
});
afterAll(() => api.close());
beforeEach(async () => {
  workspace = await create();
  await endBuild(api.db, workspace.latest_build.id);
});

async function create(of: JsonValue = template, token = member.token): Promise<JsonValue> {
  const body = { name: `ws-${(names += 1)}`, template_id: of.id };
  const created = await api.request('POST', '/api/v2/users/me/workspaces', { token, body });
  if (created.status !== 201) throw new Error(created.text);
  return created.body;
}
const request = (
  body: Record<string, unknown>,
  options: { token?: string; id?: string; key?: string } = {},
): Promise<Answer> =>
  api.request('POST', `/api/v2/workspaces/${options.id ?? workspace.id}/builds`, {
    token: options.token ?? member.token,
    body,
    ...(options.key !== undefined && { headers: { 'Idempotency-Key': options.key } }),
  });
const get = (path: string, token = member.token) => api.request('GET', `/api/v2${path}`, { token });
const fields = (body: JsonValue): string[] => (body.validations ?? []).map(({ field }: { field: string }) => field);
const buildsOf = (id: string) =>
  api.db
    .select({ id: workspaceBuilds.id, isLatest: workspaceBuilds.isLatest, active: workspaceBuilds.active })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.workspaceId, id));
const parametersOf = async (buildId: string) =>
  Object.fromEntries(
    (await get(`/workspacebuilds/${buildId}/parameters`)).body.map(({ name, value }: Record<string, string>) => [
      name,
      value,
    ]),
  );
const pendingStart = async () => (await request({ transition: 'start' })).body;

describe('a build', () => {
  test('is pending, numbered, latest and started by id', async () => {
    const { status, body } = await request({ transition: 'stop', reason: 'cli' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      build_number: 2,
      transition: 'stop',
      reason: 'cli',
      status: 'pending',
      workspace_owner_name: member.username,
      deadline: null,
      max_deadline: null,
      matched_provisioners: { count: 0, available: 0 },
      possible_orphans: [],
      job: {
        queue_size: expect.any(Number),
        metadata: { workspace_id: workspace.id, workspace_build_transition: 'stop' },
      },
    });
    expect(body).not.toHaveProperty('state');
    expect(body.job.queue_position).toBeGreaterThan(0);
    expect(api.temporal.starts.at(-1)).toMatchObject({ workflowId: `build/${body.id}`, priority: 1 });
    const rows = await buildsOf(workspace.id);
    expect(rows.filter((row) => row.isLatest)).toEqual([{ id: body.id, isLatest: true, active: true }]);
    expect((await get(`/workspaces/${workspace.id}`)).body.latest_build.id).toBe(body.id);
    expect((await get(`/users/me/workspace/${workspace.name}/builds/2`)).body.id).toBe(body.id);
    expect((await get(`/users/me/workspace/${workspace.name}/builds/two`)).status).toBe(400);
    expect((await get(`/users/me/workspace/${workspace.name}/builds/99`)).status).toBe(404);
  });

  test('is refused while another is active', async () => {
    expect((await request({ transition: 'stop' })).status).toBe(201);
    expect((await request({ transition: 'start' })).status).toBe(409);
    expect(await buildsOf(workspace.id)).toHaveLength(2);
  });

  test('is made once by twenty requests at once', async () => {
    const started = api.temporal.starts.length;
    const answers = await Promise.all(Array.from({ length: 20 }, () => request({ transition: 'stop' })));
    const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b);
    expect(statuses).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
    expect(await buildsOf(workspace.id)).toHaveLength(2);
    expect(api.temporal.starts.length).toBe(started + 1);
  });

  test('is made once by twins with the same key, and the key means one body', async () => {
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => request({ transition: 'stop' }, { key: `stop-${workspace.id}` })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 201));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect((await request({ transition: 'start' }, { key: `stop-${workspace.id}` })).status).toBe(409);
    const elsewhere = await create();
    await endBuild(api.db, elsewhere.latest_build.id);
    const other = await request({ transition: 'stop' }, { key: `stop-${workspace.id}`, id: elsewhere.id });
    expect(other.status).toBe(409);
  });

  test('names the field that is wrong', async () => {
    const cases: [Record<string, unknown>, string][] = [
      [{}, 'transition'],
      [{ transition: 'restart' }, 'transition'],
      [{ transition: 'start', reason: 'autostart' }, 'reason'],
      [{ transition: 'start', reason: 'dormancy' }, 'reason'],
      [{ transition: 'start', log_level: 'trace' }, 'log_level'],
      [{ transition: 'start', orphan: true }, 'orphan'],
      [{ transition: 'delete', orphan: true, state: 'e30=' }, 'orphan'],
      [{ transition: 'start', state: '§' }, 'state'],
      [{ transition: 'start', template_version_id: 'x' }, 'template_version_id'],
      [{ transition: 'start', template_version_preset_id: crypto.randomUUID() }, 'template_version_preset_id'],
    ];
    for (const [body, field] of cases) {
      const answer = await request(body, { token: api.ownerToken });
      expect([body, answer.status, fields(answer.body)]).toEqual([body, 400, [field]]);
    }
    expect(await buildsOf(workspace.id)).toHaveLength(1);
  });

  test('of a foreign workspace does not exist, of a deleted one is gone', async () => {
    const stranger = await api.createUser();
    const paths = [
      `/workspaces/${workspace.id}`,
      `/workspaces/${workspace.id}/builds`,
      `/workspaces/${workspace.id}/timings`,
      `/workspacebuilds/${workspace.latest_build.id}`,
      `/workspacebuilds/${workspace.latest_build.id}/logs`,
      `/workspacebuilds/${workspace.latest_build.id}/parameters`,
      `/workspacebuilds/${workspace.latest_build.id}/resources`,
      `/workspacebuilds/${workspace.latest_build.id}/timings`,
      `/workspacebuilds/${workspace.latest_build.id}/state`,
      `/users/${member.username}/workspace/${workspace.name}`,
      `/users/${member.username}/workspace/${workspace.name}/builds/1`,
    ];
    for (const path of paths) {
      const missing = path.replace(workspace.id, crypto.randomUUID()).replace(workspace.latest_build.id, NIL_UUID);
      const [theirs, nobodys] = await Promise.all([get(path, stranger.token), get(missing, stranger.token)]);
      expect([path, theirs.status, nobodys.status]).toEqual([path, 404, 404]);
      expect(theirs.body).toEqual(nobodys.body);
    }
    expect((await request({ transition: 'stop' }, { token: stranger.token })).status).toBe(404);
    expect((await request({ transition: 'stop' }, { id: crypto.randomUUID() })).status).toBe(404);
    const cancel = await api.request('PATCH', `/api/v2/workspacebuilds/${workspace.latest_build.id}/cancel`, {
      token: stranger.token,
    });
    expect(cancel.status).toBe(404);
    const deleted = (await request({ transition: 'delete' })).body;
    await endBuild(api.db, deleted.id);
    expect((await request({ transition: 'start' })).status).toBe(410);
    expect((await request({ transition: 'start' }, { token: stranger.token })).status).toBe(404);
  });

  test('of a dormant workspace is no start, but a stop or delete', async () => {
    await api.db
      .update(workspaces)
      .set({ dormantAt: sql`now()` })
      .where(eq(workspaces.id, workspace.id));
    expect((await request({ transition: 'start' })).status).toBe(409);
    expect((await request({ transition: 'stop' })).status).toBe(201);
  });

  test('is not started by a connection when the workspace is started already', async () => {
    const reason = 'ssh_connection';
    expect((await request({ transition: 'start', reason })).status).toBe(409);
    await endBuild(api.db, (await request({ transition: 'stop' })).body.id);
    expect((await request({ transition: 'start', reason })).status).toBe(201);
  });

  test('leaves an audit row with the verb, the number and the reason; a refused one too', async () => {
    const { body } = await request({ transition: 'stop', reason: 'dashboard' });
    await request({ transition: 'stop' });
    const rows = await api.db
      .select({ action: auditLogs.action, status: auditLogs.statusCode, extra: auditLogs.additionalFields })
      .from(auditLogs)
      .where(and(eq(auditLogs.resourceType, 'workspace_build'), eq(auditLogs.resourceId, body.id)));
    expect(rows).toEqual([
      {
        action: 'stop',
        status: 201,
        extra: expect.objectContaining({ build_number: '2', build_reason: 'dashboard', workspace_id: workspace.id }),
      },
    ]);
    const failed = await api.db
      .select({ status: auditLogs.statusCode })
      .from(auditLogs)
      .where(and(eq(auditLogs.resourceType, 'workspace_build'), eq(auditLogs.statusCode, 409)));
    expect(failed.length).toBeGreaterThan(0);
  });
});

describe('the version of a build', () => {
  test('is the last one, or the active one where updates are automatic or demanded', async () => {
    const own = await templateWith(api, []);
    const mine = await create(own);
    await endBuild(api.db, mine.latest_build.id);
    const next = await createImportedVersion(api, { body: { template_id: own.id } });
    await api.db.update(templates).set({ activeVersionId: next }).where(eq(templates.id, own.id));
    const versionOf = async (body: Record<string, unknown>) => {
      const built = (await request(body, { id: mine.id })).body;
      await endBuild(api.db, built.id);
      return built.template_version_id;
    };
    expect(await versionOf({ transition: 'start' })).toBe(own.active_version_id);
    await api.db.update(workspaces).set({ automaticUpdates: 'always' }).where(eq(workspaces.id, mine.id));
    expect(await versionOf({ transition: 'stop' })).toBe(own.active_version_id);
    expect(await versionOf({ transition: 'start' })).toBe(next);
    expect(await versionOf({ transition: 'start', template_version_id: own.active_version_id })).toBe(
      own.active_version_id,
    );
    await api.db.update(workspaces).set({ automaticUpdates: 'never' }).where(eq(workspaces.id, mine.id));
    await api.db.update(templates).set({ requireActiveVersion: true }).where(eq(templates.id, own.id));
    expect(await versionOf({ transition: 'start' })).toBe(next);
    const pinned = { transition: 'start', template_version_id: own.active_version_id };
    expect((await request(pinned, { id: mine.id })).status).toBe(403);
  });

  test('belongs to the template, is imported and not archived', async () => {
    const foreign = (await templateWith(api, [])).active_version_id;
    const pending = (await createVersion(api, { body: { template_id: template.id } })).body.id;
    const archived = await createImportedVersion(api, { body: { template_id: template.id } });
    await api.db.update(templateVersions).set({ archived: true }).where(eq(templateVersions.id, archived));
    for (const template_version_id of [foreign, pending, archived, crypto.randomUUID()]) {
      const { status, body } = await request({ transition: 'start', template_version_id });
      expect([status, fields(body)]).toEqual([400, ['template_version_id']]);
    }
  });

  test('may be of a deprecated or deleted template only for what ends the workspace', async () => {
    const dying = await templateWith(api, []);
    const mine = await create(dying);
    await endBuild(api.db, mine.latest_build.id);
    await api.db.update(templates).set({ deprecated: 'old' }).where(eq(templates.id, dying.id));
    await endBuild(api.db, (await request({ transition: 'start' }, { id: mine.id })).body.id);
    await api.db.update(templates).set({ deleted: true }).where(eq(templates.id, dying.id));
    expect((await request({ transition: 'start' }, { id: mine.id })).status).toBe(400);
    await endBuild(api.db, (await request({ transition: 'stop' }, { id: mine.id })).body.id);
    expect((await request({ transition: 'delete' }, { id: mine.id })).status).toBe(201);
  });
});

describe('the parameters of a build', () => {
  const value = (name: string, text: string) => ({ name, value: text });
  const start = (...values: { name: string; value: string }[]) =>
    request({ transition: 'start', rich_parameter_values: values });

  test('are kept from the last one, except what the request gives', async () => {
    const first = (await start(value('disk', '20'))).body;
    await endBuild(api.db, first.id);
    const stop = (await request({ transition: 'stop', rich_parameter_values: [value('disk', '1')] })).body;
    await endBuild(api.db, stop.id);
    expect((await parametersOf(stop.id)).disk).toBe('20');
    const again = (await start()).body;
    expect(await parametersOf(again.id)).toEqual({ region: 'eu', disk: '20', once: 'no' });
  });

  test('that are immutable may be repeated, not changed', async () => {
    const refused = await start(value('region', 'us'));
    expect([refused.status, fields(refused.body)]).toEqual([400, ['region']]);
    expect((await start(value('region', 'eu'))).status).toBe(201);
  });

  test('that may only grow may not shrink', async () => {
    await endBuild(api.db, (await start(value('disk', '20'))).body.id);
    const refused = await start(value('disk', '19'));
    expect([refused.status, fields(refused.body)]).toEqual([400, ['disk']]);
    expect((await start(value('disk', '20'))).status).toBe(201);
  });

  test('that are ephemeral hold for one build', async () => {
    const first = (await start(value('once', 'yes'))).body;
    expect((await parametersOf(first.id)).once).toBe('yes');
    await endBuild(api.db, first.id);
    expect((await parametersOf((await start()).body.id)).once).toBe('no');
  });

  test('that the version does not know are left out, and the log says so', async () => {
    const { status, body } = await start(value('gone', '1'), value('older', '2'));
    expect(status).toBe(201);
    expect(await parametersOf(body.id)).not.toHaveProperty('gone');
    const { body: log } = await get(`/workspacebuilds/${body.id}/logs`);
    expect(log).toMatchObject([
      { log_source: 'provisioner_daemon', log_level: 'info', output: expect.stringContaining('gone, older') },
    ]);
  });

  test('of a preset win over the request; the preset is remembered by later builds of the version', async () => {
    const preset = await insertPreset(api.db, template.active_version_id, { name: 'big', values: { disk: '50' } });
    const { body } = await request({
      transition: 'start',
      template_version_preset_id: preset,
      rich_parameter_values: [value('disk', '60')],
    });
    expect([body.template_version_preset_id, (await parametersOf(body.id)).disk]).toEqual([preset, '50']);
    await endBuild(api.db, body.id);
    expect((await request({ transition: 'stop' })).body.template_version_preset_id).toBe(preset);
  });

  test('stay as they are when an update changes a default; a new workspace gets the new one', async () => {
    const changing = await templateWith(api, [{ name: 'kind', defaultValue: 'old' }]);
    const mine = await create(changing);
    await endBuild(api.db, mine.latest_build.id);
    const next = await createImportedVersion(api, { body: { template_id: changing.id } });
    await insertParameters(api.db, next, [
      { name: 'kind', defaultValue: 'new' },
      { name: 'added', defaultValue: 'a' },
    ]);
    const updated = await request({ transition: 'start', template_version_id: next }, { id: mine.id });
    expect(await parametersOf(updated.body.id)).toEqual({ kind: 'old', added: 'a' });
    await api.db.update(templates).set({ activeVersionId: next }).where(eq(templates.id, changing.id));
    expect(await parametersOf((await create(changing)).latest_build.id)).toEqual({ kind: 'new', added: 'a' });
  });

  test('that an update made required or invalid stop a start, never a stop or delete', async () => {
    const changing = await templateWith(api, [{ name: 'kind', defaultValue: 'a' }]);
    const mine = await create(changing);
    await endBuild(api.db, mine.latest_build.id);
    const next = await createImportedVersion(api, { body: { template_id: changing.id } });
    const option = (text: string) => ({ name: text, value: text, description: '', icon: '' });
    await insertParameters(api.db, next, [
      { name: 'kind', options: [option('b')], defaultValue: 'b' },
      { name: 'needed', required: true },
    ]);
    const build = (body: Record<string, unknown>) => request({ template_version_id: next, ...body }, { id: mine.id });
    const refused = await build({ transition: 'start' });
    expect([refused.status, fields(refused.body).toSorted()]).toEqual([400, ['kind', 'needed']]);
    const rich_parameter_values = [value('kind', 'b'), value('needed', 'x')];
    await endBuild(api.db, (await build({ transition: 'start', rich_parameter_values })).body.id);
    await endBuild(api.db, (await build({ transition: 'stop' })).body.id);
    expect((await build({ transition: 'delete' })).status).toBe(201);
  });
});

describe('a dry run of a build', () => {
  test('answers the build as it would be and writes nothing', async () => {
    const before = await api.db.select({ id: provisionerJobs.id }).from(provisionerJobs);
    const starts = api.temporal.starts.length;
    const { status, body } = await request({ transition: 'start', dry_run: true });
    expect([status, body.id, body.job.id, body.build_number, body.status]).toEqual([
      200,
      NIL_UUID,
      NIL_UUID,
      2,
      'pending',
    ]);
    expect(await api.db.select({ id: provisionerJobs.id }).from(provisionerJobs)).toHaveLength(before.length);
    expect(await buildsOf(workspace.id)).toEqual([{ id: workspace.latest_build.id, isLatest: true, active: false }]);
    expect(api.temporal.starts.length).toBe(starts);
    const bad = { transition: 'start', dry_run: true, rich_parameter_values: [{ name: 'region', value: 'us' }] };
    expect((await request(bad)).status).toBe(400);
    expect((await request({ transition: 'start' })).status).toBe(201);
    expect((await request({ transition: 'start', dry_run: true })).status).toBe(409);
  });
});

describe('canceling a build', () => {
  const cancel = (id: string, options: { query?: string; token?: string } = {}) =>
    api.request('PATCH', `/api/v2/workspacebuilds/${id}/cancel${options.query ?? ''}`, {
      token: options.token ?? member.token,
    });

  test('that waits ends it at once; nobody can take it any more', async () => {
    const build = await pendingStart();
    expect((await cancel(build.id, { query: '?expect_status=running' })).status).toBe(412);
    expect((await get(`/workspacebuilds/${build.id}`)).body.status).toBe('pending');
    expect((await cancel(build.id, { query: '?expect_status=done' })).status).toBe(400);
    expect((await cancel(build.id, { query: '?expect_status=pending' })).status).toBe(200);
    const { body } = await get(`/workspacebuilds/${build.id}`);
    expect(body).toMatchObject({ status: 'canceled', job: { status: 'canceled', completed_at: expect.any(String) } });
    expect(body.job).not.toHaveProperty('started_at');
    expect(api.temporal.canceled).toContain(`build/${build.id}`);
    expect(await takeAs(api.db, build.job.id)).toBeUndefined();
    expect((await cancel(build.id)).status).toBe(400);
    expect((await request({ transition: 'start' })).status).toBe(201);
  });

  test('that runs asks it to stop; whether users may is the template’s decision', async () => {
    const build = await pendingStart();
    await takeBuild(api.db, build.id);
    expect((await cancel(build.id, { query: '?expect_status=pending' })).status).toBe(412);
    await api.db.update(templates).set({ allowUserCancelWorkspaceJobs: false }).where(eq(templates.id, template.id));
    expect((await cancel(build.id)).status).toBe(403);
    await api.db.update(templates).set({ allowUserCancelWorkspaceJobs: true }).where(eq(templates.id, template.id));
    expect((await cancel(build.id, { query: '?expect_status=running' })).status).toBe(200);
    expect((await get(`/workspacebuilds/${build.id}`)).body.status).toBe('canceling');
    expect((await cancel(build.id)).status).toBe(400);
    expect((await request({ transition: 'stop' })).status).toBe(409);
  });

  test('that runs is always open to site owners, also while Temporal is away', async () => {
    const build = await pendingStart();
    await takeBuild(api.db, build.id);
    await api.db.update(templates).set({ allowUserCancelWorkspaceJobs: false }).where(eq(templates.id, template.id));
    api.temporal.reachable = false;
    try {
      expect((await cancel(build.id, { token: api.ownerToken })).status).toBe(200);
    } finally {
      api.temporal.reachable = true;
      await api.db.update(templates).set({ allowUserCancelWorkspaceJobs: true }).where(eq(templates.id, template.id));
    }
    expect((await get(`/workspacebuilds/${build.id}`)).body.status).toBe('canceling');
  });

  test('that is over changes nothing', async () => {
    expect((await cancel(workspace.latest_build.id)).status).toBe(400);
    expect((await get(`/workspacebuilds/${workspace.latest_build.id}`)).body.status).toBe('running');
    const reader = await api.createUser({ roles: ['template-admin'] });
    expect((await cancel((await pendingStart()).id, { token: reader.token })).status).toBe(403);
  });
});

describe('forgetting a workspace (orphan)', () => {
  const orphan = { transition: 'delete', orphan: true };

  test('needs the right to update the template', async () => {
    expect((await request(orphan)).status).toBe(403);
    expect((await request(orphan, { token: admin.token })).status).toBe(403);
    expect((await request(orphan, { token: api.ownerToken })).status).toBe(201);
  });

  test('happens at once when no worker is there, and its log says so', async () => {
    const { status, body } = await request(orphan, { token: api.ownerToken });
    expect([status, body.status, body.job.status]).toEqual([201, 'deleted', 'succeeded']);
    expect(api.temporal.starts.some(({ workflowId }) => workflowId === `build/${body.id}`)).toBe(false);
    expect((await get(`/workspaces/${workspace.id}`)).status).toBe(410);
    const { body: log } = await get(`/workspacebuilds/${body.id}/logs`);
    expect(log.map(({ output }: { output: string }) => output).join()).toContain('No provisioner is online');
  });

  test('is a build from an empty state when a worker is there', async () => {
    const id = crypto.randomUUID();
    const tags = { scope: 'organization', owner: '' };
    await upsertDaemon(api.db, { id, name: 'w', tags, version: 't', taskQueues: [taskQueueOf(tags)] });
    try {
      const { body } = await request(orphan, { token: api.ownerToken });
      expect([body.status, body.matched_provisioners]).toMatchObject(['pending', { count: 1, available: 1 }]);
      expect(api.temporal.starts.at(-1)?.workflowId).toBe(`build/${body.id}`);
      const [state] = await api.db
        .select({
          source: workspaceBuildStates.source,
          lineage: workspaceBuildStates.lineage,
          serial: workspaceBuildStates.serial,
        })
        .from(workspaceBuildStates)
        .where(eq(workspaceBuildStates.workspaceBuildId, body.id));
      expect(state).toEqual({ source: 'orphan', lineage: '', serial: 0 });
    } finally {
      await api.db.execute(sql`delete from provisioner_daemons where id = ${id}`);
    }
  });
});

describe('the state of a build', () => {
  const state = Buffer.from(
    JSON.stringify({ version: 4, terraform_version: '1.11.4', serial: 7, lineage: 'l-1', outputs: {}, resources: [] }),
  );
  const put = (buildId: string, bytes: Buffer, token: string) =>
    api.request('PUT', `/api/v2/workspacebuilds/${buildId}/state`, {
      token,
      body: { state: bytes.toString('base64') },
    });

  test('is read and replaced byte by byte by template admins; for everybody else it does not exist', async () => {
    const { id } = workspace.latest_build;
    expect((await put(id, state, member.token)).status).toBe(404);
    expect((await put(id, state, admin.token)).status).toBe(204);
    const read = await api.app.request(`/api/v2/workspacebuilds/${id}/state`, {
      headers: { 'Coder-Session-Token': admin.token },
    });
    expect([read.status, read.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(Buffer.from(await read.arrayBuffer()).equals(state)).toBe(true);
    expect((await get(`/workspacebuilds/${id}/state`)).status).toBe(404);
    const stored = await api.db
      .select({ bytes: workspaceBuildStates.state })
      .from(workspaceBuildStates)
      .where(eq(workspaceBuildStates.workspaceBuildId, id));
    expect(stored[0]!.bytes!.includes('terraform_version')).toBe(false);
    const audits = await api.db
      .select({ extra: auditLogs.additionalFields })
      .from(auditLogs)
      .where(and(eq(auditLogs.resourceId, id), eq(auditLogs.action, 'write')));
    // The refused one is written down as well, with nothing to say.
    expect(audits.map(({ extra }) => extra)).toHaveLength(3);
    expect(audits.map(({ extra }) => extra)).toEqual(
      expect.arrayContaining([
        {},
        expect.objectContaining({ state_replaced: true, state_version: 1, workspace_id: workspace.id }),
        expect.objectContaining({ state_read: true }),
      ]),
    );
  });

  test('cannot be replaced while a build is active, nor by something that is no state', async () => {
    const { id } = workspace.latest_build;
    const wrong = await put(id, Buffer.from('not a state'), admin.token);
    expect([wrong.status, fields(wrong.body)]).toEqual([400, ['state']]);
    await pendingStart();
    expect((await put(id, state, admin.token)).status).toBe(409);
  });

  test('may be given with a build by those who may update the template, up to 16 MiB', async () => {
    const body = { transition: 'stop', state: state.toString('base64') };
    expect((await request(body)).status).toBe(403);
    const built = await request(body, { token: api.ownerToken });
    expect(built.status).toBe(201);
    expect((await get(`/workspacebuilds/${built.body.id}/state`, admin.token)).text).toBe(state.toString());
    const huge = { transition: 'stop', state: Buffer.alloc(17 * 1024 * 1024).toString('base64') };
    expect((await request(huge, { token: api.ownerToken })).status).toBe(413);
  });

  test('does not travel with the build: 5 MiB of it are not read with it', async () => {
    const { id } = workspace.latest_build;
    const large = Buffer.from(state.toString().replace('{}', JSON.stringify({ noise: 'x'.repeat(5 * 1024 * 1024) })));
    expect((await put(id, large, admin.token)).status).toBe(204);
    api.statements.length = 0;
    const read = await get(`/workspacebuilds/${id}`);
    expect(read.text.length).toBeLessThan(10 * 1024);
    expect(api.statements.filter((text) => text.includes('workspace_build_states'))).toEqual([]);
    expect((await get(`/workspacebuilds/${id}/state`, admin.token)).text.length).toBe(large.length);
  });
});

describe('debug logs', () => {
  test('need the right to update the template', async () => {
    const body = { transition: 'start', log_level: 'debug' };
    expect((await request(body)).status).toBe(403);
    const built = await request(body, { token: api.ownerToken });
    expect(built.status).toBe(201);
    const [job] = await api.db
      .select({ input: provisionerJobs.input })
      .from(provisionerJobs)
      .where(eq(provisionerJobs.id, built.body.job.id));
    expect(job!.input.log_level).toBe('debug');
  });
});

describe('the list of builds', () => {
  test('is newest first, by pages and since an instant', async () => {
    for (const transition of ['stop', 'start', 'stop']) await endBuild(api.db, (await request({ transition })).body.id);
    const list = async (query: string) => {
      const { status, body } = await get(`/workspaces/${workspace.id}/builds${query}`);
      return status === 200 ? body.map(({ build_number }: { build_number: number }) => build_number) : status;
    };
    expect(await list('')).toEqual([4, 3, 2, 1]);
    expect(await list('?limit=2')).toEqual([4, 3]);
    expect(await list('?limit=2&offset=3')).toEqual([1]);
    const third = (await get(`/users/me/workspace/${workspace.name}/builds/3`)).body;
    expect(await list(`?after_id=${third.id}`)).toEqual([2, 1]);
    expect(await list(`?after_id=${crypto.randomUUID()}`)).toBe(400);
    expect(await list(`?after_id=${third.id}&offset=1`)).toBe(400);
    expect(await list('?limit=-1')).toBe(400);
    expect(await list('?since=yesterday')).toBe(400);
    await api.db
      .update(workspaceBuilds)
      .set({ createdAt: sql`created_at - interval '1 hour'` })
      .where(and(eq(workspaceBuilds.workspaceId, workspace.id), sql`build_number <= 2`));
    const since = encodeURIComponent(new Date(Date.parse(third.created_at) - 60_000).toISOString());
    expect(await list(`?since=${since}`)).toEqual([4, 3]);
  });
});
