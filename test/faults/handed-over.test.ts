import { eq } from 'drizzle-orm';
import { readdirSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { parseState } from '../../terraform/state.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { type Ledger, createLedger } from '../support/ledger.ts';
import { startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkerHost, createWorkerHost } from '../support/worker-process.ts';
import { build, buildOver, createWorkspace } from '../support/workspaces.ts';

let api: TestApi;
let stop: () => Promise<void>;
let host: WorkerHost;
/** Its builds have a time limit. */
let hasty: WorkerHost;
let ledger: Ledger;
let template: JsonValue;
const forceCancelMs = 3_000;
const timeLimitMs = 15_000;

beforeAll(async () => {
  ledger = createLedger();
  const started = await startApiStack({ provisioner: false });
  ({ api, stop } = started);
  const hostWith = (env: Record<string, string>) =>
    createWorkerHost({
      url: api.deps.config.CODER_PG_CONNECTION_URL!,
      namespace: started.stack.namespace,
      encryptionKey: Buffer.alloc(32, 1).toString('base64'),
      env: { CODER_PROVISIONER_FORCE_CANCEL_INTERVAL: `${forceCancelMs}ms`, ...env },
    });
  host = hostWith({});
  hasty = hostWith({ CODER_BUILD_TIMEOUT: `${timeLimitMs}ms` });
  const worker = await host.start('provisioner');
  template = await ledger.template(api, 'counter', { name: 'counter' });
  await worker.end('SIGTERM');
});
afterAll(async () => {
  host.remove();
  hasty.remove();
  await stop();
  ledger.remove();
});

const create = (name: string): Promise<JsonValue> => createWorkspace(api, { name, template_id: template.id });
const logOf = async (buildId: string): Promise<string[]> => {
  const { body } = await api.request('GET', `/api/v2/workspacebuilds/${buildId}/logs`, { token: api.ownerToken });
  return body.map(({ output }: JsonValue) => output);
};
const counts = (log: readonly string[]): string[] => log.flatMap((line) => /count (\d+) of .*/.exec(line)?.[0] ?? []);
const cancel = (buildId: string) =>
  api.request('PATCH', `/api/v2/workspacebuilds/${buildId}/cancel`, { token: api.ownerToken });
const counting = (buildId: string) => waitFor('the counter', async () => counts(await logOf(buildId)).length >= 3);
const attemptOf = async (jobId: string): Promise<number> => {
  const rows = await api.db
    .select({ attempt: provisionerJobs.attempt })
    .from(provisionerJobs)
    .where(eq(provisionerJobs.id, jobId));
  return rows[0]!.attempt;
};
/** Processes of the job's Terraform by the name of their program. */
const processesOf = (jobId: string, program: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`).includes(jobId) && readlinkSync(`/proc/${pid}/exe`).includes(program);
      } catch {
        return false;
      }
    });

describe('a Terraform that goes on without its worker', () => {
  test('is handed over by a worker that is stopped, within seconds, and by one that is killed; its log has each line once', async () => {
    const workers = [await host.start('provisioner')];
    const workspace = await create('counted');
    const { id, job } = workspace.latest_build;
    await counting(id);
    for (const signal of ['SIGTERM', 'SIGKILL', 'SIGTERM'] as const) {
      // It ends while Terraform goes on: what it waits for is not Terraform's end.
      await workers.at(-1)!.end(signal);
      expect(processesOf(job.id, 'terraform').length).toBeGreaterThan(0);
      const before = counts(await logOf(id)).length;
      workers.push(await host.start('provisioner'));
      await waitFor('the log to go on', async () => counts(await logOf(id)).length > before);
    }
    ledger.enough('counted');
    const over = await buildOver(api, id);
    expect(over.job.error).toBeUndefined();
    expect(over.status).toBe('running');
    expect(over.possible_orphans).toEqual([]);
    expect(await attemptOf(job.id)).toBe(4);
    // The token is masked in the lines that every worker wrote.
    const log = counts(await logOf(id));
    expect(log).toEqual(log.map((_, i) => `count ${i + 1} of [redacted]`));
    expect(ledger.effects('counted')).toEqual(['create first', 'create counter']);
    expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
    await workers.at(-1)!.end('SIGTERM');
  });

  test('is canceled although its worker dies while it cancels', async () => {
    const first = await host.start('provisioner');
    const workspace = await create('given-up');
    const { id, job } = workspace.latest_build;
    await counting(id);
    // Held still, the provider answers nobody: the cancel takes its whole grace.
    for (const pid of processesOf(job.id, 'terraform-provider-coder')) process.kill(pid, 'SIGSTOP');
    expect((await cancel(id)).status).toBe(200);
    await first.end('SIGKILL');
    const second = await host.start('provisioner');
    const over = await buildOver(api, id);
    // Killed in the end or ended in time: in both cases once, with its state, and without a process.
    expect(['canceled', 'failed']).toContain(over.job.status);
    expect(processesOf(job.id, 'terraform')).toEqual([]);
    expect(ledger.effects('given-up')).toEqual(['create first']);
    expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
    expect(ledger.effects('given-up')).toEqual(['create first', 'destroy first']);
    await second.end('SIGTERM');
  });
});

describe('the time limit of a build', () => {
  test('stops what takes longer, also over a change of workers, and says so', async () => {
    const first = await hasty.start('provisioner');
    const workspace = await create('endless');
    const { id } = workspace.latest_build;
    await counting(id);
    await first.end('SIGKILL');
    const second = await hasty.start('provisioner');
    const over = await buildOver(api, id);
    expect(over.job).toMatchObject({ status: 'failed', error: expect.stringContaining('time limit of 15 s') });
    const { started_at: begin, completed_at: end } = over.job;
    expect(new Date(end).getTime() - new Date(begin).getTime()).toBeGreaterThanOrEqual(timeLimitMs);
    expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
    await second.end('SIGTERM');
  });

  test('kills a Terraform that hangs and ignores its interrupt, and keeps the state', async () => {
    const worker = await hasty.start('provisioner');
    const workspace = await create('hanging');
    const { id, job } = workspace.latest_build;
    await counting(id);
    // Whatever wakes it is undone at once.
    const freeze = () => {
      for (const pid of processesOf(job.id, 'terraform'))
        try {
          process.kill(pid, 'SIGSTOP');
        } catch (err) {
          // Killed since it was listed.
          if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
        }
    };
    const freezing = setInterval(freeze, 1);
    const over = await buildOver(api, id).finally(() => clearInterval(freezing));
    expect(over.job).toMatchObject({ status: 'failed' });
    expect(over.job.error).toMatch(/time limit of 15 s.*did not end within 3 s after the interrupt and was killed/);
    // Woken for its interrupt it may have come to write down what it was making; else that is named.
    const { text: state } = await api.request('GET', `/api/v2/workspacebuilds/${id}/state`, { token: api.ownerToken });
    const stored = parseState(Buffer.from(state))!.instances.map(({ address }) => address);
    const named = ['terraform_data.counter'].filter((address) => !stored.includes(address));
    expect(over.possible_orphans).toEqual(named);
    for (const address of named)
      expect((await logOf(id)).join('\n')).toContain(`${address} may exist outside of the state`);
    expect(processesOf(job.id, 'terraform')).toEqual([]);
    expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
    expect(ledger.effects('hanging')).toEqual(['create first', 'destroy first']);
    await worker.end('SIGTERM');
  });
});
