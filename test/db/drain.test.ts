import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { drainAgents } from '../../activities/drain-agents.ts';
import type { JobRun } from '../../activities/job-run.ts';
import type { BuildRun } from '../../db/queries/workspace-builds.ts';
import { workspaceAgentConnections, workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { type TestAgent, insertAgentOf, insertScriptOf } from '../support/agent-rows.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate, insertBuildOf, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());

/** A running workspace whose agent has a stop script, and a stop that is about to begin. */
async function stopping(options: { connected?: boolean; stopScript?: boolean } = {}): Promise<TestAgent> {
  const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
  const agent = await insertAgentOf(api, workspaceId);
  await insertScriptOf(api.db, agent.id, { runOnStart: false, runOnStop: options.stopScript ?? true });
  if (options.connected ?? true)
    await api.db
      .update(workspaceAgentConnections)
      .set({ firstConnectedAt: sql`now()`, lastConnectedAt: sql`now()` })
      .where(eq(workspaceAgentConnections.agentId, agent.id));
  await insertBuildOf(api.db, {
    workspaceId,
    versionId: template.active_version_id,
    transition: 'stop',
    runMs: 1,
  });
  return agent;
}

interface Drain {
  readonly lines: string[];
  readonly over: Promise<void>;
  stop(): void;
}
function drain(
  agent: TestAgent,
  options: { timeoutMs?: number; transition?: 'start' | 'stop' | 'delete'; pool?: boolean } = {},
): Drain {
  const { timeoutMs = 60_000, transition = 'stop', pool = false } = options;
  const lines: string[] = [];
  const stop = new AbortController();
  const run = {
    deps: { db: api.db, drainTimeoutMs: timeoutMs },
    log: { stage: () => undefined, say: (_level: string, text: string) => void lines.push(text) },
    stop: stop.signal,
    leave: new AbortController().signal,
  };
  const found = {
    build: { transition, number: 2 },
    workspace: { id: agent.workspaceId },
    owner: { isSystem: pool },
  };
  // Only what it needs of a run.
  const over = drainAgents(run as unknown as JobRun, found as unknown as BuildRun);
  return { lines, over, stop: () => stop.abort('canceled') };
}
const requested = async ({ id }: TestAgent) =>
  (
    await api.db
      .select({ at: workspaceAgents.shutdownRequestedAt, reason: workspaceAgents.shutdownReason })
      .from(workspaceAgents)
      .where(eq(workspaceAgents.id, id))
  )[0]!;
const report = (agent: TestAgent, lifecycleState: 'off' | 'shutdown_error') =>
  api.db.update(workspaceAgents).set({ lifecycleState }).where(eq(workspaceAgents.id, agent.id));

describe('a stop', () => {
  test('waits until the stop scripts of a connected agent have run', async () => {
    const agent = await stopping();
    const draining = drain(agent);
    await waitFor('the request', async () => (await requested(agent)).at !== null);
    expect((await requested(agent)).reason).toBe('stop');
    let over = false;
    void draining.over.then(() => (over = true));
    await new Promise((done) => setTimeout(done, 400));
    expect(over).toBe(false);
    await report(agent, 'off');
    await draining.over;
    expect(draining.lines).toEqual(['The stop scripts of agent main have run.']);
  });

  test('goes on when they fail, take too long, or the agent leaves', async () => {
    const failing = await stopping();
    const first = drain(failing);
    await waitFor('the request', async () => (await requested(failing)).at !== null);
    await report(failing, 'shutdown_error');
    await first.over;
    expect(first.lines[0]).toContain('failed');

    const slow = drain(await stopping(), { timeoutMs: 300 });
    await slow.over;
    expect(slow.lines[0]).toContain('goes on without them');

    const leaving = await stopping();
    const third = drain(leaving);
    await waitFor('the request', async () => (await requested(leaving)).at !== null);
    await api.db
      .update(workspaceAgentConnections)
      .set({ disconnectedAt: sql`last_connected_at + interval '1 second'` })
      .where(eq(workspaceAgentConnections.agentId, leaving.id));
    await third.over;
    expect(third.lines[0]).toContain('has lost connection');
  });

  test.each([
    ['no agent is connected', { connected: false }, {}],
    ['there are no stop scripts', { stopScript: false }, {}],
    ['it is a start', {}, { transition: 'start' as const }],
    ['the workspace is nobody’s yet', {}, { pool: true }],
    ['waiting is switched off', {}, { timeoutMs: 0 }],
  ])('does not wait when %s', async (_name, workspace, options) => {
    const agent = await stopping(workspace);
    const draining = drain(agent, options);
    await draining.over;
    expect(draining.lines).toEqual([]);
    expect((await requested(agent)).at).toBeNull();
  });

  test('that is taken over asks nobody twice, and waits only for what is left of the time', async () => {
    const agent = await stopping();
    const first = drain(agent, { timeoutMs: 1_500 });
    await waitFor('the request', async () => (await requested(agent)).at !== null);
    const before = await requested(agent);
    first.stop();
    await expect(first.over).rejects.toThrow('run stopped: canceled');
    const second = drain(agent, { timeoutMs: 1_500 });
    await second.over;
    expect(await requested(agent)).toEqual(before);
    expect(Date.now() - before.at!.getTime()).toBeLessThan(4_000);
  });
});
