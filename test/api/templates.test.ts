import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { templateVersionPresets } from '../../db/schema/templates.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';
import {
  createImportedVersion,
  createTemplate,
  createVersion,
  finishImport,
  insertBuildOf,
  insertWorkspaceOf,
} from '../support/template-rows.ts';

let api: TestApi;
let member: TestUser;
let author: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser();
  author = await api.createUser({ organizationRoles: ['organization-template-admin'] });
});
afterAll(() => api.close());

const ask = (method: string, path: string, body?: unknown, token = api.ownerToken) =>
  api.request(method, `/api/v2${path}`, { token, ...(body !== undefined && { body }) });
const post = (body: Record<string, unknown>, token?: string) =>
  ask('POST', '/organizations/default/templates', body, token);
const fieldsOf = (answer: { body: { validations?: { field: string }[] } }) =>
  (answer.body.validations ?? []).map(({ field }) => field);
const workspaceRow = async (id: string) => {
  const [row] = await api.db
    .select({
      ttlMs: workspaces.ttlMs,
      nextStartAt: workspaces.nextStartAt,
      deletingAt: workspaces.deletingAt,
      dormantAt: workspaces.dormantAt,
      lastUsedAt: workspaces.lastUsedAt,
      deadline: workspaceBuilds.deadline,
    })
    .from(workspaces)
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.workspaceId, workspaces.id))
    .where(eq(workspaces.id, id));
  return row!;
};

describe('creating a template', () => {
  test('of an imported version gives the documented defaults and everybody `use`', async () => {
    const versionId = await createImportedVersion(api, { token: author.token });
    const { status, body } = await post({ name: 'Defaults', template_version_id: versionId }, author.token);
    expect(status).toBe(201);
    expect(body).toMatchObject({
      name: 'Defaults',
      organization_name: 'default',
      active_version_id: versionId,
      active_user_count: 0,
      build_time_stats: { start: { P50: null, P95: null }, stop: { P50: null }, delete: { P95: null } },
      default_ttl_ms: 0,
      activity_bump_ms: 3_600_000,
      allow_user_cancel_workspace_jobs: false,
      allow_user_autostart: true,
      allow_user_autostop: true,
      autostop_requirement: { days_of_week: [], weeks: 1 },
      failure_ttl_ms: 0,
      time_til_dormant_ms: 0,
      time_til_dormant_autodelete_ms: 0,
      time_til_autostop_notify_ms: 0,
      require_active_version: false,
      max_port_share_level: 'owner',
      cors_behavior: 'simple',
      use_classic_parameter_flow: false,
      disable_module_cache: false,
      deprecated: false,
      deprecation_message: '',
      deleted: false,
      created_by_id: author.id,
      created_by_name: author.username,
    });
    expect(body.autostart_requirement.days_of_week).toHaveLength(7);
    const version = await ask('GET', `/templateversions/${versionId}`);
    expect(version.body.template_id).toBe(body.id);
    expect((await ask('GET', `/templates/${body.id}`, undefined, member.token)).status).toBe(200);
    const audit = await api.db
      .select({ action: auditLogs.action, userId: auditLogs.userId, status: auditLogs.statusCode })
      .from(auditLogs)
      .where(eq(auditLogs.resourceId, body.id));
    expect(audit).toEqual([{ action: 'create', userId: author.id, status: 201 }]);
  });

  test('takes every setting', async () => {
    const template_version_id = await createImportedVersion(api);
    const settings = {
      display_name: 'All of it',
      description: 'Everything set',
      icon: '/icon/x.svg',
      default_ttl_ms: 3_600_000,
      activity_bump_ms: 0,
      autostop_requirement: { days_of_week: ['friday'], weeks: 2 },
      autostart_requirement: { days_of_week: ['monday', 'tuesday'] },
      allow_user_cancel_workspace_jobs: true,
      allow_user_autostart: false,
      allow_user_autostop: false,
      failure_ttl_ms: 60_000,
      time_til_autostop_notify_ms: 600_000,
      require_active_version: true,
      max_port_share_level: 'public',
      cors_behavior: 'passthru',
    };
    const answer = await post({
      name: 'everything',
      template_version_id,
      ...settings,
      dormant_ttl_ms: 120_000,
      delete_ttl_ms: 180_000,
      template_use_classic_parameter_flow: true,
      disable_everyone_group_access: true,
    });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      ...settings,
      time_til_dormant_ms: 120_000,
      time_til_dormant_autodelete_ms: 180_000,
      use_classic_parameter_flow: true,
    });
    expect((await ask('GET', `/templates/${answer.body.id}`, undefined, member.token)).status).toBe(404);
  });

  test('names the bad field: 17 weeks, negative numbers, weekdays', async () => {
    const template_version_id = await createImportedVersion(api);
    const bad = async (body: Record<string, unknown>) => {
      const answer = await post({ name: 'bad', template_version_id, ...body });
      return [answer.status, ...fieldsOf(answer)];
    };
    expect(await bad({ autostop_requirement: { weeks: 17, days_of_week: [] } })).toEqual([
      400,
      'autostop_requirement.weeks',
    ]);
    expect(await bad({ autostop_requirement: { weeks: -1 } })).toEqual([400, 'autostop_requirement.weeks']);
    expect(await bad({ autostop_requirement: { weeks: 1, days_of_week: ['monday', 'monday'] } })).toEqual([
      400,
      'autostop_requirement.days_of_week',
    ]);
    expect(await bad({ autostart_requirement: { days_of_week: ['Montag'] } })).toEqual([
      400,
      'autostart_requirement.days_of_week',
    ]);
    for (const field of ['default_ttl_ms', 'activity_bump_ms', 'failure_ttl_ms', 'dormant_ttl_ms', 'delete_ttl_ms'])
      expect(await bad({ [field]: -1 })).toEqual([400, field]);
    expect(await bad({ max_port_share_level: 'everyone' })).toEqual([400, 'max_port_share_level']);
    expect(await bad({ name: 'a--b' })).toEqual([400, 'name']);
    expect(await bad({ name: 'new' })).toEqual([400, 'name']);
    expect(await bad({ description: 'x'.repeat(129) })).toEqual([400, 'description']);
    expect(await bad({ default_ttl_ms: 1.5 })).toEqual([400, 'default_ttl_ms']);
  });

  test('needs a version of the same organization that is free, not archived and imported', async () => {
    const pending = (await createVersion(api)).body.id;
    const failed = (await createVersion(api)).body.id;
    await finishImport(api.db, failed, { error: 'no' });
    const taken = await createTemplate(api);
    const archived = await createImportedVersion(api);
    await ask('POST', `/templateversions/${archived}/archive`);
    const attempt = async (template_version_id: string) => {
      const answer = await post({ name: 'attempt', template_version_id });
      return [answer.status, ...fieldsOf(answer)];
    };
    const refused = [400, 'template_version_id'];
    expect(await attempt(pending)).toEqual(refused);
    expect(await attempt(failed)).toEqual(refused);
    expect(await attempt(taken.active_version_id)).toEqual(refused);
    expect(await attempt(archived)).toEqual(refused);
    expect(await attempt('5f1d7a52-8c55-4e8b-9f0a-3f7f3f3f3f3f')).toEqual([404]);
    expect(await attempt('x')).toEqual(refused);
  });

  test('refuses a name that is taken, whatever its case, until that template is deleted', async () => {
    const template = await createTemplate(api, { name: 'Taken' });
    const versionId = await createImportedVersion(api);
    const again = await post({ name: 'taken', template_version_id: versionId });
    expect([again.status, ...fieldsOf(again)]).toEqual([409, 'name']);
    await ask('DELETE', `/templates/${template.id}`);
    expect((await post({ name: 'taken', template_version_id: versionId })).status).toBe(201);
  });

  test('of one version by ten at once succeeds once', async () => {
    const versionId = await createImportedVersion(api);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, at) => post({ name: `race-${at}`, template_version_id: versionId })),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(9);
  });

  test('is not for members: 403, and 404 for strangers', async () => {
    const template_version_id = await createImportedVersion(api);
    expect((await post({ name: 'mine', template_version_id }, member.token)).status).toBe(403);
    const stranger = await api.createUser({ organizationIds: [] });
    expect((await post({ name: 'mine', template_version_id }, stranger.token)).status).toBe(404);
  });
});

describe('reading templates', () => {
  test('one answers 304 to who has it, by id and by name in any case', async () => {
    const template = await createTemplate(api, { name: 'Readable' });
    for (const path of [`/templates/${template.id}`, '/organizations/default/templates/readable']) {
      const first = await ask('GET', path);
      expect(first.body.id).toBe(template.id);
      const again = await api.request('GET', `/api/v2${path}`, {
        token: api.ownerToken,
        headers: { 'If-None-Match': first.headers.get('etag') ?? '' },
      });
      expect([again.status, again.text]).toEqual([304, '']);
    }
    expect((await ask('GET', '/organizations/default/templates/nothing')).status).toBe(404);
  });

  test('lists only what the caller may read, by name, with the same number of statements for one as for many', async () => {
    const own = await createTestApi();
    try {
      const one = await own.createUser();
      const listAs = (token: string, query = '') => own.request('GET', `/api/v2/templates${query}`, { token });
      const count = async (token: string) => {
        let statements = 0;
        const { unsafe } = own.deps.sql;
        own.deps.sql.unsafe = ((...args: Parameters<typeof unsafe>) => {
          statements += 1;
          return unsafe(...args);
        }) as typeof unsafe;
        const answer = await listAs(token);
        own.deps.sql.unsafe = unsafe;
        return { statements, names: answer.body.map((each: { name: string }) => each.name) };
      };
      await createTemplate(own, { name: 'zebra' });
      await listAs(one.token);
      const few = await count(one.token);
      for (const name of ['Alpha', 'beta']) await createTemplate(own, { name });
      await createTemplate(own, { name: 'hidden', disable_everyone_group_access: true });
      const many = await count(one.token);
      expect(few.names).toEqual(['zebra']);
      expect(many.names).toEqual(['Alpha', 'beta', 'zebra']);
      expect(few.statements).toBeGreaterThan(1);
      expect(many.statements).toBe(few.statements);
      const all = await listAs(own.ownerToken);
      expect(all.body).toHaveLength(4);
      const stranger = await own.createUser({ organizationIds: [] });
      expect((await listAs(stranger.token)).body).toEqual([]);
    } finally {
      await own.close();
    }
  });

  test('searches by name, display name, deprecation, author, id and deletion', async () => {
    const own = await createTestApi();
    try {
      const writer = await own.createUser({ username: 'writer', organizationRoles: ['organization-template-admin'] });
      const docker = await createTemplate(own, { name: 'docker-dev', display_name: 'Docker Desktop' });
      const plain = await createTemplate(own, { name: 'plain' });
      const versionId = await createImportedVersion(own, { token: writer.token });
      await own.request('POST', '/api/v2/organizations/default/templates', {
        token: writer.token,
        body: { name: 'written', template_version_id: versionId },
      });
      const gone = await createTemplate(own, { name: 'gone' });
      await own.request('DELETE', `/api/v2/templates/${gone.id}`, { token: own.ownerToken });
      await own.request('PATCH', `/api/v2/templates/${plain.id}`, {
        token: own.ownerToken,
        body: { deprecation_message: 'use docker' },
      });
      const names = async (q: string, token = own.ownerToken) => {
        const answer = await own.request('GET', `/api/v2/templates?q=${encodeURIComponent(q)}`, { token });
        return answer.status === 200
          ? answer.body.map((each: { name: string }) => each.name)
          : [answer.status, ...fieldsOf(answer)];
      };
      expect(await names('')).toEqual(['docker-dev', 'plain', 'written']);
      expect(await names('name:DEV')).toEqual(['docker-dev']);
      expect(await names('exact_name:docker')).toEqual([]);
      expect(await names('exact_name:plain')).toEqual(['plain']);
      expect(await names('display_name:desk')).toEqual(['docker-dev']);
      expect(await names('exact_display_name:"docker desktop"')).toEqual(['docker-dev']);
      expect(await names('desktop')).toEqual(['docker-dev']);
      expect(await names('docker-dev')).toEqual([]);
      expect(await names('plai')).toEqual(['plain']);
      expect(await names('deprecated:true')).toEqual(['plain']);
      expect(await names('deprecated:false')).toEqual(['docker-dev', 'written']);
      expect(await names('deleted:true')).toEqual(['gone']);
      expect(await names('author:writer')).toEqual(['written']);
      expect(await names('author:me', writer.token)).toEqual(['written']);
      expect(await names(`author_id:${writer.id}`)).toEqual(['written']);
      expect(await names(`ids:${docker.id},${plain.id}`)).toEqual(['docker-dev', 'plain']);
      expect(await names('organization:default name:plain')).toEqual(['plain']);
      expect(await names('organization:other')).toEqual([]);
      expect(await names('has-ai-task:true')).toEqual([]);
      expect(await names('has_external_agent:false')).toEqual(['docker-dev', 'plain', 'written']);
      expect(await names('a:b:c')).toEqual([400, 'q']);
      expect(await names('foo:1')).toEqual([400, 'foo']);
      expect(await names('ids:x')).toEqual([400, 'ids']);
      expect(await names('deprecated:maybe')).toEqual([400, 'deprecated']);
      expect(await names('name:%')).toEqual([]);
    } finally {
      await own.close();
    }
  });

  test('shows discrete percentiles of succeeded builds per transition', async () => {
    const template = await createTemplate(api);
    const versionId = template.active_version_id;
    const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: member.id, runMs: 10_000 });
    for (const runMs of [20_000, 30_000])
      await insertBuildOf(api.db, { workspaceId, versionId, transition: 'start', runMs });
    await insertBuildOf(api.db, { workspaceId, versionId, transition: 'start', runMs: 1_000, canceled: true });
    await insertBuildOf(api.db, { workspaceId, versionId, transition: 'stop', runMs: 5_000 });
    const { body } = await ask('GET', `/templates/${template.id}`);
    expect(body.build_time_stats).toEqual({
      start: { P50: 20_000, P95: 30_000 },
      stop: { P50: 5_000, P95: 5_000 },
      delete: { P50: null, P95: null },
    });
  });

  test('takes its percentiles from the 100 newest builds of each transition', async () => {
    const template = await createTemplate(api);
    const versionId = template.active_version_id;
    const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: member.id, runMs: 900_000 });
    for (let seconds = 1; seconds <= 100; seconds += 1)
      await insertBuildOf(api.db, { workspaceId, versionId, transition: 'start', runMs: seconds * 1_000 });
    for (let stop = 0; stop < 100; stop += 1)
      await insertBuildOf(api.db, { workspaceId, versionId, transition: 'stop', runMs: 2_000 });
    const { body } = await ask('GET', `/templates/${template.id}`);
    expect(body.build_time_stats).toEqual({
      start: { P50: 50_000, P95: 95_000 },
      stop: { P50: 2_000, P95: 2_000 },
      delete: { P50: null, P95: null },
    });
  });
});

describe('changing a template', () => {
  const patch = (id: string, body: unknown, token?: string) => ask('PATCH', `/templates/${id}`, body, token);

  test('refuses 59 999 ms, takes 60 000 and answers 304 the second time without a row of audit', async () => {
    const { id } = await createTemplate(api);
    const short = await patch(id, { failure_ttl_ms: 59_999 });
    expect([short.status, ...fieldsOf(short)]).toEqual([400, 'failure_ttl_ms']);
    const changed = await patch(id, { failure_ttl_ms: 60_000 });
    expect([changed.status, changed.body.failure_ttl_ms]).toEqual([200, 60_000]);
    const again = await patch(id, { failure_ttl_ms: 60_000 });
    expect([again.status, again.text]).toEqual([304, '']);
    const writes = await api.db.select({ diff: auditLogs.diff }).from(auditLogs).where(eq(auditLogs.resourceId, id));
    const diffs = writes.map(({ diff }) => diff).filter((diff) => 'failure_ttl_ms' in diff && !('name' in diff));
    expect(diffs).toEqual([{ failure_ttl_ms: { old: 0, new: 60_000, secret: false } }]);
  });

  test('of the description leaves autostart as it is', async () => {
    const { id } = await createTemplate(api);
    const { body } = await patch(id, { description: 'x', name: '' });
    expect(body).toMatchObject({ description: 'x', allow_user_autostart: true, allow_user_autostop: true });
  });

  test('under CODER_TEMPLATE_PATCH_ZERO_FILL reads what is absent as zero', async () => {
    const own = await createTestApi({ env: { CODER_TEMPLATE_PATCH_ZERO_FILL: 'true' } });
    try {
      const template = await createTemplate(own, { failure_ttl_ms: 60_000 });
      const { body } = await own.request('PATCH', `/api/v2/templates/${template.id}`, {
        token: own.ownerToken,
        body: { description: 'x' },
      });
      expect(body).toMatchObject({ description: 'x', failure_ttl_ms: 0, allow_user_autostart: false });
    } finally {
      await own.close();
    }
  });

  test('renames, refusing taken names, and closes the template to everybody', async () => {
    const [one, other] = [await createTemplate(api, { name: 'one' }), await createTemplate(api, { name: 'other' })];
    const taken = await patch(one.id, { name: 'OTHER' });
    expect([taken.status, ...fieldsOf(taken)]).toEqual([409, 'name']);
    expect((await patch(one.id, { name: 'First' })).body.name).toBe('First');
    expect((await patch(other.id, { disable_everyone_group_access: true })).status).toBe(200);
    expect((await ask('GET', `/templates/${other.id}`, undefined, member.token)).status).toBe(404);
    expect((await patch(other.id, { disable_everyone_group_access: true })).status).toBe(304);
  });

  test('hands the default TTL to all workspaces where users have no say, but not to prebuilds', async () => {
    const template = await createTemplate(api, { allow_user_autostop: false });
    const humans = await Promise.all(
      [3_600_000, 7_200_000, null].map((ttlMs) => insertWorkspaceOf(api.db, template, { ownerId: member.id, ttlMs })),
    );
    const prebuild = await insertWorkspaceOf(api.db, template);
    expect((await patch(template.id, { default_ttl_ms: 7_200_000 })).status).toBe(200);
    const ttls = await Promise.all(humans.map(async (id) => (await workspaceRow(id)).ttlMs));
    expect(ttls).toEqual([7_200_000, 7_200_000, 7_200_000]);
    expect((await workspaceRow(prebuild)).ttlMs).toBeNull();
  });

  test('of the default TTL to 0 takes deadlines away as far as the hard limit allows', async () => {
    const template = await createTemplate(api, { allow_user_autostop: false, default_ttl_ms: 3_600_000 });
    const deadline = new Date('2030-01-01T10:00:00Z');
    const maxDeadline = new Date('2030-01-01T18:00:00Z');
    const free = await insertWorkspaceOf(api.db, template, { ownerId: member.id, ttlMs: 1, deadline });
    const limited = await insertWorkspaceOf(api.db, template, { ownerId: member.id, ttlMs: 1, deadline, maxDeadline });
    await patch(template.id, { default_ttl_ms: 0 });
    expect(await workspaceRow(free)).toMatchObject({ ttlMs: null, deadline: null });
    expect(await workspaceRow(limited)).toMatchObject({ ttlMs: null, deadline: maxDeadline });
  });

  test('that takes the say over the TTL away hands it out at once; giving it back touches nothing', async () => {
    const template = await createTemplate(api, { default_ttl_ms: 3_600_000 });
    const id = await insertWorkspaceOf(api.db, template, { ownerId: member.id, ttlMs: 60_000 });
    await patch(template.id, { default_ttl_ms: 1_800_000 });
    expect((await workspaceRow(id)).ttlMs).toBe(60_000);
    await patch(template.id, { allow_user_autostop: false });
    expect((await workspaceRow(id)).ttlMs).toBe(1_800_000);
  });

  test('that forbids autostart clears the next start', async () => {
    const template = await createTemplate(api);
    const nextStartAt = new Date('2030-01-01T00:00:00Z');
    const [first, second] = [
      await insertWorkspaceOf(api.db, template, { ownerId: member.id, nextStartAt }),
      await insertWorkspaceOf(api.db, await createTemplate(api), { ownerId: member.id, nextStartAt }),
    ];
    await patch(template.id, { allow_user_autostart: false });
    expect((await workspaceRow(first)).nextStartAt).toBeNull();
    expect((await workspaceRow(second)).nextStartAt).toEqual(nextStartAt);
  });

  test('moves the end of dormant workspaces with the autodelete time, and starts dormancy anew on request', async () => {
    const template = await createTemplate(api);
    const dormantAt = new Date('2026-01-01T00:00:00Z');
    const dormant = await insertWorkspaceOf(api.db, template, { ownerId: member.id, dormantAt });
    const awake = await insertWorkspaceOf(api.db, template, { ownerId: member.id });
    await patch(template.id, { time_til_dormant_autodelete_ms: 86_400_000 });
    expect((await workspaceRow(dormant)).deletingAt).toEqual(new Date('2026-01-02T00:00:00Z'));
    expect((await workspaceRow(awake)).deletingAt).toBeNull();
    const now = api.clock.now;
    await patch(template.id, { update_workspace_dormant_at: true, update_workspace_last_used_at: true });
    expect(await workspaceRow(dormant)).toMatchObject({
      dormantAt: now,
      deletingAt: new Date(now.getTime() + 86_400_000),
      lastUsedAt: new Date(0),
    });
    expect(await workspaceRow(awake)).toMatchObject({ lastUsedAt: now, dormantAt: null });
    await patch(template.id, { time_til_dormant_autodelete_ms: 0 });
    expect((await workspaceRow(dormant)).deletingAt).toBeNull();
  });

  test('is not for members: 403, or 404 when the template is hidden from them', async () => {
    const open = await createTemplate(api);
    const hidden = await createTemplate(api, { disable_everyone_group_access: true });
    expect((await patch(open.id, { description: 'x' }, member.token)).status).toBe(403);
    expect((await patch(hidden.id, { description: 'x' }, member.token)).status).toBe(404);
    expect((await ask('DELETE', `/templates/${open.id}`, undefined, member.token)).status).toBe(403);
  });
});

describe('deleting a template', () => {
  test('is refused while a person has a workspace, be it stopped; prebuilds do not block', async () => {
    const used = await createTemplate(api);
    await insertWorkspaceOf(api.db, used, { ownerId: member.id, transition: 'stop' });
    expect((await ask('DELETE', `/templates/${used.id}`)).status).toBe(400);
    const pooled = await createTemplate(api);
    for (let at = 0; at < 2; at += 1) await insertWorkspaceOf(api.db, pooled);
    const deleted = await ask('DELETE', `/templates/${pooled.id}`);
    expect([deleted.status, typeof deleted.body.message]).toEqual([200, 'string']);
    expect((await ask('GET', `/templates/${pooled.id}`)).status).toBe(404);
    expect((await ask('DELETE', `/templates/${pooled.id}`)).status).toBe(404);
  });
});

test('a template deleted while a workspace is made of it never keeps a live workspace', async () => {
  for (let round = 0; round < 10; round += 1) {
    const template = await createTemplate(api);
    const [made, deleted] = await Promise.all([
      ask('POST', '/users/me/workspaces', { name: `race-${round}`, template_id: template.id }),
      ask('DELETE', `/templates/${template.id}`),
    ]);
    expect([
      [201, 400],
      [404, 200],
    ]).toContainEqual([made.status, deleted.status]);
  }
});

describe('prebuilds of a template', () => {
  test('are declared outdated for the presets of the active version that have some', async () => {
    const template = await createTemplate(api);
    const preset = { templateVersionId: template.active_version_id, createdAt: new Date() };
    await api.db.insert(templateVersionPresets).values([
      { ...preset, name: 'pooled', desiredInstances: 2 },
      { ...preset, name: 'plain', desiredInstances: null },
    ]);
    const { status, body } = await ask('POST', `/templates/${template.id}/prebuilds/invalidate`);
    expect(status).toBe(200);
    const version = await ask('GET', `/templateversions/${template.active_version_id}`);
    expect(body.invalidated).toEqual([
      { template_name: template.name, template_version_name: version.body.name, preset_name: 'pooled' },
    ]);
    const rows = await api.db
      .select({ name: templateVersionPresets.name, at: templateVersionPresets.lastInvalidatedAt })
      .from(templateVersionPresets)
      .where(eq(templateVersionPresets.templateVersionId, template.active_version_id));
    expect(rows.find(({ name }) => name === 'pooled')?.at).toEqual(api.clock.now);
    expect(rows.find(({ name }) => name === 'plain')?.at).toBeNull();
  });
});

describe('examples', () => {
  test('are listed for authors only', async () => {
    expect((await ask('GET', '/templates/examples', undefined, member.token)).status).toBe(403);
    const { status, body } = await ask('GET', '/templates/examples', undefined, author.token);
    expect(status).toBe(200);
    expect(body.map(({ id }: { id: string }) => id)).toEqual(['docker', 'local-process']);
    expect(body[1]).toMatchObject({ name: 'Local process', tags: ['local', 'process', 'example'] });
    expect(body[1].markdown).toMatch(/^# Local process/);
  });

  test('make a version without an upload, and the same archive each time', async () => {
    const version = { storage_method: 'file', provisioner: 'terraform', example_id: 'local-process' };
    const make = () => ask('POST', '/organizations/default/templateversions', version, author.token);
    const [first, second] = [await make(), await make()];
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.body.job.file_id).toBe(first.body.job.file_id);
    const archive = await api.app.request(`/api/v2/files/${first.body.job.file_id}`, {
      headers: { 'Coder-Session-Token': author.token },
    });
    expect(await archive.text()).toContain('coder_agent');
  });
});
