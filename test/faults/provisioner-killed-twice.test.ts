import { afterAll, beforeAll, expect, test } from 'vitest';
import { eq } from 'drizzle-orm';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { type Ledger, createLedger } from '../support/ledger.ts';
import { startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkerHost, createWorkerHost } from '../support/worker-process.ts';
import { build, buildOver, createWorkspace } from '../support/workspaces.ts';

let api: TestApi;
let stop: () => Promise<void>;
let host: WorkerHost;
let ledger: Ledger;

beforeAll(async () => {
  ledger = createLedger();
  const started = await startApiStack({ provisioner: false });
  ({ api, stop } = started);
  host = createWorkerHost({
    url: api.deps.config.CODER_PG_CONNECTION_URL!,
    namespace: started.stack.namespace,
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
const create = (name: string, template: JsonValue) => createWorkspace(api, { name, template_id: template.id });

test('builds survive the death of their provisioner twice; one that was canceled meanwhile ends as canceled', async () => {
  const first = await host.start('provisioner');
  const template = await ledger.template(api, 'slow', { variables: { seconds: '25' } });
  const kept = await create('kept', template);
  const canceled = await create('canceled', template);
  for (const { name } of [kept, canceled]) await ledger.seen(name, 'create first');
  await first.end('SIGKILL');
  const cancel = await api.request('PATCH', `/api/v2/workspacebuilds/${canceled.latest_build.id}/cancel`, {
    token: api.ownerToken,
  });
  expect(cancel.status).toBe(200);

  const second = await host.start('provisioner');
  await waitFor('the second attempt', async () => (await attemptOf(kept.latest_build.job.id)) === 2);
  // Terraform of the kept build goes on all the time; the second worker only waits for it.
  expect(ledger.effects('kept')).toEqual(['create first']);
  expect((await buildOver(api, canceled.latest_build.id)).job).toMatchObject({ status: 'canceled' });
  await second.end('SIGKILL');
  const third = await host.start('provisioner');
  const over = await buildOver(api, kept.latest_build.id);
  expect(over.job.error).toBeUndefined();
  expect(over.status).toBe('running');
  expect(await attemptOf(kept.latest_build.job.id)).toBe(3);
  // One apply did everything: nothing was lost, nothing was made twice.
  expect(ledger.effects('kept')).toEqual(['create first', 'create slow', 'create last']);
  expect(ledger.effects('canceled')).toEqual(['create first']);

  for (const { id } of [kept, canceled])
    expect((await build(api, id, { transition: 'delete' })).status).toBe('deleted');
  expect(ledger.effects('canceled')).toEqual(['create first', 'destroy first']);
  expect(ledger.effects('kept').slice(3).toSorted()).toEqual(['destroy first', 'destroy slow']);
  await third.end('SIGTERM');
});
