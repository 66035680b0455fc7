import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workspaceAgentMetadataValues } from '../../db/schema/workspace-agents.ts';
import { workspaceAgentStats } from '../../db/schema/agent-reports.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { createAgentIngest } from '../../ingest/agent-ingest.ts';
import { type TestAgent, insertAgentOf } from '../support/agent-rows.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
let served: ServedApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
beforeAll(async () => {
  api = await createTestApi();
  served = await serveApi(api);
  template = await createTemplate(api);
});
afterAll(async () => {
  await served.close();
  await api.close();
});

const newAgent = async (workspaceId?: string): Promise<TestAgent> =>
  insertAgentOf(api, workspaceId ?? (await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id })), {
    metadataKeys: ['cpu', 'memory', 'disk'],
  });
const report = (agent: TestAgent, values: Record<string, string>) =>
  api.request('POST', '/api/v2/workspaceagents/me/metadata', {
    token: agent.token,
    body: { metadata: Object.entries(values).map(([key, value]) => ({ key, value, error: '' })) },
  });
const stored = async (agent: TestAgent) =>
  Object.fromEntries(
    (
      await api.db
        .select({ key: workspaceAgentMetadataValues.key, value: workspaceAgentMetadataValues.value })
        .from(workspaceAgentMetadataValues)
        .where(eq(workspaceAgentMetadataValues.workspaceAgentId, agent.id))
    ).map(({ key, value }) => [key, value]),
  );

describe('metadata', () => {
  test('is gathered, the newest of each key, and written in one statement for all agents', async () => {
    const agents = await Promise.all(Array.from({ length: 10 }, () => newAgent()));
    for (const agent of agents) {
      expect((await report(agent, { cpu: '1', nonsense: 'x' })).status).toBe(204);
      expect((await report(agent, { cpu: '2', memory: '3' })).status).toBe(204);
    }
    const before = api.statements.length;
    await api.deps.agents.metadata.flush();
    expect(
      api.statements.slice(before).filter((text) => text.includes('insert into workspace_agent_metadata_values')),
    ).toHaveLength(1);
    for (const agent of agents) expect(await stored(agent)).toEqual({ cpu: '2', memory: '3' });
  });

  test('is known by its definition also when a crash of the database has emptied its values', async () => {
    const agent = await newAgent();
    await report(agent, { cpu: '1' });
    await api.deps.agents.metadata.flush();
    await api.db.execute(sql`truncate workspace_agent_metadata_values`);
    await report(agent, { cpu: '2' });
    await api.deps.agents.metadata.flush();
    expect(await stored(agent)).toEqual({ cpu: '2' });
  });

  test('under one key in the old form', async () => {
    const agent = await newAgent();
    const path = '/api/v2/workspaceagents/me/metadata/cpu';
    expect((await api.request('POST', path, { token: agent.token, body: { value: '7' } })).status).toBe(204);
    await api.deps.agents.metadata.flush();
    expect((await stored(agent))['cpu']).toBe('7');
  });

  test('with keys that are too long keeps those before', async () => {
    const agent = await newAgent();
    const answer = await report(agent, { cpu: '1', ['k'.repeat(6_142)]: 'x', disk: '2' });
    expect(answer.status).toBe(400);
    await api.deps.agents.metadata.flush();
    expect(await stored(agent)).toEqual({ cpu: '1' });
  });
});

describe('a watcher of metadata', () => {
  type Event = { result: { value: string; age: number }; description: { key: string } }[];
  const watch = (agent: TestAgent, token = api.ownerToken) =>
    served.socket(`/workspaceagents/${agent.id}/watch-metadata-ws`, token);
  const events = (frames: readonly string[]): Event[] =>
    frames.map((frame) => JSON.parse(frame)).flatMap(({ type, data }) => (type === 'data' ? [data] : []));

  test('is told at once, then of changes together, then again so that the age goes on', async () => {
    const agent = await newAgent();
    const watcher = watch(agent);
    await waitFor('the first event', async () => events(watcher.frames).length === 1, 500);
    expect(events(watcher.frames)[0]!.map(({ description }) => description.key)).toEqual(['cpu', 'memory', 'disk']);
    for (const value of ['1', '2', '3']) await report(agent, { cpu: value, disk: value });
    await api.deps.agents.metadata.flush();
    await waitFor('the change', async () => events(watcher.frames).length === 2, 2_000);
    expect(events(watcher.frames)[1]!.map(({ result }) => result.value)).toEqual(['3', '', '3']);
    await waitFor('the heartbeat', async () => events(watcher.frames).length === 3, 6_000);
  });

  test('costs the database nothing: any number of them is one read', async () => {
    const agent = await newAgent();
    const watchers = Array.from({ length: 50 }, () => watch(agent));
    for (const { frames } of watchers) await waitFor('the first event', async () => events(frames).length > 0);
    await new Promise((done) => setTimeout(done, 1_100));
    await report(agent, { cpu: 'changed' });
    const before = api.statements.length;
    await api.deps.agents.metadata.flush();
    for (const { frames } of watchers)
      await waitFor('the change', async () => events(frames).some(([cpu]) => cpu!.result.value === 'changed'));
    const reads = api.statements.slice(before).filter((text) => /select .*from "workspace_agent_metadata"/s.test(text));
    expect(reads).toHaveLength(1);
  });

  test('gets server-sent events too, and no stranger does', async () => {
    const agent = await newAgent();
    const leave = new AbortController();
    const response = await fetch(`${served.url}/api/v2/workspaceagents/${agent.id}/watch-metadata`, {
      headers: { 'Coder-Session-Token': api.ownerToken },
      signal: leave.signal,
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    await waitFor('the event', async () => {
      text += (await reader.read()).value ?? '';
      return text.includes('event: data');
    });
    expect(text).toContain('"key":"cpu"');
    leave.abort();
    const stranger = await api.createUser();
    const path = `/api/v2/workspaceagents/${agent.id}/watch-metadata`;
    expect((await api.request('GET', path, stranger)).status).toBe(404);
  });
});

describe('statistics', () => {
  const stats = (agent: TestAgent, body?: object) =>
    api.request('POST', '/api/v2/workspaceagents/me/report-stats', { token: agent.token, body });
  const rows = async (agent: TestAgent) =>
    api.db
      .select({ usage: workspaceAgentStats.usage, vscode: workspaceAgentStats.sessionCountVscode })
      .from(workspaceAgentStats)
      .where(eq(workspaceAgentStats.agentId, agent.id));
  const lastUsed = async ({ workspaceId }: TestAgent) =>
    (await api.db.select({ at: workspaces.lastUsedAt }).from(workspaces).where(eq(workspaces.id, workspaceId)))[0]!.at;

  test('are answered with the interval in nanoseconds; an empty body only asks', async () => {
    const agent = await newAgent();
    const asked = await stats(agent);
    expect([asked.status, asked.text]).toEqual([200, '{"report_interval":30000000000}']);
    expect((await stats(agent, { rx_bytes: -1 })).status).toBe(400);
    await api.deps.agents.stats.flush();
    expect(await rows(agent)).toEqual([]);
  });

  test('of an idle agent are stored now and then, of a used one always', async () => {
    const agent = await newAgent();
    await stats(agent, { connection_count: 0 });
    await stats(agent, { connection_count: 0 });
    await stats(agent, { connection_count: 1, session_counts: { VSCode: 1 } });
    await stats(agent, { connection_count: 0 });
    await api.deps.agents.stats.flush();
    expect(await rows(agent)).toEqual([
      { usage: false, vscode: 0 },
      { usage: true, vscode: 1 },
      { usage: false, vscode: 0 },
    ]);
  });

  test('of a used workspace move when it was used, and its deadline', async () => {
    const soon = new Date(Date.now() + 60_000);
    const id = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id, deadline: soon });
    const agent = await newAgent(id);
    await stats(agent, { connection_count: 1 });
    await api.deps.agents.usage.flush();
    expect(await lastUsed(agent)).toEqual(api.clock.now);
    const [build] = await api.db
      .select({ deadline: workspaceBuilds.deadline })
      .from(workspaceBuilds)
      .where(eq(workspaceBuilds.workspaceId, id));
    expect(build!.deadline).toEqual(new Date(api.clock.now.getTime() + 3_600_000));
  });

  test('never move the time of use back, whoever writes last', async () => {
    const agent = await newAgent();
    const later = new Date(Date.now() + 60_000);
    const other = createAgentIngest({ ...api.deps });
    try {
      other.usage.used(agent.workspaceId, later);
      await other.usage.flush();
      api.deps.agents.usage.used(agent.workspaceId, new Date());
      await api.deps.agents.usage.flush();
      expect(await lastUsed(agent)).toEqual(later);
    } finally {
      await other.close();
    }
  });

  test('of a prebuild count neither as use nor as activity', async () => {
    const soon = new Date(Date.now() + 60_000);
    const id = await insertWorkspaceOf(api.db, template, {});
    await api.db.execute(sql`update workspace_builds set deadline = ${soon.toISOString()} where workspace_id = ${id}`);
    const agent = await newAgent(id);
    await stats(agent, { connection_count: 5 });
    await Promise.all([api.deps.agents.stats.flush(), api.deps.agents.usage.flush()]);
    expect(await rows(agent)).toEqual([{ usage: true, vscode: 0 }]);
    expect(await lastUsed(agent)).toEqual(new Date(0));
  });
});
