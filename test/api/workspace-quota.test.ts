import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { allowEveryone, setCost } from '../support/quota-rows.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let ann: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  ann = await api.createUser({ username: 'ann' });
  const template = await createTemplate(api);
  await allowEveryone(api.db, api.organizationId, 30);
  await setCost(api.db, await insertWorkspaceOf(api.db, template, { ownerId: ann.id }), 20);
});
afterAll(() => api.close());

const ask = (user: string, token: string, organization = 'default') =>
  api.request('GET', `/api/v2/organizations/${organization}/members/${user}/workspace-quota`, { token });

describe('the quota of a member', () => {
  test('is seen by the member and by those who manage members', async () => {
    const admin = await api.createUser({ organizationRoles: ['organization-admin'] });
    for (const [user, token] of [
      ['me', ann.token],
      ['ANN', ann.token],
      [ann.id, api.ownerToken],
      ['ann', admin.token],
    ] as const) {
      const answer = await ask(user, token);
      expect([answer.status, answer.body]).toEqual([200, { credits_consumed: 20, budget: 30 }]);
    }
  });

  test('is nobody else’s business', async () => {
    const bob = await api.createUser({});
    const stranger = await api.createUser({ organizationIds: [] });
    expect((await ask('ann', bob.token)).status).toBe(404);
    expect((await ask('ann', stranger.token)).status).toBe(404);
    expect((await ask('me', stranger.token)).status).toBe(404);
    expect((await ask('nobody', api.ownerToken)).status).toBe(404);
    expect((await ask(stranger.id, api.ownerToken)).status).toBe(404);
    expect((await ask('me', ann.token, 'nowhere')).status).toBe(404);
    const narrow = await api.createKey(ann.id, { scopes: ['workspace:read'] });
    expect((await ask('me', narrow)).status).toBeGreaterThanOrEqual(403);
  });

  test('of the prebuilds user is what pools consume', async () => {
    const answer = await ask(PREBUILDS_SYSTEM_USER_ID, api.ownerToken);
    expect(answer.body).toEqual({ credits_consumed: 0, budget: 30 });
  });
});

test('where quota is switched off the budget is -1', async () => {
  const off = await createTestApi({ env: { CODER_QUOTA_ENABLED: 'false' } });
  try {
    const path = '/api/v2/organizations/default/members/me/workspace-quota';
    // The site owner of a test is a member, too.
    const { body } = await off.request('GET', path, { token: off.ownerToken });
    expect(body).toEqual({ credits_consumed: 0, budget: -1 });
  } finally {
    await off.close();
  }
});
