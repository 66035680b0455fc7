import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { agentLimits } from '../../domain/agent-limits.ts';
import { type TestAgent, insertRunningAgent } from '../support/agent-fixtures.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate } from '../support/template-rows.ts';

const fallback = 'https://help.example/agents';
let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
let agent: TestAgent;
beforeAll(async () => {
  api = await createTestApi({ env: { CODER_AGENT_FALLBACK_TROUBLESHOOTING_URL: fallback } });
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(async () => {
  agent = await insertRunningAgent(api, template);
});

const send = (method: string, path: string, body: unknown) =>
  api.request(method, `/api/v2/workspaceagents/me/${path}`, { token: agent.token, body });
const startup = (body: Record<string, unknown>) =>
  send('POST', 'startup', { version: 'v1.0.0', expanded_directory: '/', subsystems: [], ...body });
const subAgent = (body: Record<string, unknown>) =>
  send('POST', 'sub-agents', { name: 'dev', directory: '/w', ...body });
const source = (body: Record<string, unknown>) =>
  send('POST', 'log-source', { id: '11111111-1111-4111-8111-111111111111', display_name: 'S', icon: '', ...body });
const usage = (volumes: unknown[]) => send('POST', 'resources-monitoring', { datapoints: [{ volumes }] });
const fill = (length: number) => 'x'.repeat(length);
const volume = (path: string) => ({ volume: path, used: 1, total: 2 });

interface Case {
  readonly field: string;
  readonly max: number;
  readonly send: (size: number) => ReturnType<typeof send>;
}
const cases: readonly Case[] = [
  { field: 'version', max: 64, send: (size) => startup({ version: `v1.0.0-${fill(size - 7)}` }) },
  {
    field: 'expanded_directory',
    max: agentLimits.expandedDirectory.max,
    send: (size) => startup({ expanded_directory: fill(size) }),
  },
  { field: 'directory', max: agentLimits.directory.max, send: (size) => subAgent({ directory: fill(size) }) },
  { field: 'architecture', max: agentLimits.architecture.max, send: (size) => subAgent({ architecture: fill(size) }) },
  {
    field: 'operating_system',
    max: agentLimits.operatingSystem.max,
    send: (size) => subAgent({ operating_system: fill(size) }),
  },
  { field: 'name', max: 64, send: (size) => subAgent({ name: fill(size) }) },
  { field: 'display_name', max: 127, send: (size) => source({ display_name: fill(size) }) },
  { field: 'icon', max: 256, send: (size) => source({ icon: fill(size) }) },
  {
    field: 'datapoints.0.volumes.0.volume',
    max: agentLimits.volumePath.max,
    send: (size) => usage([volume(fill(size))]),
  },
  {
    field: 'datapoints.0.volumes',
    max: agentLimits.volumeMonitors.max,
    send: (size) => usage(Array.from({ length: size }, (_, i) => volume(`/${i}`))),
  },
];

describe('An agent', () => {
  test.each(cases)('may reach a limit and not pass it: $field', async ({ field, max, send: sendSized }) => {
    const refused = await sendSized(max + 1);
    expect([refused.status, refused.body.validations?.[0]?.field]).toEqual([400, field]);
    expect((await sendSized(max)).status).toBeLessThan(300);
  });

  const inApp: readonly (readonly [string, number, (size: number) => Record<string, unknown>])[] = [
    ['slug', 64, (size) => ({ slug: fill(size) })],
    ['display_name', agentLimits.appDisplayName.max, (size) => ({ display_name: fill(size) })],
    ['icon', agentLimits.appIcon.max, (size) => ({ icon: fill(size) })],
    ['command', agentLimits.appCommand.max, (size) => ({ command: fill(size) })],
    ['url', agentLimits.appUrl.max, (size) => ({ url: fill(size) })],
    ['group', agentLimits.appGroup.max, (size) => ({ group: fill(size) })],
    ['tooltip', agentLimits.appTooltip.max, (size) => ({ tooltip: fill(size) })],
    ['healthcheck.url', agentLimits.appUrl.max, (size) => ({ healthcheck: { url: fill(size) } })],
    [
      'healthcheck.interval',
      agentLimits.healthcheckIntervalSeconds.max,
      (interval) => ({ healthcheck: { url: 'http://x', interval, threshold: 1 } }),
    ],
    [
      'healthcheck.threshold',
      agentLimits.healthcheckThreshold.max,
      (threshold) => ({ healthcheck: { url: 'http://x', interval: 1, threshold } }),
    ],
  ];

  test('is told which of its apps pass a limit, and gets those that reach one', async () => {
    const over = inApp.map(([, max, at], index) => ({ slug: `a${index}`, ...at(max + 1) }));
    const errors = (await subAgent({ name: 'over', apps: over })).body.app_creation_errors;
    expect(errors.map((each: { index: number; field: string }) => [each.index, each.field])).toEqual(
      inApp.map(([field], index) => [index, field]),
    );
    const just = inApp.map(([, max, at], index) => ({ slug: `a${index}`, ...at(max) }));
    expect((await subAgent({ name: 'just', apps: just })).body.app_creation_errors).toEqual([]);
  });

  test('has its characters counted as the columns do', async () => {
    const apps = [{ slug: 'a', display_name: '😀'.repeat(64) }];
    expect((await subAgent({ apps })).body.app_creation_errors).toEqual([]);
    const nul = await subAgent({ name: 'nul', directory: 'a\0b' });
    expect([nul.status, nul.body.validations[0].field]).toEqual([400, 'directory']);
  });
});

describe('An agent as its people see it', () => {
  const seen = async () => {
    const read = async (path: string) => (await api.request('GET', `/api/v2${path}`, { token: api.ownerToken })).body;
    const workspace = await read(`/workspaces/${agent.workspaceId}`);
    const list = await read('/workspaces');
    const listed = list.workspaces.find((each: { id: string }) => each.id === agent.workspaceId);
    const resources = await read(`/workspacebuilds/${workspace.latest_build.id}/resources`);
    return [
      await read(`/workspaceagents/${agent.id}`),
      workspace.latest_build.resources[0].agents[0],
      listed.latest_build.resources[0].agents[0],
      resources[0].agents[0],
    ];
  };

  test('has no latency, and the address for help of the deployment unless the template gives one', async () => {
    for (const each of await seen()) expect(each).toMatchObject({ latency: {}, troubleshooting_url: fallback });
    await api.db
      .update(workspaceAgents)
      .set({ troubleshootingUrl: 'https://own.example' })
      .where(eq(workspaceAgents.id, agent.id));
    for (const each of await seen()) expect(each.troubleshooting_url).toBe('https://own.example');
  });
});
