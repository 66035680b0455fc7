import { randomUUID } from 'node:crypto';
import { MockActivityEnvironment } from '@temporalio/testing';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createRunUpkeep } from '../../activities/run-upkeep.ts';
import { workspaceAgentLogs, workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import type { UpkeepResult } from '../../workflows/run-upkeep.ts';
import { type TestAgent, insertAgentOf } from '../support/agent-rows.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate, insertBuildOf, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(async () => {
  await api.db.execute(sql`truncate workspace_agent_logs, workspace_agent_stats, workspace_agent_requests`);
});

const nothing: UpkeepResult = { startsMoved: 0, agentLogs: 0, agentStats: 0, agentRequests: 0, finished: true };
const weekMs = 7 * 24 * 3_600_000;

interface Run {
  readonly retentionMs?: number;
  readonly rows?: number;
  readonly agents?: number;
  readonly environment?: MockActivityEnvironment;
}
const metrics = createMetrics({ version: 'test', defaultMetrics: false });
/** One attempt, as the worker would run it. */
const upkeep = async (run: Run = {}): Promise<UpkeepResult> => {
  const { retentionMs = weekMs, rows = 10_000, agents = 200, environment = new MockActivityEnvironment() } = run;
  const activity = createRunUpkeep({ db: api.db, metrics, agentLogRetentionMs: retentionMs }, { rows, agents });
  return (await environment.run(activity)) as UpkeepResult;
};

/** An agent with logs; `current` = of its workspace's latest build. */
async function agentWithLogs(options: {
  current: boolean;
  createdDaysAgo?: number;
  seenDaysAgo?: number;
  lines?: number;
}): Promise<TestAgent> {
  const { createdDaysAgo = 30, lines = 1 } = options;
  const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
  const agent = await insertAgentOf(api, workspaceId);
  await api.db
    .update(workspaceAgents)
    .set({ createdAt: sql`now() - ${createdDaysAgo} * interval '1 day'` })
    .where(eq(workspaceAgents.id, agent.id));
  if (options.seenDaysAgo !== undefined)
    await api.db.execute(sql`
      update workspace_agent_connections set last_connected_at = now() - ${options.seenDaysAgo} * interval '1 day'
      where agent_id = ${agent.id}`);
  await api.db.execute(sql`
    insert into workspace_agent_logs (agent_id, created_at, output, log_source_id)
    select ${agent.id}, now(), 'line ' || n, ${randomUUID()} from generate_series(1, ${lines}::int) n`);
  if (!options.current) {
    await api.db.execute(sql`update workspace_builds set is_latest = false where workspace_id = ${workspaceId}`);
    await insertBuildOf(api.db, {
      workspaceId,
      versionId: template.active_version_id,
      transition: 'stop',
      runMs: 1,
    });
  }
  return agent;
}
const linesOf = ({ id }: TestAgent) => api.db.$count(workspaceAgentLogs, eq(workspaceAgentLogs.agentId, id));
const lines = (agents: TestAgent[]) => Promise.all(agents.map(linesOf));

const insertStats = (daysAgo: number, count = 1) =>
  api.db.execute(sql`
    insert into workspace_agent_stats (created_at, user_id, agent_id, workspace_id, template_id)
    select now() - ${daysAgo} * interval '1 day' - n * interval '1 second', gen_random_uuid(), gen_random_uuid(),
      gen_random_uuid(), gen_random_uuid() from generate_series(1, ${count}::int) n`);
const insertRequest = (agent: TestAgent, minutesAgo: number) =>
  api.db.execute(sql`
    insert into workspace_agent_requests (id, agent_id, created_at, method)
    values (gen_random_uuid(), ${agent.id}, now() - ${minutesAgo} * interval '1 minute', 'containers.list')`);
const count = async (table: 'workspace_agent_stats' | 'workspace_agent_requests'): Promise<number> => {
  const [row] = await api.db.execute<{ n: number }>(sql`select count(*)::int as n from ${sql.identifier(table)}`);
  return row!.n;
};

describe('the upkeep', () => {
  test('deletes logs of agents of earlier builds that were not seen for a week, and no others', async () => {
    const gone = [
      await agentWithLogs({ current: false, seenDaysAgo: 8, lines: 3 }),
      await agentWithLogs({ current: false, createdDaysAgo: 8, lines: 2 }),
    ];
    const kept = [
      await agentWithLogs({ current: true, seenDaysAgo: 8 }),
      await agentWithLogs({ current: true }),
      await agentWithLogs({ current: false, seenDaysAgo: 6 }),
      await agentWithLogs({ current: false, createdDaysAgo: 6 }),
    ];
    expect(await upkeep()).toEqual({ ...nothing, agentLogs: 5 });
    expect(await lines(gone)).toEqual([0, 0]);
    expect(await lines(kept)).toEqual([1, 1, 1, 1]);
    expect(await upkeep()).toEqual(nothing);
    expect(await upkeep({ retentionMs: weekMs / 2 })).toEqual({ ...nothing, agentLogs: 2 });
    expect(await lines(kept)).toEqual([1, 1, 0, 0]);
  });

  test('moves automatic starts that were computed with other time-zone data', async () => {
    const insert = async (ownerId?: string) => {
      const id = await insertWorkspaceOf(api.db, template, ownerId === undefined ? {} : { ownerId });
      if (ownerId !== undefined)
        await api.db.execute(sql`
          update workspaces set autostart_schedule = 'CRON_TZ=UTC 0 9 * * *',
            next_start_at = date_trunc('day', now() at time zone 'utc') at time zone 'utc' + interval '57 hours' where id = ${id}`);
      return id;
    };
    // The day after tomorrow at nine: tomorrow's or today's was left out.
    const wrong = await insert(api.owner.id);
    await insert();
    const nextOf = async () =>
      (await api.db.execute<{ at: string }>(sql`select next_start_at as at from workspaces where id = ${wrong}`))[0]!
        .at;
    expect(await upkeep()).toEqual({ ...nothing, startsMoved: 1 });
    const next = new Date(await nextOf());
    expect(next.getUTCHours()).toBe(9);
    expect(next.getTime() - Date.now()).toBeGreaterThan(0);
    expect(next.getTime() - Date.now()).toBeLessThanOrEqual(24 * 3_600_000);
    expect(await upkeep()).toEqual(nothing);
    await api.db.execute(sql`update workspaces set deleted = true where id = ${wrong}`);
  });

  test('keeps logs for ever when it is told so', async () => {
    const agent = await agentWithLogs({ current: false, createdDaysAgo: 1_000 });
    expect(await upkeep({ retentionMs: 0 })).toEqual(nothing);
    expect(await linesOf(agent)).toBe(1);
  });

  test('deletes statistics after 180 days, and questions to agents after an hour', async () => {
    const agent = await agentWithLogs({ current: true });
    await insertStats(181, 3);
    await insertStats(179, 2);
    await insertRequest(agent, 61);
    await insertRequest(agent, 59);
    expect(await upkeep()).toEqual({ ...nothing, agentStats: 3, agentRequests: 1 });
    expect([await count('workspace_agent_stats'), await count('workspace_agent_requests')]).toEqual([2, 1]);
    expect(await upkeep()).toEqual(nothing);
  });

  test('deletes no more rows per statement than it may, of all agents, with a heartbeat after each', async () => {
    const agents = [];
    for (let n = 0; n < 5; n += 1)
      agents.push(await agentWithLogs({ current: n === 4, createdDaysAgo: 10, lines: n === 0 ? 25 : 4 }));
    await insertStats(200, 12);
    const environment = new MockActivityEnvironment();
    const beats: UpkeepResult[] = [];
    environment.on('heartbeat', (details: UpkeepResult) => beats.push(details));
    api.statements.length = 0;
    expect(await upkeep({ rows: 10, agents: 2, environment })).toEqual({ ...nothing, agentLogs: 37, agentStats: 12 });
    expect(await lines(agents)).toEqual([0, 0, 0, 0, 4]);
    const deletions = api.statements.filter((text) => text.includes('delete from'));
    expect(beats.length).toBeGreaterThanOrEqual(deletions.length);
    const steps = beats.map((beat, n) => {
      const before = beats[n - 1] ?? nothing;
      return beat.agentLogs - before.agentLogs + beat.agentStats - before.agentStats;
    });
    expect(Math.max(...steps)).toBe(10);
    expect(await upkeep({ rows: 10, agents: 2 })).toEqual(nothing);
  });

  test('goes on where it was cut, and counts what was deleted before', async () => {
    const agent = await agentWithLogs({ current: false, lines: 30 });
    await insertStats(200, 5);
    const cut = new MockActivityEnvironment();
    let last: unknown;
    cut.on('heartbeat', (details: unknown) => {
      last = details;
      cut.cancel('WORKER_SHUTDOWN');
    });
    await expect(upkeep({ rows: 10, environment: cut })).rejects.toThrow('WORKER_SHUTDOWN');
    expect(await linesOf(agent)).toBe(20);
    expect(await count('workspace_agent_stats')).toBe(5);
    const next = new MockActivityEnvironment({ attempt: 2, heartbeatDetails: last });
    expect(await upkeep({ rows: 10, environment: next })).toEqual({ ...nothing, agentLogs: 30, agentStats: 5 });
    expect(await linesOf(agent)).toBe(0);
    const page = await metrics.registry.metrics();
    expect(page).toContain('coderd_dbpurge_iteration_duration_seconds_count{success="false"} 1');
    expect(page).toMatch(/coderd_dbpurge_records_purged_total\{record_type="workspace_agent_logs"\} \d\d/);
  });

  test('looks at agents that have logs only, through indexes', async () => {
    await agentWithLogs({ current: false, lines: 3 });
    await insertStats(200, 3);
    const plans: string[] = [];
    api.statements.length = 0;
    await upkeep();
    const texts = api.statements.filter((text) => /delete from|recursive/.test(text));
    expect(texts.length).toBe(4);
    await api.db.transaction(async (tx) => {
      // The tables of a test are so small that reading them whole would be best.
      await tx.execute(sql`set local enable_seqscan = off`);
      for (const text of texts) {
        const literal = text
          .replaceAll(
            '$1',
            text.includes('json_array')
              ? `'["${randomUUID()}"]'`
              : text.includes('recursive')
                ? `'${randomUUID()}'`
                : 'now()',
          )
          .replaceAll('$2', text.includes('recursive') ? '200' : '10000')
          .replaceAll('$3', 'now()');
        const rows = await tx.execute<{ 'QUERY PLAN': string }>(sql.raw(`explain ${literal}`));
        plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'));
      }
    });
    for (const plan of plans) expect(plan).not.toContain('Seq Scan');
  });
});
