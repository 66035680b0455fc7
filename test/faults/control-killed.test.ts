import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { type Ledger, createLedger } from '../support/ledger.ts';
import { type TestStack, startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkerHost, createWorkerHost } from '../support/worker-process.ts';
import { build, buildOver, createWorkspace } from '../support/workspaces.ts';

let api: TestApi;
let stack: TestStack;
let stop: () => Promise<void>;
let host: WorkerHost;
let ledger: Ledger;
let template: JsonValue;

beforeAll(async () => {
  ledger = createLedger();
  ({ api, stack, stop } = await startApiStack({ control: false, provisioner: false }));
  host = createWorkerHost({
    url: api.deps.config.CODER_PG_CONNECTION_URL!,
    namespace: stack.namespace,
    encryptionKey: Buffer.alloc(32, 1).toString('base64'),
  });
});
afterAll(async () => {
  host.remove();
  await stop();
  ledger.remove();
});

const attemptOf = async (jobId: string): Promise<number> => {
  const [row] = await api.db
    .select({ attempt: provisionerJobs.attempt })
    .from(provisionerJobs)
    .where(eq(provisionerJobs.id, jobId));
  return row!.attempt;
};

test('what was committed without a workflow is started by the schedule, and ends although the control worker dies', async () => {
  const [first, provisioner] = await Promise.all([host.start('control'), host.start('provisioner')]);
  template = await ledger.template(api, 'slow', { variables: { seconds: '3' } });
  // As if the process had died between commit and start.
  api.temporal.reachable = false;
  const workspace = await createWorkspace(api, { name: 'forgotten', template_id: template.id });
  api.temporal.reachable = true;
  const { id, job } = workspace.latest_build;
  await ledger.seen('forgotten', 'create first');
  await first.end('SIGKILL');
  // The run completes its job itself: nobody waits for the workflow's end.
  expect((await buildOver(api, id)).status).toBe('running');
  expect(await attemptOf(job.id)).toBe(1);
  expect(ledger.effects('forgotten')).toEqual(['create first', 'create slow', 'create last']);
  const described = () => stack.client.workflow.getHandle(`build/${id}`).describe();
  expect((await described()).status.name).toBe('RUNNING');

  const second = await host.start('control');
  await waitFor('the end of the workflow', async () => (await described()).status.name === 'COMPLETED');
  await Promise.all([second.end('SIGTERM'), provisioner.end('SIGTERM')]);
});

test('a build whose workflow an operator ended before it was taken runs all the same', async () => {
  const control = await host.start('control');
  const workspace = await createWorkspace(api, { name: 'ended', template_id: template.id });
  const { id, job } = workspace.latest_build;
  await stack.client.workflow.getHandle(`build/${id}`).terminate('a mistake');
  await api.db
    .update(provisionerJobs)
    .set({ workflowStartedAt: sql`now() - interval '11 minutes'` })
    .where(eq(provisionerJobs.id, job.id));
  await stack.client.schedule.getHandle('sweep').trigger();
  const provisioner = await host.start('provisioner');
  expect((await buildOver(api, id)).status).toBe('running');
  expect(await attemptOf(job.id)).toBe(1);
  expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
  await Promise.all([provisioner.end('SIGTERM'), control.end('SIGTERM')]);
});
