import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { workspaceAgentScriptTimings } from '../../db/schema/agent-reports.ts';
import { type TestAgent, insertRunningAgent } from '../support/agent-fixtures.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
let agent: TestAgent;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(async () => {
  agent = await insertRunningAgent(api, template, { connected: true, scripts: ['setup', 'other'] });
});

const second = (n: number) => new Date(Date.UTC(2026, 0, 1) + n * 1_000).toISOString();
const report = (body: Record<string, unknown> = {}) =>
  api.request('POST', '/api/v2/workspaceagents/me/script-timings', {
    token: agent.token,
    body: {
      script_id: agent.scripts['setup'],
      started_at: second(0),
      ended_at: second(2),
      exit_code: 0,
      stage: 'start',
      status: 'ok',
      ...body,
    },
  });
const runs = (scriptId = agent.scripts['setup']!) =>
  api.db
    .select({ startedAt: workspaceAgentScriptTimings.startedAt })
    .from(workspaceAgentScriptTimings)
    .where(eq(workspaceAgentScriptTimings.scriptId, scriptId))
    .orderBy(workspaceAgentScriptTimings.startedAt);

describe('Script timings', () => {
  test('are stored once, however often they are sent', async () => {
    const answers = await Promise.all([report(), report(), report()]);
    expect(answers.map(({ status }) => status)).toEqual([204, 204, 204]);
    expect((await report({ exit_code: 7 })).status).toBe(204);
    expect(await runs()).toHaveLength(1);
  });

  test('are refused without their times, backwards, and for scripts of others', async () => {
    const other = await insertRunningAgent(api, template, { scripts: ['theirs'] });
    for (const [body, field] of [
      [{ ended_at: '0001-01-01T00:00:00Z' }, 'ended_at'],
      [{ started_at: '0001-01-01T00:00:00Z' }, 'started_at'],
      [{ started_at: second(3) }, 'ended_at'],
      [{ script_id: other.scripts['theirs'] }, 'script_id'],
      [{ script_id: randomUUID() }, 'script_id'],
      [{ script_id: 'x' }, 'script_id'],
      [{ stage: 'sometimes' }, 'stage'],
      [{ status: 'fine' }, 'status'],
      [{ exit_code: 1.5 }, 'exit_code'],
      [{ started_at: 'yesterday' }, 'started_at'],
    ] as const) {
      const answer = await report(body);
      expect([body, answer.status, answer.body?.validations?.[0]?.field]).toEqual([body, 400, field]);
    }
    expect(await runs()).toEqual([]);
    expect(await runs(other.scripts['theirs'])).toEqual([]);
  });

  test('of the clock are kept for the last hundred runs, others for ever', async () => {
    await report({ started_at: second(-10), ended_at: second(-9) });
    await api.db.execute(sql`insert into workspace_agent_script_timings
      select ${agent.scripts['setup']!}, ${second(0)}::timestamptz + make_interval(secs => n),
        ${second(0)}::timestamptz + make_interval(secs => n), 0, 'cron', 'ok' from generate_series(1, 120) n`);
    await report({ stage: 'cron', started_at: second(121), ended_at: second(121) });
    const kept = (await runs()).map(({ startedAt }) => startedAt.toISOString());
    expect(kept).toHaveLength(101);
    expect([kept[0], kept[1], kept.at(-1)]).toEqual([second(-10), second(22), second(121)]);
  });

  test('are shown with their script and in the timings of the build: the first run of each', async () => {
    await report({ started_at: second(60), ended_at: second(61), exit_code: 0 });
    await report({ exit_code: 3, status: 'exit_failure' });
    const { body } = await api.request('GET', `/api/v2/workspaces/${agent.workspaceId}`, { token: api.ownerToken });
    const scripts = body.latest_build.resources[0].agents[0].scripts;
    expect(scripts.map((script: object) => ({ ...script, id: undefined, log_source_id: undefined }))).toMatchObject([
      { display_name: 'other' },
      { display_name: 'setup', exit_code: 3, status: 'exit_failure' },
    ]);
    expect(scripts[0]).not.toHaveProperty('exit_code');
    const path = `/api/v2/workspacebuilds/${body.latest_build.id}/timings`;
    const timings = await api.request('GET', path, { token: api.ownerToken });
    const ofAgent = { workspace_agent_id: agent.id, workspace_agent_name: 'main' };
    expect(timings.body.agent_script_timings).toEqual([
      {
        started_at: second(0),
        ended_at: second(2),
        exit_code: 3,
        stage: 'start',
        status: 'exit_failure',
        display_name: 'setup',
        ...ofAgent,
      },
    ]);
    expect(timings.body.agent_connection_timings).toEqual([
      { started_at: expect.any(String), ended_at: expect.any(String), stage: 'connect', ...ofAgent },
    ]);
    const latest = await api.request('GET', `/api/v2/workspaces/${agent.workspaceId}/timings`, {
      token: api.ownerToken,
    });
    expect(latest.body).toEqual(timings.body);
  });

  test('of an agent that never connected have no connection', async () => {
    const silent = await insertRunningAgent(api, template);
    const { body } = await api.request('GET', `/api/v2/workspaces/${silent.workspaceId}/timings`, {
      token: api.ownerToken,
    });
    expect(body.agent_connection_timings).toEqual([]);
  });
});
