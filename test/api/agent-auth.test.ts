import { sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TestAgent, announce, insertAgentOf } from '../support/agent-rows.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { createTemplate, insertBuildOf, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());

/** Asks the database itself (the manifest is never answered from memory); 409 = admitted, but not now. */
const ask = async (agent: TestAgent) => (await api.request('GET', '/api/v2/workspaceagents/me/manifest', agent)).status;
const workspace = (ownerId?: string) => insertWorkspaceOf(api.db, template, ownerId === undefined ? {} : { ownerId });
type Job = 'pending' | 'running' | 'canceling' | 'succeeded' | 'failed' | 'canceled';

/** A further build whose job stands as told. */
async function addBuild(
  workspaceId: string,
  build: {
    transition?: 'start' | 'stop' | 'delete';
    job?: Job;
    stage?: 'none' | 'create' | 'claim';
    refresh?: boolean;
  },
): Promise<void> {
  const { transition = 'start', job = 'succeeded', stage = 'none', refresh = false } = build;
  await insertBuildOf(api.db, { workspaceId, versionId: template.active_version_id, transition, runMs: 1 });
  await setJob(workspaceId, job);
  await api.db.execute(sql`update workspace_builds set prebuild_stage = ${stage}, refresh_only = ${refresh}
    where workspace_id = ${workspaceId} and is_latest`);
  await announce(api.db, workspaceId);
}
async function setJob(workspaceId: string, job: Job): Promise<void> {
  const active = job === 'pending' || job === 'running' || job === 'canceling';
  await api.db.execute(sql`update provisioner_jobs set started_at = ${job === 'pending' ? null : sql`now()`},
    completed_at = ${active ? null : sql`now()`}, canceled_at = ${job.startsWith('cancel') ? sql`now()` : null},
    error = ${job === 'failed' ? 'broken' : null}
    where id = (select job_id from workspace_builds where workspace_id = ${workspaceId} and is_latest)`);
}

describe('an agent is admitted', () => {
  test('once its build has succeeded, not before', async () => {
    const id = await workspace(api.owner.id);
    const agent = await insertAgentOf(api, id);
    await setJob(id, 'running');
    expect(await ask(agent)).toBe(401);
    await setJob(id, 'succeeded');
    expect(await ask(agent)).toBe(200);
    await setJob(id, 'failed');
    expect(await ask(agent)).toBe(401);
  });

  test('until a newer start exists, also one that has not begun', async () => {
    const id = await workspace(api.owner.id);
    const agent = await insertAgentOf(api, id);
    await addBuild(id, { job: 'pending' });
    expect(await ask(agent)).toBe(401);
    await setJob(id, 'failed');
    expect(await ask(agent)).toBe(401);
  });

  test.each(['stop', 'delete'] as const)('while a %s is under way, and not after it', async (transition) => {
    const id = await workspace(api.owner.id);
    const agent = await insertAgentOf(api, id);
    await addBuild(id, { transition, job: 'pending' });
    for (const job of ['pending', 'running', 'canceling'] as const) {
      await setJob(id, job);
      expect([job, await ask(agent)]).toEqual([job, 200]);
    }
    for (const job of ['succeeded', 'failed', 'canceled'] as const) {
      await setJob(id, job);
      expect([job, await ask(agent)]).toEqual([job, 401]);
    }
  });

  test('only by the start right before the stop', async () => {
    const id = await workspace(api.owner.id);
    const first = await insertAgentOf(api, id);
    await addBuild(id, { transition: 'stop' });
    await addBuild(id, {});
    const third = await insertAgentOf(api, id);
    await addBuild(id, { transition: 'stop', job: 'running' });
    expect([await ask(first), await ask(third)]).toEqual([401, 200]);
  });

  test('through the claim of its prebuild, but waits for the manifest', async () => {
    const id = await workspace();
    const agent = await insertAgentOf(api, id);
    expect(await ask(agent)).toBe(200);
    await api.db.execute(sql`update workspaces set owner_id = ${api.owner.id} where id = ${id}`);
    await addBuild(id, { stage: 'claim', job: 'pending' });
    for (const job of ['pending', 'running', 'failed', 'canceled'] as const) {
      await setJob(id, job);
      const answer = await api.request('GET', '/api/v2/workspaceagents/me/manifest', agent);
      expect([job, answer.status, answer.headers.get('retry-after')]).toEqual([job, 409, '2']);
    }
    // A retry of the failed claim is a claim again.
    await addBuild(id, { stage: 'claim', job: 'running' });
    expect(await ask(agent)).toBe(409);
    await setJob(id, 'succeeded');
    expect(await ask(agent)).toBe(401);
    // With the same token in a row of the new build it stands for that one.
    const claimed = await insertAgentOf(api, id, { token: agent.token });
    const { body } = await api.request('GET', '/api/v2/workspaceagents/me/manifest', agent);
    expect([body.agent_id, body.owner_name]).toEqual([claimed.id, 'owner']);
  });

  test('through a refresh, which changes nothing', async () => {
    const id = await workspace(api.owner.id);
    const agent = await insertAgentOf(api, id);
    await addBuild(id, { refresh: true, job: 'running' });
    expect(await ask(agent)).toBe(200);
    await setJob(id, 'failed');
    expect(await ask(agent)).toBe(200);
  });

  test('never when it, its workspace or its owner is deleted', async () => {
    const owner = await api.createUser();
    for (const statement of [
      (agent: TestAgent) => sql`update workspace_agents set deleted = true where id = ${agent.id}`,
      (agent: TestAgent) => sql`update workspaces set deleted = true where id = ${agent.workspaceId}`,
      () => sql`update users set deleted = true where id = ${owner.id}`,
    ]) {
      const agent = await insertAgentOf(api, await workspace(owner.id));
      expect(await ask(agent)).toBe(200);
      await api.db.execute(statement(agent));
      expect(await ask(agent)).toBe(401);
    }
  });
});

describe('a token', () => {
  test('that is missing, no uuid or unknown is refused, and never repeated in the answer', async () => {
    const path = '/api/v2/workspaceagents/me/manifest';
    expect((await api.request('GET', path)).status).toBe(401);
    const bad = await api.request('GET', path, { token: 'not-a-uuid' });
    expect([bad.status, bad.body.detail]).toEqual([401, expect.stringContaining('10 characters')]);
    expect(bad.text).not.toContain('not-a-uuid');
    const unknown = await api.request('GET', path, { token: randomUUID() });
    expect([unknown.status, unknown.body.detail]).toEqual([401, expect.stringContaining('no longer valid')]);
  });

  test('is remembered for reports, and forgotten at once when a build is made elsewhere', async () => {
    const agent = await insertAgentOf(api, await workspace(api.owner.id));
    const report = () => api.request('POST', '/api/v2/workspaceagents/me/report-stats', agent);
    expect((await report()).status).toBe(200);
    const before = api.statements.length;
    expect((await report()).status).toBe(200);
    expect(api.statements.slice(before)).toEqual([]);
    // Straight into the database, as another process would.
    await addBuild(agent.workspaceId, { transition: 'start', job: 'pending' });
    await waitFor('the refusal', async () => (await report()).status === 401, 1_000);
  });

  test('of an agent opens no other door, and others do not open its own', async () => {
    const agent = await insertAgentOf(api, await workspace(api.owner.id));
    const doors = ['/users/me', '/users', '/workspaces', `/workspaces/${agent.workspaceId}`, '/templates', '/audit'];
    const more = ['/organizations', '/api-keys', '/provisionerjobs', `/workspaceagents/${agent.id}`];
    for (const door of [...doors, ...more]) {
      const { status } = await api.request('GET', `/api/v2${door}`, agent);
      expect([door, [401, 404].includes(status)]).toEqual([door, true]);
    }
    expect(await ask({ ...agent, token: api.ownerToken })).toBe(401);
  });
});

test('an address that tries tokens is slowed down', async () => {
  const limited = await createTestApi({ env: { CODER_API_RATE_LIMIT: '512' } });
  try {
    const statuses: number[] = [];
    for (let i = 0; i < 101; i += 1)
      statuses.push(
        (await limited.request('GET', '/api/v2/workspaceagents/me/manifest', { token: randomUUID() })).status,
      );
    expect(statuses.slice(0, 100).every((status) => status === 401)).toBe(true);
    expect(statuses[100]).toBe(429);
  } finally {
    await limited.close();
  }
});
