import { eq, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { createBuildUpdates } from '../../api/build-updates.ts';
import type { WorkspaceBuildUpdateBody } from '../../api/routes/watch-builds.ts';
import { requestCancel } from '../../activities/job-end.ts';
import { createFinishJob } from '../../activities/finish-job.ts';
import { connect } from '../../db/client.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import { serveApi } from '../support/served-api.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { endBuild, takeBuild } from '../support/build-rows.ts';
import { createTemplate } from '../support/template-rows.ts';

let api: TestApi;
let template: JsonValue;
let served: { url: string; close(): Promise<void> };
beforeAll(async () => {
  api = await createTestApi({ env: { CODER_EXPERIMENTS: 'workspace-build-updates' } });
  template = await createTemplate(api);
  served = await serveApi(api);
});
afterAll(async () => {
  await served.close();
  await api.close();
});

const until = async (condition: () => boolean) => {
  for (const deadline = Date.now() + 10_000; !condition(); await delay(5))
    if (Date.now() > deadline) throw new Error('the condition did not come true in 10 s');
};
const routes = ['watch-all-workspacebuilds', 'watch-all-workspaces'] as const;

async function listen(options: { name?: string; query?: string; token?: string; url?: string } = {}) {
  const { name = routes[0], query = '', token = api.ownerToken, url = served.url } = options;
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/experimental/${name}${query}`, {
    headers: { 'Coder-Session-Token': token },
  });
  const updates: WorkspaceBuildUpdateBody[] = [];
  const state = { code: 0, refused: 0 };
  socket.on('message', (data: Buffer) => updates.push(JSON.parse(data.toString()) as WorkspaceBuildUpdateBody));
  socket.on('close', (code) => (state.code = code));
  socket.on('unexpected-response', (_request, response) => {
    state.refused = response.statusCode ?? 0;
    response.resume();
  });
  socket.on('error', () => undefined);
  onTestFinished(() => socket.terminate());
  await until(() => socket.readyState === WebSocket.OPEN || state.refused > 0);
  return { socket, updates, state };
}

async function createBuild(): Promise<JsonValue> {
  const answer = await api.request('POST', '/api/v2/users/me/workspaces', {
    token: api.ownerToken,
    body: { name: `w-${randomUUID().slice(0, 8)}`, template_id: template.id },
  });
  expect(answer.status).toBe(201);
  return answer.body.latest_build;
}
/** Until a listener hears of a build that was made for this: subscriptions begin a moment after the handshake. */
async function hearing(...listeners: { updates: WorkspaceBuildUpdateBody[] }[]): Promise<void> {
  for (const { updates } of listeners)
    for (let heard = false; !heard;) {
      const { id } = await createBuild();
      await delay(50);
      heard = updates.some((update) => update.build_id === id);
    }
}
const statusesOf = (updates: readonly WorkspaceBuildUpdateBody[], id: string) =>
  updates.filter((update) => update.build_id === id).map((update) => update.job_status);
const sequenceOf = async (id: string): Promise<number> => {
  const [row] = await api.db
    .select({ sequence: provisionerJobs.updateSequence })
    .from(provisionerJobs)
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, provisionerJobs.id))
    .where(eq(workspaceBuilds.id, id));
  return row!.sequence;
};

test.each(routes)('%s sends each status change of a build once, with its place', async (name) => {
  const listener = await listen({ name });
  await hearing(listener);
  const build = await createBuild();
  await until(() => statusesOf(listener.updates, build.id).length === 1);
  const { jobId, attempt } = await takeBuild(api.db, build.id);
  await until(() => statusesOf(listener.updates, build.id).length === 2);
  // Taken up again after a restart of its worker: no change.
  expect((await takeBuild(api.db, build.id)).attempt).toBe(attempt + 1);
  await delay(100);
  await requestCancel(api.db, jobId);
  await until(() => statusesOf(listener.updates, build.id).length === 3);
  await createFinishJob({ db: api.db })({ jobId, outcome: 'canceled' });
  await until(() => statusesOf(listener.updates, build.id).length === 4);
  expect(statusesOf(listener.updates, build.id)).toEqual(['pending', 'running', 'canceling', 'canceled']);
  expect(listener.updates.at(-1)).toEqual({
    workspace_id: build.workspace_id,
    build_id: build.id,
    transition: 'start',
    job_status: 'canceled',
    build_number: 1,
    update_sequence: await sequenceOf(build.id),
  });
});

test('a pending build that is canceled over the API is told', async () => {
  const listener = await listen();
  await hearing(listener);
  const build = await createBuild();
  await until(() => statusesOf(listener.updates, build.id).length === 1);
  await api.request('PATCH', `/api/v2/workspacebuilds/${build.id}/cancel`, { token: api.ownerToken });
  await until(() => statusesOf(listener.updates, build.id).length === 2);
  expect(statusesOf(listener.updates, build.id)).toEqual(['pending', 'canceled']);
});

test('any number of subscribers costs one read per change', async () => {
  const listeners = await Promise.all(Array.from({ length: 10 }, () => listen()));
  await hearing(...listeners);
  await delay(200);
  const reads = () => api.statements.filter((text) => text.includes('"update_sequence" >')).length;
  const before = reads();
  const build = await createBuild();
  await until(() => listeners.every(({ updates }) => statusesOf(updates, build.id).length === 1));
  expect(reads() - before).toBeLessThanOrEqual(2);
  for (const { socket } of listeners) socket.close();
  await until(() => listeners.every(({ state }) => state.code > 0));
  await delay(100);
  const idle = reads();
  await createBuild();
  await delay(200);
  expect(reads()).toBe(idle);
});

test('with a place behind which to begin, stored changes come first and nothing comes twice', async () => {
  const first = await createBuild();
  const second = await createBuild();
  await endBuild(api.db, second.id);
  const after = (await sequenceOf(first.id)) - 1;
  const listener = await listen({ query: `?after=${after}` });
  const third = await createBuild();
  await until(() => statusesOf(listener.updates, third.id).length > 0);
  await delay(100);
  expect(listener.updates.map((update) => [update.build_id, update.job_status])).toEqual([
    [first.id, 'pending'],
    [second.id, 'succeeded'],
    [third.id, 'pending'],
  ]);
  expect((await listen({ query: '?after=x' })).state.refused).toBe(400);
});

test('a place that is committed after a later one is not lost', async () => {
  const listener = await listen();
  await hearing(listener);
  const [slow, fast] = [await createBuild(), await createBuild()];
  await until(() => statusesOf(listener.updates, fast.id).length === 1);
  const other = connect(api.deps.config.CODER_PG_CONNECTION_URL!, { max: 1, applicationName: 'berth-test' });
  let release: (() => void) | undefined;
  const held = other.db.transaction(async (tx) => {
    await tx.execute(sql`update provisioner_jobs set started_at = now() where id = ${slow.job.id}`);
    await tx.execute(sql`select pg_notify('berth_jobs', ${slow.job.id})`);
    await new Promise<void>((done) => (release = done));
  });
  await until(() => release !== undefined);
  await takeBuild(api.db, fast.id);
  await until(() => statusesOf(listener.updates, fast.id).length === 2);
  await createBuild();
  await delay(100);
  release!();
  await held;
  await other.close();
  await until(() => statusesOf(listener.updates, slow.id).length === 2);
  const places = listener.updates.filter(({ job_status }) => job_status === 'running');
  expect(places.map(({ build_id }) => build_id)).toEqual([fast.id, slow.id]);
  expect(places[0]!.update_sequence).toBeGreaterThan(places[1]!.update_sequence);
});

test('a burst of builds arrives whole', async () => {
  const listener = await listen();
  await hearing(listener);
  const builds = await Promise.all(Array.from({ length: 20 }, createBuild));
  const finish = createFinishJob({ db: api.db });
  await Promise.all(
    builds.map(async ({ id }) => finish({ jobId: (await takeBuild(api.db, id)).jobId, outcome: 'failed' })),
  );
  await until(() => builds.every(({ id }) => statusesOf(listener.updates, id).at(-1) === 'failed'));
  for (const { id } of builds) {
    const statuses = statusesOf(listener.updates, id);
    expect(new Set(statuses).size).toBe(statuses.length);
  }
});

/** Updates over a database that can be made to fail, with what it warned of. */
function createFragile(settings: Parameters<typeof createBuildUpdates>[1]) {
  const warnings: string[] = [];
  const logger = { warn: (_: object, text: string) => warnings.push(text) } as unknown as TestApi['deps']['logger'];
  const state = { failing: false };
  const db = new Proxy(api.db, {
    get(target, key) {
      if (state.failing && key === 'select') throw new Error('no database');
      const value = Reflect.get(target, key) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const updates = createBuildUpdates({ db, listener: api.deps.listener, logger }, settings);
  return { updates, warnings, state, stop, follow: () => updates.follow({ after: undefined, signal: stop.signal }) };
}

test('a database that fails only delays, and what is settled never comes again', async () => {
  const { follow, warnings, state, stop } = createFragile({ overlapMs: 50, recheckMs: 100 });
  state.failing = true;
  await expect(Promise.allSettled([follow().next(), follow().next()])).resolves.toMatchObject([
    { status: 'rejected' },
    { status: 'rejected' },
  ]);
  state.failing = false;
  const heard: string[] = [];
  const following = (async () => {
    for await (const { buildId } of follow()) heard.push(buildId);
  })();
  for (let id = ''; !heard.includes(id); await delay(50)) id = (await createBuild()).id;
  state.failing = true;
  const { id } = await createBuild();
  await until(() => warnings.length > 0);
  state.failing = false;
  await until(() => heard.includes(id));
  await delay(200);
  const again = await createBuild();
  await until(() => heard.includes(again.id));
  expect(new Set(heard).size).toBe(heard.length);
  stop.abort();
  await following;
});

test('who reads too slowly is sent away, others go on', async () => {
  const { follow } = createFragile({ maxWaiting: 3 });
  const [slow, quick] = [follow(), follow()];
  const heard: string[] = [];
  void (async () => {
    for await (const { buildId } of quick) heard.push(buildId);
  })();
  const first = slow.next();
  let id = '';
  for (; !heard.includes(id); await delay(20)) id = (await createBuild()).id;
  expect((await first).done).toBe(false);
  for (let count = 0; count < 5; count += 1) id = (await createBuild()).id;
  await until(() => heard.includes(id));
  await expect(slow.next()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  id = (await createBuild()).id;
  await until(() => heard.includes(id));
});

test('needs workspace.read of the whole site', async () => {
  const member = await api.createUser();
  const organizationAdmin = await api.createUser({ organizationRoles: ['organization-admin'] });
  const templateAdmin = await api.createUser({ roles: ['template-admin'] });
  const narrow = await api.createKey(api.owner.id, { allowList: [`workspace:${randomUUID()}`] });
  expect((await listen({ token: member.token })).state.refused).toBe(403);
  expect((await listen({ token: organizationAdmin.token })).state.refused).toBe(403);
  expect((await listen({ token: narrow })).state.refused).toBe(403);
  expect((await listen({ token: templateAdmin.token })).state.refused).toBe(0);
  expect((await listen({ token: 'nobody' })).state.refused).toBe(401);
  expect((await api.request('GET', `/api/experimental/${routes[0]}`, { token: api.ownerToken })).status).toBe(400);
  expect((await api.request('GET', '/api/v2/experiments', { token: member.token })).body).toEqual([
    'workspace-build-updates',
  ]);
});

test('is not there while the experiment is off, also when all safe ones are on', async () => {
  const off = await createTestApi({ env: { CODER_EXPERIMENTS: '*' } });
  onTestFinished(() => off.close());
  for (const name of routes) {
    const answer = await off.request('GET', `/api/experimental/${name}`, { token: off.ownerToken });
    expect([answer.status, answer.body.message]).toEqual([404, 'The experiment workspace-build-updates is off']);
  }
  expect(off.logs.join('')).not.toContain('unknown experiments');
});
