import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { templates } from '../../db/schema/templates.ts';
import { workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { workspaces } from '../../db/schema/workspaces.ts';
import type { ReportedMetric } from '../../domain/agent-metrics.ts';
import { createAgentMetrics } from '../../telemetry/agent-metrics.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { type TestAgent, insertAgentOf } from '../support/agent-rows.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
beforeAll(async () => {
  api = await createTestApi({ env: { CODER_PROMETHEUS_COLLECT_AGENT_STATS: 'true' } });
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(() => {
  // What earlier tests reported is over.
  api.clock.now = new Date(api.clock.now.getTime() + 200_000);
});

const later = (seconds: number) => {
  api.clock.now = new Date(api.clock.now.getTime() + seconds * 1_000);
};
const newAgent = async (name?: string): Promise<TestAgent> => {
  const agent = await insertAgentOf(api, await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id }));
  if (name !== undefined) await api.db.update(workspaces).set({ name }).where(eq(workspaces.id, agent.workspaceId));
  return agent;
};
const metric = (given: Partial<ReportedMetric>): ReportedMetric => ({
  name: 'load',
  type: 'gauge',
  value: 1,
  labels: [],
  ...given,
});
const report = (agent: TestAgent, metrics: unknown[]) =>
  api.request('POST', '/api/v2/workspaceagents/me/report-stats', {
    token: agent.token,
    body: { connection_count: 0, metrics },
  });
const page = () => api.deps.metrics.registry.metrics();
/** Lines of one family, as an operator reads them. */
const shown = async (name: string): Promise<string[]> =>
  (await page()).split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
const place = (workspace: string) =>
  `agent_name="main",template_name="${template.name}",username="owner",workspace_name="${workspace}"`;

describe("agents' own metrics", () => {
  test('are shown with the names of the agent, its workspace, its owner and its template', async () => {
    const agent = await newAgent('first');
    const labels = [
      { name: 'disk', value: 'say "C:\\"\n' },
      { name: 'none', value: '' },
    ];
    expect((await report(agent, [metric({ name: 'disk_free', value: 1.5, labels })])).status).toBe(200);
    expect(await shown('disk_free')).toEqual([`disk_free{${place('first')},disk="say \\"C:\\\\\\"\\n"} 1.5`]);
    expect(await page()).toContain('# TYPE disk_free gauge\n');
    await report(agent, [metric({ name: 'jobs_total', type: 'counter', value: 7 })]);
    expect(await page()).toContain(`# TYPE jobs_total counter\njobs_total{${place('first')}} 7\n`);
    // Only the last report counts.
    expect(await page()).not.toContain('disk_free');
    await api.db.update(workspaces).set({ name: 'renamed' }).where(eq(workspaces.id, agent.workspaceId));
    expect(await shown('jobs_total')).toEqual([`jobs_total{${place('renamed')}} 7`]);
  });

  test('of many agents are one family, whose names are read once per page', async () => {
    for (const agent of [await newAgent('a'), await newAgent('b')])
      await report(agent, [metric({}), metric({ name: 'other' })]);
    api.statements.length = 0;
    expect(await shown('load')).toEqual([`load{${place('a')}} 1`, `load{${place('b')}} 1`]);
    expect(api.statements.filter((text) => text.includes('as workspace_name'))).toHaveLength(1);
    expect((await page()).match(/# TYPE load /g)).toHaveLength(1);
  });

  test('end two minutes after the last report, and with the workspace', async () => {
    const [agent, deleted] = [await newAgent('stays'), await newAgent('goes')];
    await report(agent, [metric({})]);
    await report(deleted, [metric({})]);
    later(119);
    expect(await shown('load')).toHaveLength(2);
    await api.db.update(workspaces).set({ deleted: true }).where(eq(workspaces.id, deleted.workspaceId));
    expect(await shown('load')).toEqual([`load{${place('stays')}} 1`]);
    await report(agent, [metric({ value: 2 })]);
    later(119);
    expect(await shown('load')).toEqual([`load{${place('stays')}} 2`]);
    later(1);
    expect(await shown('load')).toEqual([]);
    expect(await page()).not.toContain('TYPE load');
  });

  test('cannot pass for the server, break the page or take the names of others', async () => {
    const agent = await newAgent('bad');
    await report(agent, [
      metric({ name: 'coderd_build_info', value: 666 }),
      metric({ name: 'process_cpu_seconds_total', value: 666 }),
      metric({ name: 'up', value: 666 }),
      metric({ name: '', value: 666 }),
      metric({ name: '9 bad-name{}', value: 1 }),
      metric({
        name: 'labels',
        labels: [
          { name: 'username', value: 'admin' },
          { name: '__name__', value: 'up' },
          { name: '__proto__', value: 'x' },
          { name: '1 a="', value: 'v' },
        ],
      }),
      metric({ name: 'twice', value: 1 }),
      metric({ name: 'twice', value: 2 }),
      metric({ name: 'both', type: 'gauge', value: 1 }),
      metric({ name: 'both', type: 'counter', value: 2 }),
      metric({ name: 'many', labels: Array.from({ length: 21 }, (_, n) => ({ name: `l${n}`, value: 'x' })) }),
    ]);
    const text = await page();
    expect(text).not.toMatch(/ 666$/m);
    expect(text).not.toContain('TYPE many');
    expect(await shown('_9_bad_name__')).toEqual([`_9_bad_name__{${place('bad')}} 1`]);
    expect(await shown('labels')).toEqual([`labels{${place('bad')},_1_a__="v",exported_username="admin"} 1`]);
    expect(await shown('twice')).toEqual([`twice{${place('bad')}} 2`]);
    expect(await shown('both')).toEqual([`both{${place('bad')}} 1`]);
    expect(text).toContain('coderd_metrics_series_dropped_total{family="agent_metrics"} 6');
    for (const line of text.split('\n'))
      expect(line).toMatch(
        /^$|^# (HELP|TYPE) [a-zA-Z_][a-zA-Z0-9_]* .+$|^[a-zA-Z_]\w*(\{([a-zA-Z_]\w*="([^"\\\n]|\\.)*",?)*\})? \S+$/,
      );
    expect(
      (
        await report(
          agent,
          Array.from({ length: 201 }, () => metric({})),
        )
      ).status,
    ).toBe(400);
  });

  test('stay away while the names cannot be read, and come back', async () => {
    const agent = await newAgent('back');
    await report(agent, [metric({})]);
    await api.db.execute(sql`alter table templates rename to templates_away`);
    try {
      expect(await shown('load')).toEqual([]);
      expect(await page()).toMatch(/coderd_metrics_snapshot_errors_total\{snapshot="agent_names"\} [12]/);
    } finally {
      await api.db.execute(sql`alter table templates_away rename to templates`);
    }
    expect(await shown('load')).toEqual([`load{${place('back')}} 1`]);
    await api.db.update(templates).set({ name: 'fresh' }).where(eq(templates.id, template.id));
    expect((await shown('load'))[0]).toContain('template_name="fresh"');
    await api.db.update(templates).set({ name: template.name }).where(eq(templates.id, template.id));
  });
});

describe('the collector', () => {
  const names = new Map(
    ['1', '2', '3'].map((id) => [
      id,
      {
        agent_name: 'main',
        template_name: id === '3' ? 'other' : 'same',
        username: `u${id}`,
        workspace_name: `w${id}`,
      },
    ]),
  );
  const collector = (options: { collect?: boolean; aggregateBy?: ('template_name' | 'username')[] }) => {
    const metrics = createMetrics({ version: 'test', defaultMetrics: false });
    const { logger } = api.deps;
    const [readPlaces, readStatuses, now] = [async () => names, async () => [], () => api.clock.now];
    const { collect = true, aggregateBy = [] } = options;
    const agents = createAgentMetrics({ metrics, logger, collect, aggregateBy, readPlaces, readStatuses, now });
    return { agents, text: () => metrics.registry.metrics() };
  };

  test('shows nothing unless it is switched on', async () => {
    const { agents, text } = collector({ collect: false });
    agents.take('1', [metric({})]);
    expect(await text()).not.toContain('load');
  });

  test('sums what the labels that are left do not tell apart', async () => {
    const { agents, text } = collector({ aggregateBy: ['template_name'] });
    for (const [id, value] of [
      ['1', 1],
      ['2', 10],
      ['3', 100],
    ] as const)
      agents.take(id, [metric({ value })]);
    expect(await text()).toContain('load{template_name="same"} 11\nload{template_name="other"} 100\n');
  });

  test('keeps no more than it may, and none of what is over', async () => {
    const { agents, text } = collector({});
    const many = (prefix: string) => Array.from({ length: 200 }, (_, n) => metric({ name: `${prefix}_${n}` }));
    for (const id of ['1', '2', '3', '4', '5', '6']) agents.take(id, many(`m${id}`));
    const all = await text();
    expect(all.match(/# TYPE m\d_/g)).toHaveLength(1_000);
    expect(all).toContain('coderd_metrics_series_dropped_total{family="agent_metrics"} 200');
    // Room again: names that are reported no longer count no longer.
    agents.take('1', []);
    agents.take('6', many('m6'));
    expect((await text()).match(/# TYPE m6_/g)).toHaveLength(200);
    later(120);
    agents.take('6', []);
    expect(await text()).not.toMatch(/# TYPE m\d_/);
  });
});

describe('coderd_agents_status', () => {
  test('counts the agents of latest builds by status and lifecycle state, at most every 15 seconds', async () => {
    await api.db.execute(sql`update workspaces set deleted = true`);
    const [connected, connecting, older, gone] = [
      await newAgent(),
      await newAgent(),
      await newAgent(),
      await newAgent(),
    ];
    await api.db.execute(sql`
      update workspace_agent_connections set first_connected_at = now(), last_connected_at = now()
      where agent_id = ${connected.id}`);
    await api.db.update(workspaceAgents).set({ lifecycleState: 'ready' }).where(eq(workspaceAgents.id, connected.id));
    await api.db.execute(sql`update workspace_builds set is_latest = false where workspace_id = ${older.workspaceId}`);
    await api.db.update(workspaceAgents).set({ deleted: true }).where(eq(workspaceAgents.id, gone.id));
    later(16);
    const expected = [
      'coderd_agents_status{status="connected",lifecycle_state="ready"} 1',
      'coderd_agents_status{status="connecting",lifecycle_state="created"} 1',
    ];
    expect((await shown('coderd_agents_status')).toSorted()).toEqual(expected);
    await api.db
      .update(workspaceAgents)
      .set({ lifecycleState: 'start_error' })
      .where(eq(workspaceAgents.id, connecting.id));
    later(14);
    api.statements.length = 0;
    expect((await shown('coderd_agents_status')).toSorted()).toEqual(expected);
    expect(api.statements.filter((text) => text.includes('lifecycle_state'))).toEqual([]);
    later(1);
    expect((await shown('coderd_agents_status')).toSorted()).toEqual([
      expected[0],
      'coderd_agents_status{status="connecting",lifecycle_state="start_error"} 1',
    ]);
  });

  test('stays as it was while the database cannot be read', async () => {
    later(16);
    const before = await shown('coderd_agents_status');
    expect(before).not.toEqual([]);
    await api.db.execute(sql`alter table workspace_resources rename to resources_away`);
    try {
      later(16);
      expect(await shown('coderd_agents_status')).toEqual(before);
      expect(await page()).toContain('coderd_metrics_snapshot_errors_total{snapshot="agents_status"} 1');
    } finally {
      await api.db.execute(sql`alter table resources_away rename to workspace_resources`);
    }
  });
});
