import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insertAudit } from '../../db/queries/audit-logs.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';

const base = '/api/v2';
let api: TestApi;
let auditor: TestUser;
let organizationAuditor: TestUser;
let other: { id: string };
beforeAll(async () => {
  api = await createTestApi();
  auditor = await api.createUser({ username: 'auditor', roles: ['auditor'] });
  organizationAuditor = await api.createUser({ organizationRoles: ['organization-auditor'] });
  other = (await api.request('POST', `${base}/organizations`, { token: api.ownerToken, body: { name: 'other' } })).body;
  await row({ time: new Date('2024-01-02T23:59:59Z'), action: 'delete', resourceTarget: 'late' });
  await row({ time: new Date('2024-01-03T00:00:00Z'), action: 'delete', resourceTarget: 'next-day' });
  await row({
    time: new Date('2024-01-04T00:00:00Z'),
    additionalFields: { build_reason: 'autostart' },
    actor: 'autobuild',
  });
  await row({ time: new Date('2024-01-05T00:00:00Z'), organizationId: other.id, resourceTarget: 'foreign' });
});
afterAll(() => api.close());

async function row(given: {
  time: Date;
  action?: 'start' | 'delete';
  organizationId?: string;
  resourceTarget?: string;
  additionalFields?: Record<string, unknown>;
  actor?: string;
}): Promise<void> {
  const { actor = '', ...rest } = given;
  await insertAudit(api.db, {
    origin: { requestId: randomUUID(), ip: '192.0.2.7', userAgent: 'test', userId: api.owner.id, actor },
    resourceType: 'workspace',
    resourceId: randomUUID(),
    resourceTarget: 'dev',
    action: 'start',
    organizationId: api.organizationId,
    ...rest,
  });
}

const list = (q: string, token = auditor.token, page = 'limit=100') =>
  api.request('GET', `${base}/audit?${page}&q=${encodeURIComponent(q)}`, { token });
const targets = (answer: { body: { audit_logs: { resource_target: string }[] } }) =>
  answer.body.audit_logs.map(({ resource_target }) => resource_target);

describe('the audit log', () => {
  test('a day ends one second before the next', async () => {
    const answer = await list('action:delete resource_type:workspace date_from:2024-01-02 date_to:2024-01-02');
    expect(targets(answer)).toEqual(['late']);
    expect(answer.body.count).toBe(1);
  });

  test('is filtered by each of its keys', async () => {
    expect(targets(await list('actor:autobuild'))).toEqual(['dev']);
    expect(targets(await list('build_reason:autostart'))).toEqual(['dev']);
    expect(targets(await list('organization:other resource_type:workspace'))).toEqual(['foreign']);
    expect(targets(await list(`organization:${other.id} workspace`))).toEqual(['foreign']);
    expect(targets(await list('workspace resource_target:late'))).toEqual(['late']);
    expect((await list('username:owner workspace')).body.count).toBe(4);
    expect((await list('email:owner@example.com workspace')).body.count).toBe(4);
    expect((await list('username:nobody')).body).toEqual({ audit_logs: [], count: 0 });
    expect((await list('organization:nowhere')).body.count).toBe(0);
  });

  test.each([
    ['action:frobnicate', 'action'],
    ['date_from:yesterday', 'date_from'],
    ['foo:1', 'foo'],
    ['resource_id:1', 'resource_id'],
    ['spaceship', 'q'],
  ])('%s is 400', async (q, field) => {
    const answer = await list(q);
    expect([answer.status, answer.body.validations[0].field]).toEqual([400, field]);
  });

  test('needs a limit of 1 to 100', async () => {
    for (const page of ['', 'limit=0', 'limit=101', 'limit=-1'])
      expect((await list('', auditor.token, page)).status).toBe(400);
    const first = await list('workspace', auditor.token, 'limit=1');
    const second = await list('workspace', auditor.token, 'limit=1&offset=1');
    expect([first.body.count, targets(first), targets(second)]).toEqual([4, ['foreign'], ['dev']]);
  });

  test('shows auditors of an organization its rows and their number only', async () => {
    const answer = await list('', organizationAuditor.token);
    expect(answer.body.count).toBe(answer.body.audit_logs.length);
    expect(
      new Set(answer.body.audit_logs.map(({ organization_id }: { organization_id: string }) => organization_id)),
    ).toEqual(new Set([api.organizationId]));
    expect((await list('organization:other', organizationAuditor.token)).body.count).toBe(0);
    const member = await api.createUser();
    expect((await list('', member.token)).status).toBe(403);
  });

  test('describes who did what, with the user and the organization', async () => {
    const [entry] = (await list('resource_target:late')).body.audit_logs;
    expect(entry).toMatchObject({
      description: '{user} deleted workspace {target}',
      ip: '192.0.2.7',
      is_deleted: true,
      resource_link: '',
      organization: { id: api.organizationId, name: 'default' },
      user: { username: 'owner' },
      status_code: 200,
    });
  });
});
