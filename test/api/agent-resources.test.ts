import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { notificationMessages } from '../../db/schema/notifications.ts';
import {
  workspaceAgentMemoryResourceMonitors as memoryMonitors,
  workspaceAgentVolumeResourceMonitors as volumeMonitors,
} from '../../db/schema/workspace-agents.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type TestAgent, insertAgentOf, insertRunningAgent } from '../support/agent-fixtures.ts';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
let user: TestUser;
let agent: TestAgent;
const memoryId = 'a9d027b4-ac49-4fb1-9f6d-45af15f64e7a';
const diskId = 'f047f6a3-5713-40f7-85aa-0394cce9fa3a';

async function watch(agentId: string, volumes: readonly string[] = ['/', '/home'], enabled = true) {
  const stamps = { createdAt: new Date(), updatedAt: new Date() };
  await api.db.insert(memoryMonitors).values({ agentId, enabled, threshold: 80, ...stamps });
  if (volumes.length > 0)
    await api.db
      .insert(volumeMonitors)
      .values(volumes.map((path) => ({ agentId, path, enabled, threshold: 90, ...stamps })));
}

beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(async () => {
  user = await api.createUser();
  agent = await insertRunningAgent(api, template, { ownerId: user.id });
  await watch(agent.id);
});

const path = '/api/v2/workspaceagents/me/resources-monitoring';
type Point = Record<string, unknown>;
const post = (datapoints: readonly Point[], token = agent.token) =>
  api.request('POST', path, { token, body: { datapoints } });
const full = { used: 95, total: 100 };
const fine = { used: 10, total: 100 };
const memory = (fullPoints: number, of = 20): Point[] =>
  Array.from({ length: of }, (_, index) => ({
    collected_at: new Date().toISOString(),
    memory: index < fullPoints ? full : fine,
    volumes: [],
  }));
const messages = async (userId = user.id) =>
  api.db
    .select({
      template: notificationMessages.notificationTemplateId,
      method: notificationMessages.method,
      status: notificationMessages.status,
      payload: notificationMessages.payload,
      targets: notificationMessages.targets,
      createdBy: notificationMessages.createdBy,
    })
    .from(notificationMessages)
    .where(eq(notificationMessages.userId, userId))
    .orderBy(notificationMessages.createdAt);
const memoryState = async () =>
  (
    await api.db
      .select({ state: memoryMonitors.state })
      .from(memoryMonitors)
      .where(eq(memoryMonitors.agentId, agent.id))
  )[0]!.state;
const later = (ms: number) => (api.clock.now = new Date(api.clock.now.getTime() + ms));

describe('Resource monitors', () => {
  test('tell the agent what to measure', async () => {
    const config = { num_datapoints: 20, collection_interval_seconds: 10 };
    expect((await api.request('GET', path, { token: agent.token })).body).toEqual({
      config,
      memory: { enabled: true },
      volumes: [
        { enabled: true, path: '/' },
        { enabled: true, path: '/home' },
      ],
    });
    const plain = await insertRunningAgent(api, template);
    expect((await api.request('GET', path, { token: plain.token })).body).toEqual({ config, volumes: [] });
  });

  test('tell the owner once when memory is full: four of twenty points, not three', async () => {
    expect((await post(memory(3))).status).toBe(204);
    expect([await memoryState(), (await messages()).length]).toEqual(['OK', 0]);
    await Promise.all([post(memory(4)), post(memory(4)), post(memory(4))]);
    await post(memory(20));
    expect(await memoryState()).toBe('NOK');
    const [row] = await api.db.execute<{ name: string }>(
      sql`select name from workspaces where id = ${agent.workspaceId}`,
    );
    expect(await messages()).toEqual([
      {
        template: memoryId,
        method: 'inbox',
        status: 'sent',
        payload: {
          notification_name: 'Workspace Out Of Memory',
          labels: { workspace: row!.name, threshold: '80%' },
          data: {},
        },
        targets: [agent.workspaceId, user.id, template.id, api.organizationId],
        createdBy: 'resource-monitor',
      },
    ]);
  });

  test('are silent for 30 minutes after a message', async () => {
    await post(memory(4));
    later(60_000);
    await post(memory(0));
    expect(await memoryState()).toBe('OK');
    later(60_000);
    await post(memory(4));
    expect([await memoryState(), (await messages()).length]).toEqual(['NOK', 1]);
    await post(memory(0));
    later(30 * 60_000);
    await post(memory(4));
    expect(await messages()).toHaveLength(2);
  });

  test('name all full disks in one message', async () => {
    const volumes = [
      { volume: '/', ...full },
      { volume: '/home', ...full },
      { volume: '/unknown', ...full },
    ];
    await post(Array.from({ length: 5 }, () => ({ memory: fine, volumes })));
    expect((await messages()).map(({ template: id, payload }) => [id, payload.data])).toEqual([
      [
        diskId,
        {
          volumes: [
            { path: '/', threshold: '90%' },
            { path: '/home', threshold: '90%' },
          ],
        },
      ],
    ]);
  });

  test('keep their state when nothing was measured', async () => {
    await post(memory(20));
    for (const points of [
      [],
      [{}],
      [{ memory: { used: 1, total: 0 } }],
      [{ memory: null, volumes: [{ volume: '/', used: null, total: null }] }],
    ])
      expect((await post(points)).status).toBe(204);
    expect(await memoryState()).toBe('NOK');
    const before = api.statements.length;
    await post(memory(20));
    expect(api.statements.slice(before).filter((text) => text.startsWith('update'))).toEqual([]);
  });

  test('that are off, or of a prebuild, or of somebody who is not active, tell nobody', async () => {
    const off = await insertRunningAgent(api, template, { ownerId: user.id });
    await watch(off.id, [], false);
    await post(memory(20), off.token);
    expect(await messages()).toEqual([]);

    const workspaceId = await insertWorkspaceOf(api.db, template);
    const prebuilt = await insertAgentOf(api, { workspaceId });
    await watch(prebuilt.id);
    expect((await post(memory(20), prebuilt.token)).status).toBe(204);
    expect(await messages(PREBUILDS_SYSTEM_USER_ID)).toEqual([]);

    const dormant = await api.createUser({ status: 'dormant' });
    const theirs = await insertRunningAgent(api, template, { ownerId: dormant.id });
    await watch(theirs.id);
    await post(memory(20), theirs.token);
    expect(await messages(dormant.id)).toEqual([]);
  });

  test('refuse more points or disks than there are to send', async () => {
    expect((await post(memory(0, 21))).status).toBe(400);
    const volumes = Array.from({ length: 21 }, (_, index) => ({ volume: `/${index}`, ...fine }));
    expect((await post([{ volumes }])).status).toBe(400);
    expect((await api.request('POST', path, { token: agent.token, body: {} })).status).toBe(400);
  });
});
