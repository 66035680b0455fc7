import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { type TestStack, startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { buildOver, createTemplate, createWorkspace } from '../support/workspaces.ts';

let api: TestApi;
let stack: TestStack;
let stop: () => Promise<void>;
let template: JsonValue;
beforeAll(async () => {
  ({ api, stack, stop } = await startApiStack());
  template = await createTemplate(api, 'basic');
});
afterAll(() => stop());

/** One run of the sweep, as its schedule starts it. */
const sweep = (): Promise<{ started: number; restarted: number; ended: number }> =>
  stack.client.workflow.execute('sweepPendingJobs', {
    taskQueue: 'control',
    workflowId: `sweep-${randomUUID()}`,
    args: [],
  });

/** The sweep leaves jobs of the last seconds to those who inserted them. */
const age = (jobId: string) =>
  api.db
    .update(provisionerJobs)
    .set({ createdAt: sql`created_at - interval '10 seconds'` })
    .where(eq(provisionerJobs.id, jobId));

test('a build requested while Temporal is away is accepted, and runs exactly once when it is back', async () => {
  api.temporal.reachable = false;
  const workspace = await createWorkspace(api, { name: 'offline', template_id: template.id });
  const { id, job } = workspace.latest_build;
  expect(job.status).toBe('pending');
  const list = await api.request('GET', '/api/v2/workspaces', { token: api.ownerToken });
  expect(list.body.count).toBe(1);
  api.temporal.reachable = true;

  await age(job.id);
  const [first, second] = await Promise.all([sweep(), sweep()]);
  expect(first.started + second.started).toBeGreaterThanOrEqual(1);
  expect((await buildOver(api, id)).status).toBe('running');
  const [row] = await api.db
    .select({ attempt: provisionerJobs.attempt })
    .from(provisionerJobs)
    .where(eq(provisionerJobs.id, job.id));
  expect(row).toEqual({ attempt: 1 });
  expect(await sweep()).toEqual({ started: 0, restarted: 0, ended: 0 });
});

test('a build canceled before its workflow was started never runs', async () => {
  api.temporal.reachable = false;
  const workspace = await createWorkspace(api, { name: 'changed-mind', template_id: template.id });
  const { id, job } = workspace.latest_build;
  const canceled = await api.request('PATCH', `/api/v2/workspacebuilds/${id}/cancel`, { token: api.ownerToken });
  expect(canceled.status).toBe(200);
  api.temporal.reachable = true;
  await age(job.id);
  expect(await sweep()).toMatchObject({ started: 0 });
  const over = await buildOver(api, id);
  expect(over.job).toMatchObject({ status: 'canceled' });
  expect(over.job.started_at).toBeUndefined();
});

test('a running job whose workflow was ended by an operator does not lock its workspace', async () => {
  const workspace = await createWorkspace(api, { name: 'orphaned', template_id: template.id });
  const { id, job } = workspace.latest_build;
  await buildOver(api, id);
  // As if the run had been lost for long: started, not completed, lease over, and Temporal knows no open workflow.
  const [stuck] = await api.db
    .update(provisionerJobs)
    .set({ completedAt: null, leaseUntil: sql`now() - interval '10 minutes'` })
    .where(eq(provisionerJobs.id, job.id))
    .returning({ status: provisionerJobs.jobStatus });
  expect(stuck).toEqual({ status: 'running' });
  await api.db.execute(sql`update workspace_builds set active = true where id = ${id}`);
  // The workflow closes a moment after its job.
  await waitFor('the sweep to end it', async () => (await sweep()).ended === 1);
  const over = await buildOver(api, id);
  expect(over.job).toMatchObject({ status: 'failed' });
  expect(over.job.error).toContain('its workflow is gone');
  const next = await api.request('POST', `/api/v2/workspaces/${workspace.id}/builds`, {
    token: api.ownerToken,
    body: { transition: 'delete' },
  });
  expect(next.status).toBe(201);
  expect((await buildOver(api, next.body.id)).status).toBe('deleted');
});
