import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { notifyJobEnd, prebuildsChannel } from '../../db/notifications.ts';
import { isReconciliationPaused, readReconciliation } from '../../db/queries/prebuild-settings.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { templateVersionPresets } from '../../db/schema/templates.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild } from '../support/build-rows.ts';
import { insertPool } from '../support/pool-rows.ts';
import { claimFor, insertPrebuildOf } from '../support/prebuild-rows.ts';
import { createImportedVersion, createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
let member: TestUser;
let author: TestUser;
/** What the reconciler was told since the test began. */
let told: string[] = [];
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser();
  author = await api.createUser({ organizationRoles: ['organization-template-admin'] });
  api.deps.listener.subscribe(prebuildsChannel, (ids) => void told.push(...(ids ?? [])));
});
afterAll(() => api.close());
beforeEach(async () => {
  await heard();
  told = [];
});

const ask = (method: string, path: string, body?: unknown, token = api.ownerToken) =>
  api.request(method, `/api/v2${path}`, { token, ...(body !== undefined && { body }) });
/** All that was sent before has arrived: notifications keep their order. */
let marks = 0;
async function heard(): Promise<string[]> {
  const mark = `mark-${(marks += 1)}`;
  await api.db.execute(sql`select pg_notify(${prebuildsChannel}, ${mark})`);
  await waitFor('the notification', async () => (told.includes(mark) ? true : undefined));
  return told.filter((id) => !id.startsWith('mark-'));
}
const presetRow = async (id: string) =>
  (
    await api.db
      .select({
        status: templateVersionPresets.prebuildStatus,
        detail: templateVersionPresets.prebuildStatusDetail,
        resetAt: templateVersionPresets.failureResetAt,
      })
      .from(templateVersionPresets)
      .where(eq(templateVersionPresets.id, id))
  )[0]!;

describe('the settings of prebuilds', () => {
  const pause = (paused: unknown, token?: string) =>
    ask('PUT', '/prebuilds/settings', { reconciliation_paused: paused }, token);
  const rows = () =>
    api.db
      .select({ action: auditLogs.action, status: auditLogs.statusCode, diff: auditLogs.diff })
      .from(auditLogs)
      .where(eq(auditLogs.resourceType, 'prebuilds_settings'))
      .orderBy(auditLogs.time);

  test('say that nothing is paused until somebody pauses it, and leave one audit row per change', async () => {
    expect((await ask('GET', '/prebuilds/settings', undefined, member.token)).body).toEqual({
      reconciliation_paused: false,
    });
    // What it is already: nothing is stored either.
    const same = await pause(false);
    expect([same.status, same.text]).toEqual([304, '']);
    const paused = await pause(true);
    expect([paused.status, paused.body]).toEqual([200, { reconciliation_paused: true }]);
    expect(await isReconciliationPaused(api.db)).toBe(true);
    expect(await readReconciliation(api.db)).toEqual({ paused: true, liveSlots: 0 });
    expect((await ask('GET', '/prebuilds/settings', undefined, member.token)).body.reconciliation_paused).toBe(true);
    const again = await pause(true);
    expect([again.status, again.text]).toEqual([304, '']);
    expect(await rows()).toEqual([
      { action: 'write', status: 200, diff: { reconciliation_paused: { old: false, new: true, secret: false } } },
    ]);
    expect(await heard()).toEqual([]);
    expect((await pause(false)).status).toBe(200);
    expect(await heard()).toEqual(['resume']);
    expect(await isReconciliationPaused(api.db)).toBe(false);
    expect(await rows()).toHaveLength(2);
  });

  test('are changed by those who may configure the deployment', async () => {
    for (const token of [member.token, author.token, (await api.createUser({ roles: ['template-admin'] })).token])
      expect((await pause(true, token)).status).toBe(403);
    expect(await isReconciliationPaused(api.db)).toBe(false);
    expect(await rows()).toContainEqual({ action: 'write', status: 403, diff: {} });
    for (const bad of [undefined, null, 'yes', 1]) expect((await pause(bad)).status).toBe(400);
    const broken = await api.request('PUT', '/api/v2/prebuilds/settings', {
      token: api.ownerToken,
      body: '{"reconciliation_paused":',
      headers: { 'Content-Type': 'application/json' },
    });
    expect(broken.status).toBe(400);
  });

  test('that many change at once change once', async () => {
    const count = (await rows()).length;
    const answers = await Promise.all(Array.from({ length: 10 }, () => pause(true)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 304)).toHaveLength(9);
    expect(await rows()).toHaveLength(count + 1);
    await pause(false);
  });
});

describe('the reconciler is told', () => {
  test('when a template with pools is made, not of one without', async () => {
    await createTemplate(api);
    expect(await heard()).toEqual([]);
    const versionId = await createImportedVersion(api);
    await insertPool(api.db, versionId);
    const made = await ask('POST', '/organizations/default/templates', {
      name: 'pooled',
      template_version_id: versionId,
    });
    expect(made.status).toBe(201);
    expect(await heard()).toEqual([made.body.id]);
  });

  test('when a version is promoted, and not when it is the active one', async () => {
    const template = await createTemplate(api);
    const versionId = await createImportedVersion(api, { body: { template_id: template.id } });
    const promote = (id: string) => ask('PATCH', `/templates/${template.id}/versions`, { id });
    expect((await promote(template.active_version_id)).status).toBe(200);
    expect(await heard()).toEqual([]);
    expect((await promote(versionId)).status).toBe(200);
    expect(await heard()).toEqual([template.id]);
  });

  test('when a template is deprecated, again usable, or deleted; not of other changes', async () => {
    const template = await createTemplate(api);
    const patch = (body: object) => ask('PATCH', `/templates/${template.id}`, body);
    expect((await patch({ description: 'new' })).status).toBe(200);
    expect(await heard()).toEqual([]);
    expect((await patch({ deprecation_message: 'gone soon' })).status).toBe(200);
    expect((await patch({ deprecation_message: 'gone soon' })).status).toBe(304);
    expect(await heard()).toEqual([template.id]);
    expect((await patch({ deprecation_message: '' })).status).toBe(200);
    expect((await ask('DELETE', `/templates/${template.id}`)).status).toBe(200);
    expect(await heard()).toEqual([template.id, template.id, template.id]);
  });

  test('when prebuilds are declared outdated', async () => {
    const template = await createTemplate(api);
    expect((await ask('POST', `/templates/${template.id}/prebuilds/invalidate`)).body).toEqual({ invalidated: [] });
    expect(await heard()).toEqual([]);
    await insertPool(api.db, template.active_version_id);
    expect((await ask('POST', `/templates/${template.id}/prebuilds/invalidate`)).status).toBe(200);
    expect(await heard()).toEqual([template.id]);
  });

  test('when a build of a prebuild ends, not when a person’s does', async () => {
    const template = await createTemplate(api);
    const ids = async (workspaceId: string) =>
      (
        await api.db
          .select({ id: workspaceBuilds.id, jobId: workspaceBuilds.jobId })
          .from(workspaceBuilds)
          .where(eq(workspaceBuilds.workspaceId, workspaceId))
      )[0]!;
    const mine = await ids(await insertWorkspaceOf(api.db, template, { ownerId: member.id }));
    const prebuild = await ids(await insertWorkspaceOf(api.db, template));
    await notifyJobEnd(api.db, mine.jobId, mine.id);
    await notifyJobEnd(api.db, mine.jobId, undefined);
    expect(await heard()).toEqual([]);
    await notifyJobEnd(api.db, prebuild.jobId, prebuild.id);
    expect(await heard()).toEqual([template.id]);
  });

  test('when somebody cancels a build of a prebuild that waits', async () => {
    const template = await createTemplate(api);
    const presetId = await insertPool(api.db, template.active_version_id);
    const buildOf = async (workspaceId: string) =>
      (await ask('GET', `/workspaces/${workspaceId}`)).body.latest_build.id as string;
    const pending = await buildOf(await insertPrebuildOf(api, template, { presetId, build: 'pending' }));
    const running = await buildOf(await insertPrebuildOf(api, template, { presetId, build: 'running' }));
    const cancel = async (id: string) => (await ask('PATCH', `/workspacebuilds/${id}/cancel`)).status;
    expect(await cancel(running)).toBe(200);
    expect(await heard()).toEqual([]);
    expect(await cancel(pending)).toBe(200);
    expect(await heard()).toEqual([template.id]);
  });

  test('when an admin’s build of a prebuild ends', async () => {
    const template = await createTemplate(api);
    const prebuild = await insertWorkspaceOf(api.db, template);
    const { body } = await ask('POST', `/workspaces/${prebuild}/builds`, { transition: 'stop' });
    expect(await heard()).toEqual([]);
    await endBuild(api.db, body.id);
    await notifyJobEnd(api.db, body.job.id, body.id);
    expect(await heard()).toEqual([template.id]);
  });
});

describe('a pool that was given up', () => {
  test('begins anew when those who keep the template ask for it', async () => {
    const template = await createTemplate(api);
    const given = { prebuildStatus: 'hard_limited', prebuildStatusDetail: 'no disk' } as const;
    const [limited, plain] = [
      await insertPool(api.db, template.active_version_id),
      await insertPool(api.db, template.active_version_id, { name: 'plain', desired: null }),
    ];
    const oldVersion = await createImportedVersion(api, { body: { template_id: template.id } });
    const old = await insertPool(api.db, oldVersion);
    for (const id of [limited, plain, old])
      await api.db.update(templateVersionPresets).set(given).where(eq(templateVersionPresets.id, id));
    const retry = (token?: string) => ask('POST', `/templates/${template.id}/prebuilds/reconcile`, undefined, token);
    expect((await retry(member.token)).status).toBe(403);
    expect((await retry((await api.createUser({ organizationIds: [] })).token)).status).toBe(404);
    expect(await presetRow(limited)).toMatchObject({ status: 'hard_limited', resetAt: null });
    const done = await retry(author.token);
    expect([done.status, typeof done.body.message]).toEqual([202, 'string']);
    expect(await presetRow(limited)).toEqual({ status: 'normal', detail: '', resetAt: api.clock.now });
    for (const untouched of [plain, old])
      expect(await presetRow(untouched)).toEqual({ status: 'hard_limited', detail: 'no disk', resetAt: null });
    expect(await heard()).toEqual([template.id]);
    const [row] = await api.db
      .select({ fields: auditLogs.additionalFields, status: auditLogs.statusCode, userId: auditLogs.userId })
      .from(auditLogs)
      .where(sql`resource_id = ${template.id} and additional_fields ? 'retried_presets'`);
    expect(row).toEqual({ fields: { retried_presets: ['pool'] }, status: 202, userId: author.id });
    await ask('DELETE', `/templates/${template.id}`);
    expect((await retry()).status).toBe(404);
    expect((await ask('POST', '/templates/nonsense/prebuilds/reconcile')).status).toBe(400);
  });
});

describe('the list of pools', () => {
  const poolsOf = async (templateId: string, token?: string) => {
    const { status, body } = await ask('GET', '/prebuilds', undefined, token);
    expect(status).toBe(200);
    return body.pools.filter((pool: JsonValue) => pool.template_id === templateId);
  };

  test('tells how each of them stands', async () => {
    const template = await createTemplate(api);
    const presetId = await insertPool(api.db, template.active_version_id, { desired: 4, ttlSeconds: 3600 });
    await insertPool(api.db, template.active_version_id, { name: 'none', desired: null });
    const add = (row: Omit<Parameters<typeof insertPrebuildOf>[2], 'presetId'>) =>
      insertPrebuildOf(api, template, { presetId, ...row });
    await add({});
    await add({ agent: 'starting' });
    await add({ agent: null });
    await add({ ageSeconds: 3601 });
    await add({ build: 'pending' });
    await add({ build: 'running' });
    await add({ build: 'failed' });
    const going = await add({});
    expect((await ask('POST', `/workspaces/${going}/builds`, { transition: 'delete' })).status).toBe(201);
    const claimed = await add({});
    await claimFor(api, claimed, { ownerId: member.id });
    const stopped = await add({});
    const stop = await ask('POST', `/workspaces/${stopped}/builds`, { transition: 'stop' });
    await endBuild(api.db, stop.body.id);
    // Its preset is not known: it belongs to no pool.
    await insertWorkspaceOf(api.db, template);
    expect(await poolsOf(template.id, member.token)).toEqual([
      {
        organization_id: api.organizationId,
        organization_name: 'default',
        template_id: template.id,
        template_name: template.name,
        template_version_id: template.active_version_id,
        template_version_name: expect.any(String),
        preset_id: presetId,
        preset_name: 'pool',
        desired: 4,
        running: 4,
        eligible: 1,
        expired: 1,
        starting: 2,
        deleting: 1,
        failed: 1,
        status: 'normal',
        status_detail: '',
        last_invalidated_at: null,
      },
    ]);
    await ask('POST', `/templates/${template.id}/prebuilds/invalidate`);
    // The clock of the API stands: what was made at this very instant is not older.
    await api.db.execute(
      sql`update workspaces set created_at = created_at - interval '1 second' where template_id = ${template.id}`,
    );
    expect(await poolsOf(template.id)).toMatchObject([{ running: 4, expired: 4, eligible: 0 }]);
  });

  test('wants what the schedule says, and says when the schedule makes no sense', async () => {
    const template = await createTemplate(api);
    const schedules = [{ cron: '* * * * *', desired: 7 }];
    await insertPool(api.db, template.active_version_id, {
      name: 'a',
      desired: 1,
      timezone: 'Asia/Kolkata',
      schedules,
    });
    await insertPool(api.db, template.active_version_id, { name: 'b', desired: 2, timezone: 'Not/There', schedules });
    expect(await poolsOf(template.id)).toMatchObject([
      { preset_name: 'a', desired: 7, status_detail: '' },
      { preset_name: 'b', desired: 2, status_detail: expect.stringContaining('Not/There') },
    ]);
  });

  test('has active presets only, of templates that the caller may read', async () => {
    const template = await createTemplate(api, { disable_everyone_group_access: true });
    await insertPool(api.db, template.active_version_id);
    const names = async (token?: string) => (await poolsOf(template.id, token)).length;
    expect([await names(), await names(author.token), await names(member.token)]).toEqual([1, 1, 0]);
    const stranger = await api.createUser({ organizationIds: [] });
    expect((await ask('GET', '/prebuilds', undefined, stranger.token)).body.pools).toEqual([]);
    await ask('PATCH', `/templates/${template.id}`, { deprecation_message: 'old' });
    expect(await names()).toBe(0);
    await ask('PATCH', `/templates/${template.id}`, { deprecation_message: '' });
    expect(await names()).toBe(1);
    const next = await createImportedVersion(api, { body: { template_id: template.id } });
    await ask('PATCH', `/templates/${template.id}/versions`, { id: next });
    expect(await names()).toBe(0);
  });

  test('takes the same number of statements for one pool and for many', async () => {
    const template = await createTemplate(api);
    const count = async () => {
      api.statements.length = 0;
      await ask('GET', '/prebuilds');
      return api.statements.length;
    };
    await count();
    const few = await count();
    for (let pool = 0; pool < 50; pool += 1) await insertPool(api.db, template.active_version_id, { name: `p${pool}` });
    expect(await count()).toBe(few);
  });
});

describe('a template', () => {
  test('lets claims hand over at once unless it is told not to', async () => {
    const template = await createTemplate(api);
    expect(template.instant_claim).toBe(true);
    const patch = (body: object) => ask('PATCH', `/templates/${template.id}`, body);
    const off = await patch({ instant_claim: false });
    expect([off.status, off.body.instant_claim]).toEqual([200, false]);
    expect((await patch({ instant_claim: false })).status).toBe(304);
    expect((await patch({ instant_claim: null })).status).toBe(304);
    expect((await patch({ description: 'other' })).body.instant_claim).toBe(false);
    const [row] = await api.db
      .select({ diff: auditLogs.diff })
      .from(auditLogs)
      .where(sql`resource_id = ${template.id} and action = 'write' and diff ? 'instant_claim'`);
    expect(row?.diff).toEqual({ instant_claim: { old: true, new: false, secret: false } });
    expect((await createTemplate(api, { instant_claim: false })).instant_claim).toBe(false);
  });
});

describe('a workspace', () => {
  test('shows when it was taken from a pool', async () => {
    const template = await createTemplate(api);
    const presetId = await insertPool(api.db, template.active_version_id);
    const id = await insertPrebuildOf(api, template, { presetId });
    const read = async () => (await ask('GET', `/workspaces/${id}`)).body;
    expect(await read()).toMatchObject({ is_prebuild: true, claimed_at: null });
    await claimFor(api, id, { ownerId: member.id });
    expect(await read()).toMatchObject({ is_prebuild: false, claimed_at: api.clock.now.toISOString() });
  });
});
