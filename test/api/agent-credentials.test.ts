import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { users } from '../../db/schema/users.ts';
import { insertAgentOf, insertRunningAgent } from '../support/agent-fixtures.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());

const me = (path: string, token: string) => api.request('GET', `/api/v2/workspaceagents/me/${path}`, { token });

describe('An agent', () => {
  test('gets both halves of its owner’s git key, made at first use and the same for all of his agents', async () => {
    const user = await api.createUser();
    const [one, two] = [
      await insertRunningAgent(api, template, { ownerId: user.id }),
      await insertRunningAgent(api, template, { ownerId: user.id }),
    ];
    const [first, second] = await Promise.all([me('gitsshkey', one.token), me('gitsshkey', two.token)]);
    expect(first.status).toBe(200);
    expect(second.body).toEqual(first.body);
    expect(first.body.private_key).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----/);
    const shown = await api.request('GET', '/api/v2/users/me/gitsshkey', { token: user.token });
    expect(shown.body.public_key).toBe(first.body.public_key);
    expect(shown.body).not.toHaveProperty('private_key');
    expect(api.logs.join('')).not.toContain('OPENSSH');
  });

  test('gets nothing of its owner when it may not, there is none yet, or he is suspended', async () => {
    const user = await api.createUser();
    const narrow = await insertRunningAgent(api, template, { ownerId: user.id, apiKeyScope: 'no_user_data' });
    const prebuilt = await insertAgentOf(api, { workspaceId: await insertWorkspaceOf(api.db, template) });
    const agent = await insertRunningAgent(api, template, { ownerId: user.id });
    for (const path of ['gitsshkey', 'external-auth?id=github']) {
      expect([path, (await me(path, narrow.token)).status]).toEqual([path, 403]);
      expect([path, (await me(path, prebuilt.token)).status]).toEqual([path, 403]);
    }
    await api.db.update(users).set({ status: 'suspended' }).where(eq(users.id, user.id));
    expect((await me('gitsshkey', agent.token)).status).toBe(403);
    // Telemetry goes on.
    expect((await me('resources-monitoring', agent.token)).status).toBe(200);
  });

  test('asks for the token of one service, by name or by address', async () => {
    const { token } = await insertRunningAgent(api, template);
    for (const [query, status] of [
      ['', 400],
      ['?id=&match=', 400],
      ['?id=github&match=github.com', 400],
      ['?id=github', 404],
      ['?match=github.com&listen=true', 404],
    ] as const)
      expect([query, (await me(`external-auth${query}`, token)).status]).toEqual([query, status]);
  });

  test('is told which protocol is spoken here, and that there are no tunnels', async () => {
    const { token } = await insertRunningAgent(api, template);
    const rpc = await me('rpc?version=2.9', token);
    expect([rpc.status, rpc.headers.get('Coder-Agent-Api-Version'), rpc.body]).toEqual([
      400,
      '3.0',
      {
        message: 'Unknown or unsupported API version',
        validations: [{ field: 'version', detail: expect.any(String) }],
      },
    ]);
    const tunnel = await me('coordinate', token);
    expect([tunnel.status, tunnel.body.message]).toEqual([501, expect.any(String)]);
  });
});
