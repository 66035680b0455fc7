import { setTimeout as delay } from 'node:timers/promises';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workerEnvironment } from '../../config.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { type RunningTemporal, startTemporal } from '../../toolchain/temporal-server.ts';
import type { TestApi } from '../support/api.ts';
import { type Ledger, createLedger } from '../support/ledger.ts';
import { testTemporalCli } from '../support/services.ts';
import { startApiStack } from '../support/stack.ts';
import { build, buildOver, createWorkspace } from '../support/workspaces.ts';

const directory = mkdtempSync(join(tmpdir(), 'berth-temporal-'));
let server: RunningTemporal;
let api: TestApi;
let stop: () => Promise<void>;
let ledger: Ledger;

const start = (preferredPort = 0) =>
  startTemporal({
    cli: testTemporalCli(),
    env: workerEnvironment(),
    logFile: join(directory, 'temporal.log'),
    dbFile: join(directory, 'temporal.db'),
    preferredPort,
    preferredUiPort: null,
  });

beforeAll(async () => {
  ledger = createLedger();
  server = await start();
  ({ api, stop } = await startApiStack({ temporalAddress: server.address }));
});
afterAll(async () => {
  await stop();
  await server.stop();
  ledger.remove();
  rmSync(directory, { recursive: true, force: true });
});

test('a build goes on while Temporal is dead, longer than its heartbeats may be late, and was interrupted by nobody', async () => {
  const template = await ledger.template(api, 'slow', { variables: { seconds: '18' } });
  const workspace = await createWorkspace(api, { name: 'alone', template_id: template.id });
  await ledger.seen('alone', 'create first');
  process.kill(server.identity.pid, 'SIGKILL');
  await server.exited;
  const accepted = await createWorkspace(api, { name: 'accepted', template_id: template.id });
  expect(accepted.latest_build.status).toBe('pending');
  await delay(11_000);
  server = await start(Number(server.address.split(':')[1]));

  const over = await buildOver(api, workspace.latest_build.id);
  expect(over.job.error).toBeUndefined();
  expect(over.status).toBe('running');
  expect(ledger.effects('alone')).toEqual(['create first', 'create slow', 'create last']);
  const [job] = await api.db
    .select({ attempt: provisionerJobs.attempt })
    .from(provisionerJobs)
    .where(eq(provisionerJobs.id, over.job.id));
  expect(job).toEqual({ attempt: 1 });
  expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
});
