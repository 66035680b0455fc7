import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workspaceAgentStats } from '../../db/schema/agent-reports.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate } from '../support/template-rows.ts';

let api: TestApi;
let template: JsonValue;
beforeAll(async () => {
  api = await createTestApi();
  api.clock.now = new Date('2026-05-13T12:00:00Z');
  template = await createTemplate(api);
});
afterAll(() => api.close());

const report = (userId: string, at: string, { templateId = template.id as string, connectionCount = 1 } = {}) =>
  api.db.insert(workspaceAgentStats).values({
    createdAt: new Date(at),
    userId,
    agentId: randomUUID(),
    workspaceId: randomUUID(),
    templateId,
    connectionCount,
  });
const daus = async (path: string, token = api.ownerToken) => api.request('GET', `/api/v2${path}`, { token });
const used = ({ entries }: JsonValue) => entries.filter(({ amount }: JsonValue) => amount > 0);

test('counts each user once a day, by the day of the offset, and nobody for prebuilds and idle agents', async () => {
  const [alice, bob] = [await api.createUser(), await api.createUser()];
  const other = await createTemplate(api);
  await report(alice.id, '2026-05-12T23:30:00Z');
  await report(alice.id, '2026-05-13T08:00:00Z');
  await report(alice.id, '2026-05-13T09:00:00Z');
  await report(bob.id, '2026-05-13T09:00:00Z', { templateId: other.id });
  await report(bob.id, '2026-05-13T09:00:00Z', { connectionCount: 0 });
  await report(PREBUILDS_SYSTEM_USER_ID, '2026-05-13T09:00:00Z');
  await report(bob.id, '2026-03-14T12:00:00Z');
  const { status, body } = await daus(`/templates/${template.id}/daus`);
  expect(status).toBe(200);
  expect(body.tz_hour_offset).toBe(0);
  expect(body.entries).toHaveLength(60);
  expect([body.entries[0].date, body.entries.at(-1).date]).toEqual(['2026-03-15', '2026-05-13']);
  expect(used(body)).toEqual([
    { date: '2026-05-12', amount: 1 },
    { date: '2026-05-13', amount: 1 },
  ]);
  expect(used((await daus(`/templates/${template.id}/daus?tz_offset=2`)).body)).toEqual([
    { date: '2026-05-13', amount: 1 },
  ]);
  expect(used((await daus('/insights/daus?tz_offset=0')).body)).toEqual([
    { date: '2026-05-12', amount: 1 },
    { date: '2026-05-13', amount: 2 },
  ]);
});

test('is for those who may look at insights, with an offset that exists', async () => {
  const member = await api.createUser();
  const auditor = await api.createUser({ roles: ['auditor'] });
  expect((await daus('/insights/daus?tz_offset=0', auditor.token)).status).toBe(200);
  expect((await daus('/insights/daus?tz_offset=0', member.token)).status).toBe(403);
  expect((await daus(`/templates/${template.id}/daus`, member.token)).status).toBe(403);
  expect((await daus(`/templates/${randomUUID()}/daus`)).status).toBe(404);
  for (const query of ['', '?tz_offset=15', '?tz_offset=-13', '?tz_offset=x']) {
    const { status, body } = await daus(`/insights/daus${query}`);
    expect(status).toBe(400);
    expect(body.validations[0].field).toBe('tz_offset');
  }
});
