import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workspaceAgentStats } from '../../db/schema/agent-reports.ts';
import { templates } from '../../db/schema/templates.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { insertAgentOf } from '../support/agent-rows.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let alice: TestUser;
let bob: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  api.clock.now = new Date('2026-05-13T12:00:00Z');
  [alice, bob] = [await api.createUser(), await api.createUser()];
});
afterAll(() => api.close());

const report = (templateId: string, userId: string, at: string, usage = true) =>
  api.db.insert(workspaceAgentStats).values({
    createdAt: new Date(at),
    userId,
    agentId: randomUUID(),
    workspaceId: randomUUID(),
    templateId,
    usage,
  });
const ask = (path: string, token = api.ownerToken) => api.request('GET', `/api/v2${path}`, { token });
/** Days with anybody, as `date: amount`. */
const usedDays = async (path: string): Promise<Record<string, number>> => {
  const { status, body } = await ask(path);
  expect(status).toBe(200);
  const used = body.entries.filter(({ amount }: JsonValue) => amount > 0);
  return Object.fromEntries(used.map(({ date, amount }: JsonValue) => [date, amount]));
};
const forget = () => api.db.delete(workspaceAgentStats);

describe('users by day', () => {
  test('are the last 60 days, oldest first, whether anybody was there or not', async () => {
    const { id } = await createTemplate(api);
    const { body } = await ask(`/templates/${id}/daus`);
    expect(body.tz_hour_offset).toBe(0);
    expect(body.entries).toHaveLength(60);
    expect(body.entries.slice(0, 2)).toEqual([
      { date: '2026-03-15', amount: 0 },
      { date: '2026-03-16', amount: 0 },
    ]);
    expect(body.entries.at(-1)).toEqual({ date: '2026-05-13', amount: 0 });
  });

  test('count each user once a day and template, and once a day in all', async () => {
    await forget();
    const [first, second] = [await createTemplate(api), await createTemplate(api)];
    for (const at of ['08:00:00', '08:00:30', '23:59:59.999']) await report(first.id, alice.id, `2026-05-12T${at}Z`);
    await report(second.id, alice.id, '2026-05-12T09:00:00Z');
    await report(second.id, bob.id, '2026-05-12T09:00:00Z');
    await report(second.id, bob.id, '2026-05-13T00:00:00Z');
    expect(await usedDays(`/templates/${first.id}/daus`)).toEqual({ '2026-05-12': 1 });
    expect(await usedDays(`/templates/${second.id}/daus`)).toEqual({ '2026-05-12': 2, '2026-05-13': 1 });
    expect(await usedDays('/insights/daus?tz_offset=0')).toEqual({ '2026-05-12': 2, '2026-05-13': 1 });
    // What nobody can use any more was used all the same.
    await api.db
      .update(templates)
      .set({ deleted: true })
      .where(sql`${templates.id} = ${second.id}`);
    expect(await usedDays('/insights/daus?tz_offset=0')).toEqual({ '2026-05-12': 2, '2026-05-13': 1 });
    expect((await ask(`/templates/${second.id}/daus`)).status).toBe(404);
  });

  test('begin at midnight of the offset', async () => {
    await forget();
    const { id } = await createTemplate(api);
    await report(id, alice.id, '2026-05-12T09:59:59Z');
    await report(id, alice.id, '2026-05-12T10:00:00Z');
    await report(id, bob.id, '2026-05-13T11:59:59Z');
    // Now is 12:00 in UTC: the 14th at +14 and +12, the 13th at -12.
    const at = (offset: string) => usedDays(`/templates/${id}/daus${offset}`);
    expect(await at('')).toEqual({ '2026-05-12': 1, '2026-05-13': 1 });
    expect(await at('?tz_offset=14')).toEqual({ '2026-05-12': 1, '2026-05-13': 1, '2026-05-14': 1 });
    expect(await at('?tz_offset=12')).toEqual({ '2026-05-12': 1, '2026-05-13': 1 });
    expect(await at('?tz_offset=-12')).toEqual({ '2026-05-11': 1, '2026-05-12': 1 });
    const { body } = await ask(`/insights/daus?tz_offset=14`);
    expect([body.tz_hour_offset, body.entries[0].date, body.entries.at(-1).date]).toEqual([
      14,
      '2026-03-16',
      '2026-05-14',
    ]);
  });

  test('leave out what came before and after them', async () => {
    await forget();
    const { id } = await createTemplate(api);
    await report(id, alice.id, '2026-03-14T23:59:59.999Z');
    await report(id, bob.id, '2026-05-14T00:00:00Z');
    expect(await usedDays(`/templates/${id}/daus`)).toEqual({});
    await report(id, alice.id, '2026-03-15T00:00:00Z');
    await report(id, alice.id, '2026-05-13T23:59:59.999Z');
    expect(await usedDays(`/templates/${id}/daus`)).toEqual({ '2026-03-15': 1, '2026-05-13': 1 });
  });

  test('are those of people in workspaces that are used: not of prebuilds, not of idle agents', async () => {
    await forget();
    const template = await createTemplate(api);
    const tell = async (ownerId: string | undefined, stats: object) => {
      const workspace = { ...(ownerId !== undefined && { ownerId }) };
      const agent = await insertAgentOf(api, await insertWorkspaceOf(api.db, template, workspace));
      const path = '/api/v2/workspaceagents/me/report-stats';
      expect((await api.request('POST', path, { token: agent.token, body: stats })).status).toBe(200);
    };
    await tell(undefined, { connection_count: 3, session_count_ssh: 1 });
    await tell(PREBUILDS_SYSTEM_USER_ID, { connection_count: 3 });
    await tell(alice.id, { connection_count: 0, rx_bytes: 10 });
    await tell(bob.id, { session_count_ssh: 1 });
    await tell(api.owner.id, { connection_count: 1 });
    await api.deps.agents.stats.flush();
    expect(await usedDays(`/templates/${template.id}/daus`)).toEqual({ '2026-05-13': 2 });
    expect(await usedDays('/insights/daus?tz_offset=0')).toEqual({ '2026-05-13': 2 });
    expect((await ask(`/templates/${template.id}`)).body.active_user_count).toBe(2);
  });

  test('are told to those who look after templates, of one’s own template also to whom it was shared with as admin', async () => {
    const { id } = await createTemplate(api);
    const roles = (...names: string[]) => api.createUser({ roles: names });
    const inOrganization = (...names: string[]) => api.createUser({ organizationRoles: names });
    const shared = await api.createUser();
    const stranger = await api.createUser({ organizationIds: [] });
    await api.request('PATCH', `/api/v2/templates/${id}/acl`, {
      token: api.ownerToken,
      body: { user_perms: { [shared.id]: 'admin' } },
    });
    const narrow = await api.createKey(api.owner.id, { scopes: ['template:read'] });
    const oneTemplate = await api.createKey(api.owner.id, { allowList: [`template:${id}`] });
    const tokens = {
      owner: api.ownerToken,
      templateAdmin: (await roles('template-admin')).token,
      auditor: (await roles('auditor')).token,
      organizationTemplateAdmin: (await inOrganization('organization-template-admin')).token,
      organizationAuditor: (await inOrganization('organization-auditor')).token,
      shared: shared.token,
      oneTemplate,
      userAdmin: (await roles('user-admin')).token,
      member: alice.token,
      narrow,
      stranger: stranger.token,
    };
    const answers: Record<string, number[]> = {};
    for (const [who, token] of Object.entries(tokens))
      answers[who] = [
        (await ask(`/templates/${id}/daus`, token)).status,
        (await ask('/insights/daus?tz_offset=0', token)).status,
      ];
    expect(answers).toEqual({
      owner: [200, 200],
      templateAdmin: [200, 200],
      auditor: [200, 200],
      organizationTemplateAdmin: [200, 403],
      organizationAuditor: [200, 403],
      shared: [200, 403],
      oneTemplate: [200, 403],
      userAdmin: [403, 403],
      member: [403, 403],
      narrow: [403, 403],
      stranger: [404, 403],
    });
    expect((await ask(`/templates/${randomUUID()}/daus`)).status).toBe(404);
  });

  test('need an offset that exists', async () => {
    const { id } = await createTemplate(api);
    const bad = ['?tz_offset=15', '?tz_offset=-13', '?tz_offset=x', '?tz_offset=5.5', '?tz_offset='];
    for (const path of [
      '/insights/daus',
      ...bad.flatMap((query) => [`/insights/daus${query}`, `/templates/${id}/daus${query}`]),
    ]) {
      const { status, body } = await ask(path);
      expect({ path, status, fields: body.validations.map(({ field }: JsonValue) => field) }).toEqual({
        path,
        status: 400,
        fields: ['tz_offset'],
      });
    }
  });
});

test('active users of templates are those of the last 24 hours, in lists too', async () => {
  await forget();
  const [busy, quiet] = [await createTemplate(api), await createTemplate(api)];
  await report(busy.id, alice.id, '2026-05-12T12:00:01Z');
  await report(busy.id, alice.id, '2026-05-13T11:00:00Z');
  await report(busy.id, bob.id, '2026-05-12T12:00:00Z');
  await report(busy.id, api.owner.id, '2026-05-12T11:59:59Z');
  await report(busy.id, PREBUILDS_SYSTEM_USER_ID, '2026-05-13T11:00:00Z');
  await report(quiet.id, bob.id, '2026-05-13T11:00:00Z', false);
  expect((await ask(`/templates/${busy.id}`)).body.active_user_count).toBe(2);
  const { body } = await ask('/templates');
  const counts = new Map(body.map((each: JsonValue) => [each.id, each.active_user_count]));
  expect([counts.get(busy.id), counts.get(quiet.id)]).toEqual([2, 0]);
});

test('where many work, numbers are a minute old at most', async () => {
  await forget();
  const { id } = await createTemplate(api);
  await api.db.execute(sql`
    insert into workspace_agent_stats (created_at, user_id, agent_id, workspace_id, template_id, usage)
    select '2026-05-13T11:00:00Z', gen_random_uuid(), u.n, u.n, ${id}, true
    from (select gen_random_uuid() as n from generate_series(1, 1000)) u`);
  const numbers = async () => [
    await usedDays(`/templates/${id}/daus`),
    await usedDays('/insights/daus?tz_offset=0'),
    (await ask(`/templates/${id}`)).body.active_user_count,
  ];
  const [before, after] = [1000, 1001].map((amount) => [{ '2026-05-13': amount }, { '2026-05-13': amount }, amount]);
  expect(await numbers()).toEqual(before);
  await report(id, alice.id, '2026-05-13T11:00:00Z');
  expect(await numbers()).toEqual(before);
  expect(await usedDays(`/templates/${id}/daus?tz_offset=1`)).toEqual({ '2026-05-13': 1001 });
  api.clock.now = new Date(api.clock.now.getTime() + 60_000);
  expect(await numbers()).toEqual(after);
});
