import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { type TestStack, startApiStack } from '../support/stack.ts';
import { type WorkerHost, createWorkerHost } from '../support/worker-process.ts';
import { waitFor } from '../support/wait.ts';
import { buildOver, createTemplate } from '../support/workspaces.ts';

let api: TestApi;
let stack: TestStack;
let stop: () => Promise<void>;
let host: WorkerHost;
let template: JsonValue;

beforeAll(async () => {
  ({ api, stack, stop } = await startApiStack());
  host = createWorkerHost({
    url: api.deps.config.CODER_PG_CONNECTION_URL!,
    namespace: stack.namespace,
    encryptionKey: Buffer.alloc(32, 1).toString('base64'),
  });
  template = await createTemplate(api, 'basic');
});
afterAll(async () => {
  host.remove();
  await stop();
});

const create = (url: string, i: number) =>
  fetch(`${url}/api/v2/users/me/workspaces`, {
    method: 'POST',
    headers: {
      'Coder-Session-Token': api.ownerToken,
      'Content-Type': 'application/json',
      'Idempotency-Key': `create-${i}`,
    },
    body: JSON.stringify({ name: `ws-${i}`, template_id: template.id }),
  });

test('an API that is killed in the middle of requests leaves whole workspaces or none, and a repeat completes them', async () => {
  const count = 8;
  const numbers = Array.from({ length: count }, (_, i) => i);
  const first = await host.startApi();
  const requests = Promise.allSettled(numbers.map((i) => create(first.url, i)));
  // The others are somewhere between their first statement and the start of their workflow then.
  await waitFor('the first commit', async () => (await api.db.$count(workspaces)) > 0);
  await first.end('SIGKILL');
  const answered = (await requests).filter(({ status }) => status === 'fulfilled').length;
  expect(answered).toBeLessThan(count);

  const rows = await api.db
    .select({ id: workspaces.id, latest: workspaces.latestBuildId, build: workspaceBuilds.id, job: provisionerJobs.id })
    .from(workspaces)
    .leftJoin(workspaceBuilds, eq(workspaceBuilds.workspaceId, workspaces.id))
    .leftJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId));
  for (const row of rows) expect([row.build, row.job]).toEqual([row.latest, expect.any(String)]);
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);

  const second = await host.startApi();
  const answers = await Promise.all(numbers.map((i) => create(second.url, i)));
  expect(answers.map(({ status }) => status)).toEqual(numbers.map(() => 201));
  const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as JsonValue[];
  for (const { id } of rows) expect(bodies.map((body) => body.id)).toContain(id);
  expect(await api.db.$count(workspaces)).toBe(count);
  expect(await api.db.$count(workspaceBuilds)).toBe(count);

  await api.db.update(provisionerJobs).set({ createdAt: sql`created_at - interval '10 seconds'` });
  await stack.client.workflow.execute('sweepPendingJobs', { taskQueue: 'control', workflowId: 'sweep-now', args: [] });
  for (const body of bodies) expect((await buildOver(api, body.latest_build.id)).status).toBe('running');
  const attempts = await api.db.selectDistinct({ attempt: provisionerJobs.attempt }).from(provisionerJobs);
  expect(attempts).toEqual([{ attempt: 1 }]);
  await second.end('SIGTERM');
});
