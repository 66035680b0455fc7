import { and, eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { getBuildRun } from '../../db/queries/workspace-builds.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { templates } from '../../db/schema/templates.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { type Answer, type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, insertPreset, templateWith } from '../support/build-rows.ts';
import { createImportedVersion } from '../support/template-rows.ts';

let api: TestApi;
let member: TestUser;
let template: JsonValue;
/** A workspace of `member` whose first build has succeeded, fresh for each test. */
let workspace: JsonValue;
let names = 0;

beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser();
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

async function create(of: JsonValue = template): Promise<JsonValue> {
  const body = { name: `ws-${(names += 1)}`, template_id: of.id };
  return (await api.request('POST', '/api/v2/users/me/workspaces', { token: member.token, body })).body;
}
interface Asking {
  readonly token?: string;
  readonly key?: string;
}
const post = (path: string, { token = member.token, key }: Asking = {}): Promise<Answer> =>
  api.request('POST', `/api/v2${path}`, { token, ...(key !== undefined && { headers: { 'Idempotency-Key': key } }) });
const retry = (buildId: string, asking?: Asking) => post(`/workspacebuilds/${buildId}/retry`, asking);
const refresh = (asking?: Asking, id = workspace.id) => post(`/workspaces/${id}/refresh`, asking);
const build = async (body: Record<string, unknown>, id = workspace.id): Promise<JsonValue> => {
  const answer = await api.request('POST', `/api/v2/workspaces/${id}/builds`, { token: member.token, body });
  if (answer.status !== 201) throw new Error(answer.text);
  return answer.body;
};
const failed = async (body: Record<string, unknown>, id = workspace.id): Promise<JsonValue> => {
  const made = await build(body, id);
  await endBuild(api.db, made.id, { error: 'no luck' });
  return made;
};
const cancel = (buildId: string) =>
  api.request('PATCH', `/api/v2/workspacebuilds/${buildId}/cancel`, { token: member.token });
const parametersOf = async (buildId: string): Promise<JsonValue> =>
  (await api.request('GET', `/api/v2/workspacebuilds/${buildId}/parameters`, { token: member.token })).body;
const buildsOf = (id: string) =>
  api.db.select({ id: workspaceBuilds.id }).from(workspaceBuilds).where(eq(workspaceBuilds.workspaceId, id));
const value = (name: string, text: string) => ({ name, value: text });

describe('retrying a build', () => {
  test('makes the same one again, its ephemeral values included', async () => {
    const values = [value('disk', '20'), value('once', 'yes')];
    const first = await failed({ transition: 'start', rich_parameter_values: values });
    const { status, body } = await retry(first.id);
    expect([status, body]).toMatchObject([
      201,
      {
        build_number: first.build_number + 1,
        transition: 'start',
        reason: 'initiator',
        status: 'pending',
        template_version_id: first.template_version_id,
        template_version_preset_id: null,
        initiator_name: member.username,
      },
    ]);
    expect(body).not.toHaveProperty('refresh_only');
    expect(await parametersOf(body.id)).toEqual(await parametersOf(first.id));
    expect(await parametersOf(body.id)).toContainEqual(value('once', 'yes'));
    expect(api.temporal.starts.at(-1)).toMatchObject({ workflowId: `build/${body.id}`, priority: 1 });
    await endBuild(api.db, body.id, { error: 'again' });
    const second = await retry(body.id);
    expect(await parametersOf(second.body.id)).toEqual(await parametersOf(first.id));
    // What is requested anew afterwards forgets them, as ever.
    await endBuild(api.db, second.body.id);
    expect(await parametersOf((await build({ transition: 'start' })).id)).toContainEqual(value('once', 'no'));
  });

  test('keeps values that differ from those of its preset, and the preset', async () => {
    const preset = await insertPreset(api.db, template.active_version_id, { name: 'big', values: { disk: '50' } });
    await endBuild(api.db, (await build({ transition: 'start', template_version_preset_id: preset })).id);
    const first = await failed({ transition: 'start', rich_parameter_values: [value('disk', '70')] });
    const { body } = await retry(first.id);
    expect(body.template_version_preset_id).toBe(preset);
    expect(await parametersOf(body.id)).toContainEqual(value('disk', '70'));
  });

  test('keeps the version also where updates are automatic, unless the template demands its active one', async () => {
    const own = await templateWith(api, []);
    const mine = await create(own);
    await api.db.update(workspaces).set({ automaticUpdates: 'always' }).where(eq(workspaces.id, mine.id));
    await endBuild(api.db, mine.latest_build.id, { error: 'first of all' });
    const next = await createImportedVersion(api, { body: { template_id: own.id } });
    await api.db.update(templates).set({ activeVersionId: next }).where(eq(templates.id, own.id));
    const { body } = await retry(mine.latest_build.id);
    expect(body.template_version_id).toBe(own.active_version_id);
    await endBuild(api.db, body.id, { error: 'again' });
    await api.db.update(templates).set({ requireActiveVersion: true }).where(eq(templates.id, own.id));
    expect((await retry(body.id)).status).toBe(403);
    expect((await retry(body.id, { token: api.ownerToken })).status).toBe(201);
  });

  test('works for a first build, for a stop and a delete, and for a canceled one', async () => {
    const mine = await create();
    await cancel(mine.latest_build.id);
    const first = await retry(mine.latest_build.id);
    expect([first.status, first.body.build_number]).toEqual([201, 2]);
    expect(await parametersOf(first.body.id)).toEqual(await parametersOf(mine.latest_build.id));
    await endBuild(api.db, first.body.id);
    for (const transition of ['stop', 'delete']) {
      const again = await retry((await failed({ transition }, mine.id)).id);
      expect([again.status, again.body.transition]).toEqual([201, transition]);
      await endBuild(api.db, again.body.id);
    }
    expect((await retry(first.body.id)).status).toBe(410);
  });

  test('is refused with the reason when it is not the latest, not over, or has succeeded', async () => {
    const succeeded = await retry(workspace.latest_build.id);
    expect([succeeded.status, succeeded.body.message]).toEqual([
      409,
      'The latest build has succeeded: there is nothing to retry',
    ]);
    const old = await failed({ transition: 'stop' });
    const latest = await build({ transition: 'stop' });
    const later = await retry(old.id);
    expect([later.status, later.body.message]).toEqual([409, 'There is a later build, number 3']);
    const active = await retry(latest.id);
    expect([active.status, active.body.message]).toEqual([409, 'A build of this workspace is already active']);
    expect(await buildsOf(workspace.id)).toHaveLength(3);
  });

  test('needs the right to make such a build, and the workspace to be awake for a start', async () => {
    const stranger = await api.createUser();
    const reader = await api.createUser({ roles: ['template-admin'] });
    const first = await failed({ transition: 'start' });
    expect((await retry(first.id, { token: stranger.token })).status).toBe(404);
    expect((await retry(crypto.randomUUID())).status).toBe(404);
    expect((await retry(first.id, { token: reader.token })).status).toBe(403);
    await api.db
      .update(workspaces)
      .set({ dormantAt: sql`now()` })
      .where(eq(workspaces.id, workspace.id));
    const dormant = await retry(first.id);
    expect([dormant.status, dormant.body.message]).toEqual([409, expect.stringContaining('dormant')]);
    expect(await buildsOf(workspace.id)).toHaveLength(2);
  });

  test('happens once, by twenty requests at once or with one key', async () => {
    const first = await failed({ transition: 'stop' });
    const answers = await Promise.all(Array.from({ length: 20 }, () => retry(first.id)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      201,
      ...Array.from({ length: 19 }, () => 409),
    ]);
    const made = answers.find(({ status }) => status === 201)!.body;
    await endBuild(api.db, made.id, { error: 'again' });
    const key = `retry-${made.id}`;
    const twins = await Promise.all(Array.from({ length: 6 }, () => retry(made.id, { key })));
    expect(twins.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 201));
    expect(new Set(twins.map(({ body }) => body.id)).size).toBe(1);
    expect(await buildsOf(workspace.id)).toHaveLength(4);
  });

  test('leaves an audit row like any build, and one when it is refused', async () => {
    const first = await failed({ transition: 'start' });
    const { body } = await retry(first.id);
    await retry(first.id);
    const rows = (id: string) =>
      api.db
        .select({ action: auditLogs.action, status: auditLogs.statusCode })
        .from(auditLogs)
        .where(and(eq(auditLogs.resourceType, 'workspace_build'), eq(auditLogs.resourceId, id)));
    expect(await rows(body.id)).toEqual([{ action: 'start', status: 201 }]);
    expect(await rows(first.id)).toContainEqual({ action: 'start', status: 409 });
  });
});

describe('refreshing a workspace', () => {
  test('is a build of the last transition that only looks, with its values, version and deadlines', async () => {
    const started = await build({ transition: 'start', rich_parameter_values: [value('once', 'yes')] });
    await endBuild(api.db, started.id);
    const deadline = new Date('2026-07-01T12:00:00Z');
    await api.db
      .update(workspaceBuilds)
      .set({ deadline, maxDeadline: deadline })
      .where(eq(workspaceBuilds.id, started.id));
    const { status, body } = await refresh();
    expect([status, body]).toMatchObject([
      201,
      {
        refresh_only: true,
        transition: 'start',
        reason: 'initiator',
        status: 'pending',
        template_version_id: started.template_version_id,
        deadline: deadline.toISOString(),
        max_deadline: deadline.toISOString(),
      },
    ]);
    expect(await parametersOf(body.id)).toEqual(await parametersOf(started.id));
    expect((await getBuildRun(api.db, body.job.id))?.build.refreshOnly).toBe(true);
    expect((await getBuildRun(api.db, started.job.id))?.build.refreshOnly).toBe(false);
    const list = await api.request('GET', `/api/v2/workspaces/${workspace.id}/builds`, { token: member.token });
    expect(list.body.map((each: JsonValue) => each.refresh_only)).toEqual([true, undefined, undefined]);
    const shown = await api.request('GET', `/api/v2/workspaces/${workspace.id}`, { token: member.token });
    expect(shown.body.latest_build).toMatchObject({ id: body.id, refresh_only: true });
    await endBuild(api.db, body.id);
    await endBuild(api.db, (await build({ transition: 'stop' })).id);
    expect((await refresh()).body).toMatchObject({ refresh_only: true, transition: 'stop' });
  });

  test('that failed or was canceled is refreshed or retried; a build after it is an ordinary one', async () => {
    const first = (await refresh()).body;
    await endBuild(api.db, first.id, { error: 'the cloud was away' });
    const second = await refresh();
    expect([second.status, second.body.refresh_only]).toEqual([201, true]);
    await cancel(second.body.id);
    const third = await retry(second.body.id);
    expect([third.status, third.body.refresh_only]).toEqual([201, true]);
    await endBuild(api.db, third.body.id);
    expect(await build({ transition: 'stop' })).not.toHaveProperty('refresh_only');
  });

  test('is refused with the reason after a build that failed, while one is active, and when it is deleted', async () => {
    await failed({ transition: 'start' });
    const unsettled = await refresh();
    expect([unsettled.status, unsettled.body]).toEqual([
      409,
      {
        message: 'The latest build, a start, has failed',
        detail: 'Retry it: that reads the world into the state as well, before it changes anything.',
      },
    ]);
    const stop = await build({ transition: 'stop' });
    expect((await refresh()).status).toBe(409);
    await endBuild(api.db, stop.id);
    await endBuild(api.db, (await build({ transition: 'delete' })).id);
    expect((await refresh()).status).toBe(410);
  });

  test('needs the right to the transition; with one key it happens once', async () => {
    const stranger = await api.createUser();
    const reader = await api.createUser({ roles: ['template-admin'] });
    expect((await refresh({ token: stranger.token })).status).toBe(404);
    expect((await refresh({}, crypto.randomUUID())).status).toBe(404);
    expect((await refresh({ token: reader.token })).status).toBe(403);
    const key = `refresh-${workspace.id}`;
    const twins = [await refresh({ key }), await refresh({ key })];
    expect(twins.map(({ status, body }) => [status, body.id])).toEqual([
      [201, twins[0]!.body.id],
      [201, twins[0]!.body.id],
    ]);
    expect((await refresh()).status).toBe(409);
    expect(await buildsOf(workspace.id)).toHaveLength(2);
  });
});
