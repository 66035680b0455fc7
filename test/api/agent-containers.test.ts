import { serve } from '@hono/node-server';
import type { WebSocketServerLike } from '@hono/node-server';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { eq, sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { answerAgentRequest, createAskAgent, takeAgentRequests } from '../../commands/ask-agent.ts';
import { agentRequestsChannel } from '../../db/notifications.ts';
import { workspaceAgentRequests } from '../../db/schema/agent-reports.ts';
import { workspaceAgentConnections } from '../../db/schema/workspace-agents.ts';
import { type TestAgent, insertRunningAgent } from '../support/agent-fixtures.ts';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { createTemplate } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
let agent: TestAgent;
let unsubscribe: () => void;
/** What the agent of these tests answers to each method. */
let replies: Record<string, (params: Readonly<Record<string, unknown>>) => { result?: unknown; error?: string }>;
let asked: { method: string; params: Readonly<Record<string, unknown>> }[];

beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(async () => {
  agent = await insertRunningAgent(api, template, { connected: true, environment: { A: 'b' } });
  api.clock.now = new Date();
  asked = [];
  replies = {};
  // The part of the process that holds the agent's socket.
  const answerAll = async () => {
    for (const { frame } of await takeAgentRequests(api.db, [agent.id])) {
      asked.push({ method: frame.method, params: frame.params });
      const reply = replies[frame.method];
      if (reply !== undefined) await answerAgentRequest(api.db, agent.id, { id: frame.id, ...reply(frame.params) });
    }
  };
  unsubscribe = api.deps.listener.subscribe(agentRequestsChannel, (ids) => {
    if (ids === undefined || ids.includes(agent.id)) void answerAll();
  });
});
afterEach(() => unsubscribe());

const request = (method: string, path: string, token = api.ownerToken) =>
  api.request(method, `/api/v2/workspaceagents/${agent.id}${path}`, { token });
const container = (id: string, labels: Record<string, string> = {}) => ({ id, name: id, labels, running: true });
const rows = () => api.db.$count(workspaceAgentRequests, eq(workspaceAgentRequests.agentId, agent.id));
const shareWith = (user: TestUser, role: 'use' | 'admin') =>
  api.db.execute(
    sql`update workspaces set user_acl = ${JSON.stringify({ [user.id]: [role] })}::text::jsonb where id = ${agent.workspaceId}`,
  );

describe('An agent', () => {
  test('is shown to who may read its workspace, its environment to who may change it', async () => {
    const answer = await request('GET', '');
    expect(answer.body).toMatchObject({
      id: agent.id,
      name: 'main',
      status: 'connected',
      environment_variables: { A: 'b' },
      parent_id: null,
    });
    expect(answer.text).not.toContain(agent.token);
    const guest = await api.createUser();
    expect((await request('GET', '', guest.token)).status).toBe(404);
    await shareWith(guest, 'use');
    expect((await request('GET', '', guest.token)).body).toMatchObject({ id: agent.id, environment_variables: {} });
    expect(
      (await api.request('GET', `/api/v2/workspaceagents/${randomUUID()}`, { token: api.ownerToken })).status,
    ).toBe(404);
    expect((await api.request('GET', '/api/v2/workspaceagents/me', { token: api.ownerToken })).status).toBe(400);
  });

  test('that fell silent left when it was last seen', async () => {
    const seenAt = (await request('GET', '')).body.last_connected_at;
    api.clock.now = new Date(Date.parse(seenAt) + 30_001);
    expect((await request('GET', '')).body).toMatchObject({ status: 'disconnected', disconnected_at: seenAt });
  });

  test('tells what listens on its machine', async () => {
    const ports = [{ process_name: 'node', network: 'tcp', port: 3000 }];
    replies['listening-ports'] = () => ({ result: { ports } });
    expect((await request('GET', '/listening-ports')).body).toEqual({ ports });
    replies['listening-ports'] = () => ({ result: { ports: 'many' } });
    expect((await request('GET', '/listening-ports')).status).toBe(502);
  });

  test('has no tunnels', async () => {
    for (const word of ['pty', 'connection', 'coordinate']) {
      const { status, body } = await request('GET', `/${word}`);
      expect([word, status, body.message]).toEqual([word, 501, expect.any(String)]);
    }
    for (const path of ['workspaceagents/connection', 'tailnet', 'derp-map'])
      expect((await api.request('GET', `/api/v2/${path}`, { token: api.ownerToken })).status).toBe(501);
  });
});

describe('Containers', () => {
  test('are listed as the agent says, with and without a label', async () => {
    const containers = [
      container('a', { role: 'db' }),
      container('b', { role: 'web' }),
      container('c', { role: 'web' }),
      container('d', { role: 'db', tier: 'x=y' }),
      { id: 'e', name: 'e', running: false },
    ];
    replies['containers.list'] = () => ({ result: { containers, devcontainers: [], warnings: null } });
    const ids = async (query: string) => {
      const { status, body } = await request('GET', `/containers${query}`);
      return status === 200 ? body.containers.map(({ id }: { id: string }) => id).join('') : status;
    };
    expect((await request('GET', '/containers')).body).toEqual({
      containers: containers.map((each) => ({ labels: {}, ...each })),
      devcontainers: [],
      warnings: [],
    });
    expect(await ids('?label=role%3Ddb')).toBe('ad');
    expect(await ids('?label=role%3Dweb')).toBe('bc');
    expect(await ids('?label=role%3Ddb&label=tier%3Dx%3Dy')).toBe('d');
    expect([await ids('?label=role'), await ids('?label=%3Dx')]).toEqual([400, 400]);
  });

  test('of an agent that is not there cannot be asked for', async () => {
    await api.db
      .update(workspaceAgentConnections)
      .set({ disconnectedAt: sql`last_connected_at + interval '1 second'` })
      .where(eq(workspaceAgentConnections.agentId, agent.id));
    for (const [method, path] of [
      ['GET', '/containers'],
      ['GET', '/listening-ports'],
      ['DELETE', `/containers/devcontainers/${randomUUID()}`],
    ] as const)
      expect([path, (await request(method, path)).status]).toEqual([path, 400]);
    expect(asked).toEqual([]);
  });

  test('are made anew and removed by who may change the workspace', async () => {
    const id = randomUUID();
    replies['devcontainers.recreate'] = () => ({ result: {} });
    replies['devcontainers.delete'] = () => ({ result: {} });
    const path = `/containers/devcontainers/${id}`;
    const guest = await api.createUser();
    expect((await request('POST', `${path}/recreate`, guest.token)).status).toBe(404);
    await shareWith(guest, 'use');
    expect((await request('POST', `${path}/recreate`, guest.token)).status).toBe(403);
    expect((await request('DELETE', path, guest.token)).status).toBe(403);
    expect(asked).toEqual([]);
    expect((await request('POST', `${path}/recreate`)).status).toBe(202);
    expect((await request('DELETE', path)).status).toBe(204);
    expect(asked).toEqual([
      { method: 'devcontainers.recreate', params: { id } },
      { method: 'devcontainers.delete', params: { id } },
    ]);
  });

  test('say in the answer why it cannot be done', async () => {
    const path = `/containers/devcontainers/${randomUUID()}`;
    for (const [error, status] of [
      ['CONFLICT: the dev container is starting', 409],
      ['NOT_FOUND: unknown', 404],
      ['FORBIDDEN: dev containers are turned off', 403],
      ['something broke', 502],
    ] as const) {
      replies['devcontainers.recreate'] = () => ({ error });
      expect([error, (await request('POST', `${path}/recreate`)).status]).toEqual([error, status]);
    }
    expect(await rows()).toBe(0);
  });
});

describe('A question to an agent', () => {
  test('nobody answers in time ends with 504 and leaves nothing', async () => {
    const askAgent = createAskAgent(api.deps);
    await expect(askAgent({ agentId: agent.id, method: 'listening-ports', timeoutMs: 200 })).rejects.toMatchObject({
      code: 'AGENT_TIMEOUT',
    });
    expect(await rows()).toBe(0);
  });

  test('is given out once, in its time, and only for the agents that are asked about', async () => {
    unsubscribe();
    const ask = () =>
      createAskAgent(api.deps)({ agentId: agent.id, method: 'listening-ports', timeoutMs: 5_000 }).catch(
        (err: { code: string }) => err.code,
      );
    const waiting = ask();
    await waitFor('the question', async () => (await rows()) === 1);
    expect(await takeAgentRequests(api.db, [randomUUID()])).toEqual([]);
    expect(await takeAgentRequests(api.db, [])).toEqual([]);
    const taken = await Promise.all(Array.from({ length: 5 }, () => takeAgentRequests(api.db, [agent.id])));
    expect(taken.flat()).toEqual([
      { agentId: agent.id, frame: { type: 'request', id: expect.any(String), method: 'listening-ports', params: {} } },
    ]);
    const { id } = taken.flat()[0]!.frame;
    // Others cannot answer it.
    await answerAgentRequest(api.db, randomUUID(), { id, result: 'forged' });
    await answerAgentRequest(api.db, agent.id, { id: 'no uuid', result: 'odd' });
    await answerAgentRequest(api.db, agent.id, { id, result: { right: true } });
    await answerAgentRequest(api.db, agent.id, { id, result: 'too late' });
    expect(await waiting).toEqual({ right: true });

    const old = ask();
    await waitFor('the question', async () => (await rows()) === 1);
    await api.db.execute(sql`update workspace_agent_requests set created_at = now() - interval '31 seconds'`);
    expect(await takeAgentRequests(api.db, [agent.id])).toEqual([]);
    await api.db.execute(sql`update workspace_agent_requests set answered_at = now()`);
    expect(await old).toBeNull();
  });

  test('survives an answer that the database cannot keep', async () => {
    replies['listening-ports'] = () => ({ result: { ports: [{ process_name: 'a\0b', network: 'tcp', port: 1 }] } });
    expect((await request('GET', '/listening-ports')).status).toBe(502);
  });
});

describe('Watching containers', () => {
  test('sends the list at once and again when it has changed', async () => {
    const server = serve({
      fetch: api.app.fetch,
      port: 0,
      hostname: '127.0.0.1',
      websocket: { server: new WebSocketServer({ noServer: true }) as unknown as WebSocketServerLike },
    });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    let names = ['a'];
    replies['containers.list'] = () => ({ result: { containers: names.map((name) => container(name)) } });
    const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v2/workspaceagents/${agent.id}/containers/watch`, {
      headers: { 'Coder-Session-Token': api.ownerToken },
    });
    const lists: string[] = [];
    socket.on('message', (data: Buffer) => {
      const { containers } = JSON.parse(data.toString()) as { containers: { id: string }[] };
      lists.push(containers.map(({ id }) => id).join(''));
    });
    await waitFor('the first list', async () => lists.length === 1);
    const tell = () => api.db.execute(sql`select pg_notify('berth_agent_states', ${agent.workspaceId})`);
    await tell();
    await waitFor('a second question', async () => asked.length >= 2);
    names = ['a', 'b'];
    await tell();
    await waitFor('the second list', async () => lists.length === 2);
    expect(lists).toEqual(['a', 'ab']);
    socket.close();
    await once(socket, 'close');
    expect((await request('GET', '/containers/watch')).status).toBe(400);
    await new Promise((done) => server.close(done));
  });
});
