import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { transaction } from '../../db/client.ts';
import { workspaceAgentConnections, workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { type TestAgent, announce, insertAgentOf, insertScriptOf } from '../support/agent-rows.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { createTemplate, insertBuildOf, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';
import { requestShutdowns } from '../../db/queries/agent-shutdowns.ts';

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

const workspace = () => insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
const newAgent = async (): Promise<TestAgent> => insertAgentOf(api, await workspace());
const connect = (agent: TestAgent, query = '?version=3.0&role=agent') =>
  served.socket(`/workspaceagents/me/connect${query}`, agent.token);
const times = async (agent: TestAgent) =>
  (
    await api.db
      .select({
        first: workspaceAgentConnections.firstConnectedAt,
        last: workspaceAgentConnections.lastConnectedAt,
        disconnected: workspaceAgentConnections.disconnectedAt,
      })
      .from(workspaceAgentConnections)
      .where(eq(workspaceAgentConnections.agentId, agent.id))
  )[0]!;
const health = async (agent: TestAgent) => {
  const { body } = await api.request('GET', `/api/v2/workspaces/${agent.workspaceId}`, api.owner);
  return { health: body.health, agent: body.latest_build.resources[0].agents[0] };
};

describe('an agent that connects', () => {
  test('is seen soon, with its times, and its end as well', async () => {
    const agent = await newAgent();
    expect((await health(agent)).agent).toMatchObject({ status: 'connecting' });
    const { socket } = connect(agent);
    await waitFor('the connection', async () => (await times(agent)).first ?? undefined, 2_000);
    const connected = await health(agent);
    expect(connected.agent).toMatchObject({ status: 'connected', health: { healthy: true } });
    expect(connected.health).toEqual({ healthy: true, failing_agents: [] });
    api.clock.now = new Date(api.clock.now.getTime() + 1_000);
    socket.close();
    await waitFor('the end', async () => (await times(agent)).disconnected ?? undefined, 2_000);
    const gone = await health(agent);
    expect(gone.agent).toMatchObject({
      status: 'disconnected',
      health: { healthy: false, reason: 'agent has lost connection' },
    });
    expect(gone.health).toEqual({ healthy: false, failing_agents: [agent.id] });
  });

  test('again replaces its older socket, which counts as no end', async () => {
    const agent = await newAgent();
    const older = connect(agent);
    await waitFor('the connection', async () => (await times(agent)).first ?? undefined);
    const newer = connect(agent);
    await waitFor('the older one to be closed', async () => older.closed);
    expect(older.closed).toEqual({ code: 4000, reason: 'superseded' });
    await api.deps.agents.connections.flush();
    expect((await times(agent)).disconnected).toBeNull();
    expect(newer.closed).toBeUndefined();
  });

  test('in another role says nothing about the agent', async () => {
    const agent = await newAgent();
    const { socket } = connect(agent, '?role=tool');
    await waitFor('the socket', async () => socket.readyState === socket.OPEN);
    await api.deps.agents.connections.flush();
    expect(await times(agent)).toEqual({ first: null, last: null, disconnected: null });
  });

  test('with a version that nobody speaks is told which one is', async () => {
    const agent = await newAgent();
    const answer = await api.request('GET', '/api/v2/workspaceagents/me/connect?version=2.9', agent);
    expect([answer.status, answer.body.validations[0].field, answer.headers.get('coder-agent-api-version')]).toEqual([
      400,
      'version',
      '3.0',
    ]);
  });

  test('many at once cost few statements', async () => {
    const agents = await Promise.all(Array.from({ length: 30 }, newAgent));
    const before = api.statements.length;
    for (const agent of agents) connect(agent);
    for (const agent of agents) await waitFor('the connection', async () => (await times(agent)).first ?? undefined);
    const updates = api.statements.slice(before).filter((text) => text.includes('update workspace_agent_connections'));
    expect(updates.length).toBeLessThanOrEqual(6);
  });

  test('and sends too much is let go', async () => {
    const agent = await newAgent();
    const test = connect(agent);
    await waitFor('the socket', async () => test.socket.readyState === test.socket.OPEN);
    for (let i = 0; i < 300; i += 1) test.socket.send('{}');
    await waitFor('the end', async () => test.closed);
    expect(test.closed?.code).toBe(1008);
  });

  test('and sends nonsense is borne with', async () => {
    const agent = await newAgent();
    const test = connect(agent);
    await waitFor('the socket', async () => test.socket.readyState === test.socket.OPEN);
    for (const text of ['', '{', '[]', 'null', '{"type":"response"}', '{"type":"response","id":7}'])
      test.socket.send(text);
    await new Promise((done) => setTimeout(done, 200));
    expect(test.closed).toBeUndefined();
  });
});

describe('an open socket', () => {
  test('is closed when a newer build takes its agent’s place', async () => {
    const agent = await newAgent();
    const test = connect(agent);
    await waitFor('the connection', async () => (await times(agent)).first ?? undefined);
    await insertBuildOf(api.db, {
      workspaceId: agent.workspaceId,
      versionId: template.active_version_id,
      transition: 'start',
      runMs: 1,
    });
    await announce(api.db, agent.workspaceId);
    await waitFor('the end', async () => test.closed);
    expect(test.closed).toEqual({ code: 1008, reason: 'build is outdated' });
  });

  test('is told to begin anew when its token stands for another agent', async () => {
    const agent = await newAgent();
    const test = connect(agent);
    await waitFor('the connection', async () => (await times(agent)).first ?? undefined);
    const { workspaceId } = agent;
    const versionId = template.active_version_id;
    await insertBuildOf(api.db, { workspaceId, versionId, transition: 'start', runMs: 1 });
    await insertAgentOf(api, workspaceId, { token: agent.token });
    await announce(api.db, workspaceId);
    await waitFor('the end', async () => test.closed);
    expect(test.closed?.code).toBe(4001);
    expect(test.frames.map((frame) => JSON.parse(frame))).toContainEqual({
      type: 'reinit',
      event: { workspace_id: workspaceId, user_id: api.owner.id, reason: 'prebuild_claimed' },
    });
  });

  test('brings a request to shut down, also one that was made before it was open', async () => {
    const agent = await newAgent();
    await insertScriptOf(api.db, agent.id, { runOnStart: false, runOnStop: true });
    const first = connect(agent);
    await waitFor('the connection', async () => (await times(agent)).first ?? undefined);
    // At once: a stop that is over closes the socket.
    await transaction(api.db, async (tx) => {
      const { workspaceId } = agent;
      await insertBuildOf(tx, { workspaceId, versionId: template.active_version_id, transition: 'stop', runMs: 1 });
      await tx.execute(sql`update provisioner_jobs set completed_at = null where id =
        (select job_id from workspace_builds where workspace_id = ${workspaceId} and is_latest)`);
    });
    await announce(api.db, agent.workspaceId);
    const asked = await requestShutdowns(api.db, {
      workspaceId: agent.workspaceId,
      buildNumber: 2,
      reason: 'stop',
      seenWithinMs: 30_000,
    });
    expect(asked).toEqual([agent.id]);
    const shutdown = { type: 'shutdown', reason: 'stop' };
    const told = (frames: readonly string[]) => frames.some((frame) => JSON.parse(frame).type === 'shutdown');
    await waitFor('the command', async () => told(first.frames));
    expect(first.frames.map((frame) => JSON.parse(frame))).toContainEqual(shutdown);
    const again = connect(agent);
    await waitFor('the command once more', async () => told(again.frames));
    // Once it has shut down it is not asked again.
    await api.db.update(workspaceAgents).set({ lifecycleState: 'off' }).where(eq(workspaceAgents.id, agent.id));
    const third = connect(agent);
    await waitFor('the socket', async () => again.closed);
    await new Promise((done) => setTimeout(done, 200));
    expect(told(third.frames)).toBe(false);
  });
});
