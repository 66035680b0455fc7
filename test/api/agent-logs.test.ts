import { eq, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { externalLogSourceId } from '../../agent/protocol.ts';
import { workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { type TestAgent, announce, insertAgentOf } from '../support/agent-rows.ts';
import { createTestApi } from '../support/api.ts';
import type { Answer, TestApi } from '../support/api.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { createTemplate, insertBuildOf, insertWorkspaceOf } from '../support/template-rows.ts';
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

const source = randomUUID();
const newAgent = async (): Promise<TestAgent> =>
  insertAgentOf(api, await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id }), { sources: [source] });
const send = (agent: TestAgent, logs: unknown, log_source_id: string | undefined = source): Promise<Answer> =>
  api.request('PATCH', '/api/v2/workspaceagents/me/logs', { token: agent.token, body: { log_source_id, logs } });
const lines = (...outputs: string[]) => outputs.map((output) => ({ output, level: 'info' }));
const read = async (agent: TestAgent, query = '') =>
  (await api.request('GET', `/api/v2/workspaceagents/${agent.id}/logs${query}`, { token: api.ownerToken })).body;
const row = async (agent: TestAgent) =>
  (
    await api.db
      .select({ length: workspaceAgents.logsLength, overflowed: workspaceAgents.logsOverflowed })
      .from(workspaceAgents)
      .where(eq(workspaceAgents.id, agent.id))
  )[0];

describe('log lines of an agent', () => {
  test('are stored before they are answered, in order, and read back by id', async () => {
    const agent = await newAgent();
    expect((await send(agent, lines('one', 'two'))).status).toBe(200);
    expect((await send(agent, lines('three'))).status).toBe(200);
    const rows = await read(agent);
    expect(rows.map(({ output }: { output: string }) => output)).toEqual(['one', 'two', 'three']);
    expect(rows[0]).toEqual({
      id: expect.any(Number),
      created_at: expect.any(String),
      output: 'one',
      level: 'info',
      source_id: source,
    });
    expect(await read(agent, `?after=${rows[0].id}&before=${rows[2].id}`)).toEqual([rows[1]]);
    const text = await api.request('GET', `/api/v2/workspaceagents/${agent.id}/logs?format=text`, {
      token: api.ownerToken,
    });
    expect(text.text).toMatch(/^\S+ \[info\] \[Script\] one\n/);
    expect((await api.request('GET', `/api/v2/workspaceagents/${agent.id}/logs?after=x`, api.owner)).status).toBe(400);
  });

  test('with NUL and broken characters are taken, long ones in pieces', async () => {
    const agent = await newAgent();
    expect((await send(agent, lines('a\0b', 'x'.repeat(2_500)))).status).toBe(200);
    expect(await row(agent)).toEqual({ length: 2_502, overflowed: false });
    expect((await read(agent)).map(({ output }: { output: string }) => output.length)).toEqual([2, 1_024, 1_024, 452]);
  });

  test('without a source belong to one that is made for them; unknown sources are refused', async () => {
    const agent = await newAgent();
    expect((await send(agent, lines('x'), '')).status).toBe(200);
    expect((await read(agent))[0].source_id).toBe(externalLogSourceId);
    const refused = await send(agent, lines('x'), randomUUID());
    expect([refused.status, refused.body.validations[0].field]).toEqual([400, 'log_source_id']);
    for (const [logs, status] of [
      [[], 400],
      [lines('x').map((line) => ({ ...line, level: 'loud' })), 400],
      [Array.from({ length: 1_001 }, () => ({ output: 'x' })), 400],
      [lines('x'.repeat(1_048_576)), 413],
    ] as const)
      expect((await send(agent, logs)).status).toBe(status);
  });

  test('a source of another agent is no source', async () => {
    const [mine, other] = [await newAgent(), await newAgent()];
    const id = randomUUID();
    const add = (agent: TestAgent) =>
      api.request('POST', '/api/v2/workspaceagents/me/log-source', {
        token: agent.token,
        body: { id, display_name: 'Mine', icon: '' },
      });
    const first = await add(mine);
    expect([first.status, first.body]).toEqual([201, expect.objectContaining({ id, workspace_agent_id: mine.id })]);
    expect((await add(mine)).body).toEqual(first.body);
    expect((await send(mine, lines('x'), id)).status).toBe(200);
    expect((await send(other, lines('x'), id)).status).toBe(400);
  });

  test('end at 1 MiB: what fits is kept, the flag is set once, nothing is written afterwards', async () => {
    const agent = await newAgent();
    const kibibyte = 'x'.repeat(1_024);
    const full = Array.from({ length: 900 }, () => kibibyte);
    expect((await send(agent, lines(...full))).status).toBe(200);
    expect((await send(agent, lines(...full.slice(0, 124)))).status).toBe(200);
    expect(await row(agent)).toEqual({ length: 1_048_576, overflowed: false });
    const answer = await send(agent, lines('y'));
    expect([answer.status, answer.body.message]).toEqual([413, 'Logs limit exceeded']);
    expect(await row(agent)).toEqual({ length: 1_048_576, overflowed: true });
    const before = api.statements.length;
    expect((await send(agent, lines('y'))).status).toBe(413);
    expect(api.statements.slice(before)).toEqual([]);

    const partial = await newAgent();
    expect((await send(partial, lines(...full))).status).toBe(200);
    expect((await send(partial, lines(...full.slice(0, 200)))).status).toBe(413);
    expect(await row(partial)).toEqual({ length: 1_048_576, overflowed: true });
    const text = await api.request('GET', `/api/v2/workspaceagents/${partial.id}/logs?format=text`, api.owner);
    expect(text.text.trimEnd().split('\n').at(-1)).toContain('The scripts run on');
  });

  test('of many agents become few statements', async () => {
    const agents = await Promise.all(Array.from({ length: 20 }, newAgent));
    await Promise.all(agents.map((agent) => send(agent, lines('warm up'))));
    const before = api.statements.length;
    await Promise.all(agents.map((agent) => send(agent, lines('x', 'y'))));
    const inserts = api.statements.slice(before).filter((text) => text.includes('insert into workspace_agent_logs'));
    expect(inserts.length).toBeLessThanOrEqual(3);
    for (const agent of agents) expect(await read(agent)).toHaveLength(3);
  });
});

describe('a follower', () => {
  const follow = (agent: TestAgent, after = 0) =>
    served.socket(`/workspaceagents/${agent.id}/logs?follow&after=${after}`, api.ownerToken);
  const outputs = (frames: readonly string[]): string[] =>
    frames.flatMap((frame) => JSON.parse(frame).map(({ output }: { output: string }) => output));

  test('gets the backlog first, empty or not, then each line once', async () => {
    const agent = await newAgent();
    const empty = follow(agent);
    await waitFor('the backlog', async () => empty.frames.length > 0);
    expect(empty.frames[0]).toBe('[]');
    await send(agent, lines('one'));
    const late = follow(agent);
    await send(agent, lines('two'));
    await waitFor('the lines', async () => outputs(empty.frames).length === 2 && outputs(late.frames).length === 2);
    expect(outputs(empty.frames)).toEqual(['one', 'two']);
    expect(outputs(late.frames)).toEqual(['one', 'two']);
  });

  test('that comes while lines are written misses none', async () => {
    const agent = await newAgent();
    const wanted: string[] = [];
    const writing = (async () => {
      for (let i = 0; i < 60; i += 1) {
        wanted.push(`line ${i}`);
        await send(agent, lines(`line ${i}`));
      }
    })();
    const followers = await Promise.all(
      Array.from({ length: 25 }, async (_, index) => {
        await waitFor('its turn', async () => wanted.length > index * 2);
        return follow(agent);
      }),
    );
    await writing;
    for (const follower of followers) {
      await waitFor('all lines', async () => outputs(follower.frames).length >= wanted.length);
      expect(outputs(follower.frames)).toEqual(wanted);
    }
  });

  test('is let go when a newer build has taken over, after the last lines', async () => {
    const agent = await newAgent();
    const follower = follow(agent);
    await waitFor('the backlog', async () => follower.frames.length > 0);
    await send(agent, lines('last'));
    await insertBuildOf(api.db, {
      workspaceId: agent.workspaceId,
      versionId: template.active_version_id,
      transition: 'start',
      runMs: 1,
    });
    await announce(api.db, agent.workspaceId);
    await waitFor('the end', async () => follower.closed);
    expect(follower.closed?.code).toBe(1000);
    expect(outputs(follower.frames)).toEqual(['last']);
  });

  test('sees what another process has stored', async () => {
    const agent = await newAgent();
    const follower = follow(agent);
    await waitFor('the backlog', async () => follower.frames.length > 0);
    await api.db
      .execute(sql`with stored as (insert into workspace_agent_logs (agent_id, created_at, output, log_source_id)
      values (${agent.id}, now(), 'elsewhere', ${source})) select pg_notify('berth_agent_logs', ${`${randomUUID()},${agent.id}`})`);
    await waitFor('the line', async () => outputs(follower.frames).length === 1, 1_000);
  });

  test('may not be a stranger', async () => {
    const agent = await newAgent();
    const stranger = await api.createUser();
    const refused = served.socket(`/workspaceagents/${agent.id}/logs?follow`, stranger.token);
    await waitFor('the refusal', async () => refused.refused !== undefined);
    expect(refused.refused).toBe(404);
  });
});
