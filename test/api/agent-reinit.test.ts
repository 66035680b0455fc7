import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { type TestAgent, announce, insertAgentOf } from '../support/agent-rows.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
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

const path = '/api/v2/workspaceagents/me/reinit?wait';
interface Stream {
  text: string;
  ended: boolean;
}
async function listen(agent: TestAgent): Promise<Stream> {
  const response = await fetch(`${served.url}${path}`, { headers: { 'Coder-Session-Token': agent.token } });
  expect(response.status).toBe(200);
  const stream: Stream = { text: '', ended: false };
  void (async () => {
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) stream.text += text;
    stream.ended = true;
  })().catch(() => (stream.ended = true));
  return stream;
}
const refusal = async (agent: TestAgent) => (await api.request('GET', path, agent)).status;
const events = ({ text }: Stream): unknown[] =>
  [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!));
const expected = (agent: TestAgent) => [
  { workspace_id: agent.workspaceId, user_id: api.owner.id, reason: 'prebuild_claimed' },
];

/** A pool workspace (everything of it is the prebuilds user's) with a running agent. */
async function prebuild(): Promise<TestAgent> {
  const id = await insertWorkspaceOf(api.db, template, {});
  await api.db.execute(sql`update workspace_builds set prebuild_stage = 'create',
    initiator_id = (select id from users where is_system) where workspace_id = ${id}`);
  return insertAgentOf(api, id);
}
async function claim(agent: TestAgent): Promise<void> {
  const { workspaceId } = agent;
  await api.db.execute(sql`update workspaces set owner_id = ${api.owner.id} where id = ${workspaceId}`);
  await insertBuildOf(api.db, { workspaceId, versionId: template.active_version_id, transition: 'start', runMs: 1 });
  await api.db.execute(
    sql`update workspace_builds set prebuild_stage = 'claim' where workspace_id = ${workspaceId} and is_latest`,
  );
  await setCompleted(workspaceId, null);
  await announce(api.db, workspaceId);
}
const setCompleted = (workspaceId: string, error: string | null, completed = error !== null) =>
  api.db.execute(sql`update provisioner_jobs set completed_at = ${completed ? sql`now()` : null}, error = ${error}
    where id = (select job_id from workspace_builds where workspace_id = ${workspaceId} and is_latest)`);
/** The claim's build ends: its agent row has the same token. */
async function complete(agent: TestAgent): Promise<TestAgent> {
  await setCompleted(agent.workspaceId, null, true);
  const next = await insertAgentOf(api, agent.workspaceId, { token: agent.token });
  await announce(api.db, agent.workspaceId);
  return next;
}
const begin = (agent: TestAgent) =>
  api.db.update(workspaceAgents).set({ startedAt: new Date() }).where(eq(workspaceAgents.id, agent.id));

describe('an agent that waits for a claim', () => {
  test('of a regular workspace is told at once that there is nothing to wait for', async () => {
    const id = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
    expect(await refusal(await insertAgentOf(api, id))).toBe(409);
  });

  test('hears of it once the claim’s build has succeeded, exactly once', async () => {
    const agent = await prebuild();
    const stream = await listen(agent);
    await claim(agent);
    await new Promise((done) => setTimeout(done, 300));
    expect(events(stream)).toEqual([]);
    const claimed = await complete(agent);
    await waitFor('the end', async () => stream.ended, 10_000);
    expect(events(stream)).toEqual(expected(agent));
    await begin(claimed);
    for (let i = 0; i < 20; i += 1) expect(await refusal(agent)).toBe(409);
  });

  test('that was away meanwhile gets it when it comes back, one event and the end', async () => {
    const agent = await prebuild();
    await claim(agent);
    await complete(agent);
    const stream = await listen(agent);
    await waitFor('the end', async () => stream.ended, 10_000);
    expect(events(stream)).toEqual(expected(agent));
  });

  test('that says just now that it runs for its owner is spared', async () => {
    const agent = await prebuild();
    await claim(agent);
    const claimed = await complete(agent);
    const stream = await listen(agent);
    await begin(claimed);
    await announce(api.db, agent.workspaceId);
    await waitFor('the end', async () => stream.ended, 10_000);
    expect(events(stream)).toEqual([]);
    expect(await refusal(agent)).toBe(409);
  });

  test('waits through a failed claim until a retry succeeds', async () => {
    const agent = await prebuild();
    await claim(agent);
    await setCompleted(agent.workspaceId, 'broken');
    await announce(api.db, agent.workspaceId);
    const stream = await listen(agent);
    await claim(agent);
    await complete(agent);
    await waitFor('the end', async () => stream.ended, 10_000);
    expect(events(stream)).toEqual(expected(agent));
  });

  test('is let go when the workspace was built again, so that restarts never repeat the event', async () => {
    const agent = await prebuild();
    await claim(agent);
    await complete(agent);
    const { workspaceId } = agent;
    await insertBuildOf(api.db, { workspaceId, versionId: template.active_version_id, transition: 'start', runMs: 1 });
    const later = await insertAgentOf(api, workspaceId);
    expect(await refusal(later)).toBe(409);
  });
});
