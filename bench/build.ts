import { Connection, Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadConfig, workerEnvironment } from '../config.ts';
import { packDirectory } from '../scripts/stack/example-template.ts';
import { baseEnvironment } from '../terraform/base-environment.ts';
import { importEnvironment } from '../terraform/environment.ts';
import { terminalProgress } from '../toolchain/progress.ts';
import { resolveTerraformFor, toolContext } from '../toolchain/resolve.ts';
import { quantile, report, timed } from './report.ts';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { type Api, apiOf, copyTemplate } from './stack.ts';

const template = fileURLToPath(new URL('../test/support/templates/basic', import.meta.url));
const run = promisify(execFile);

interface Job {
  status: string;
  error?: string;
}
interface Build {
  id: string;
  job: Job;
}

async function untilOver(api: Api, path: string, jobOf: (body: never) => Job): Promise<void> {
  for (;;) {
    const job = jobOf(await api.get<never>(path));
    if (job.status === 'succeeded') return;
    if (['failed', 'canceled'].includes(job.status)) throw new Error(`${path}: ${job.status} ${job.error ?? ''}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

/**
 * (a) POST → succeeded, (b) one `terraform apply` in a prepared directory, (c) init + plan + show + graph + apply + show,
 * (d) a workflow with one no-op activity on the same server; interleaved, same template, alternating start and stop.
 */
export async function benchBuild({ runs = 20 }: { runs: number | undefined }): Promise<void> {
  await withThrowawayStack(async (stack) => {
    const api = apiOf(stack);
    const workspaceId = await createBenchWorkspace(api);
    const raw = await prepareRaw();
    const floor = await startFloor(stack.urls.temporalAddress, stack.urls.temporalNamespace);
    const samples = { ours: [] as number[], apply: [] as number[], chain: [] as number[], floor: [] as number[] };
    try {
      for (let index = 0; index < runs; index += 1) {
        const transition = index % 2 === 0 ? 'stop' : 'start';
        samples.ours.push(await timed(() => build(api, workspaceId, transition)));
        samples.apply.push(await timed(() => raw.apply(transition)));
        samples.chain.push(await timed(() => raw.chain(transition)));
        samples.floor.push(await timed(() => floor.run(index)));
        console.error(`run ${index + 1}/${runs}`);
      }
    } finally {
      await floor.stop();
      raw.remove();
    }
    for (const [name, q] of [
      ['p50', 0.5],
      ['p90', 0.9],
    ] as const) {
      const at = (sample: readonly number[]) => quantile(sample, q);
      const ours = at(samples.ours);
      const figure = (metric: string, value: number, baseline: number) =>
        report({ bench: 'build', metric: `${metric}_${name}`, ours: value, baseline, n: runs, unit: 'ms' });
      figure('wall_over_raw_apply', ours, at(samples.apply));
      figure('wall_over_raw_chain', ours, at(samples.chain));
      figure('added_over_temporal_floor', ours - at(samples.apply), at(samples.floor));
    }
  });
}

async function createBenchWorkspace(api: Api): Promise<string> {
  const { hash } = await api.upload<{ hash: string }>('/files', await packDirectory(template));
  const version = await api.post<{ id: string }>('/organizations/default/templateversions', {
    storage_method: 'file',
    provisioner: 'terraform',
    file_id: hash,
  });
  await untilOver(api, `/templateversions/${version.id}`, (body: { job: Job }) => body.job);
  const created = await api.post<{ id: string }>('/organizations/default/templates', {
    name: 'bench',
    template_version_id: version.id,
  });
  const workspace = await api.post<{ id: string; latest_build: Build }>('/users/me/workspaces', {
    name: 'bench',
    template_id: created.id,
  });
  await untilOver(api, `/workspacebuilds/${workspace.latest_build.id}`, (body: Build) => body.job);
  return workspace.id;
}

async function build(api: Api, workspaceId: string, transition: string): Promise<void> {
  const created = await api.post<Build>(`/workspaces/${workspaceId}/builds`, { transition });
  await untilOver(api, `/workspacebuilds/${created.id}`, (body: Build) => body.job);
}

/** Terraform typed by hand: one directory that is initialised once, one that is initialised every time. */
async function prepareRaw() {
  const config = loadConfig();
  const context = toolContext(config, workerEnvironment(), terminalProgress(true));
  const { terraform: binary, mirror } = await resolveTerraformFor(config, context, ['coder']);
  const root = mkdtempSync(join(tmpdir(), 'berth-raw-'));
  const { env: base } = baseEnvironment(workerEnvironment(), mirror.cliConfigPath);
  const terraform = (cwd: string, transition: 'start' | 'stop', args: string[]) => {
    const common = { accessUrl: 'http://127.0.0.1:3900', variables: [], agentScripts: {} };
    const env = { ...base, ...importEnvironment({ ...common, transition }) };
    return run(binary.path, args, { cwd, env, maxBuffer: 64 * 1024 * 1024 });
  };
  const prepared = copyTemplate(root, 'prepared', template);
  const full = copyTemplate(root, 'chain', template);
  const applyArgs = ['apply', '-no-color', '-input=false', '-auto-approve', '-json'];
  await terraform(prepared, 'start', ['init', '-no-color', '-input=false']);
  for (const directory of [prepared, full]) {
    if (directory === full) await terraform(full, 'start', ['init', '-no-color', '-input=false']);
    await terraform(directory, 'start', applyArgs);
  }
  return {
    apply: (transition: 'start' | 'stop') => terraform(prepared, transition, applyArgs),
    async chain(transition: 'start' | 'stop') {
      rmSync(join(full, '.terraform'), { recursive: true, force: true });
      await terraform(full, transition, ['init', '-no-color', '-input=false', '-json']);
      await terraform(full, transition, ['plan', '-no-color', '-input=false', '-json', '-out=plan']);
      await terraform(full, transition, ['show', '-json', 'plan']);
      await terraform(full, transition, ['graph']);
      await terraform(full, transition, ['apply', '-no-color', '-input=false', '-auto-approve', '-json', 'plan']);
      await terraform(full, transition, ['show', '-json']);
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** A workflow with one remote no-op activity, worker in this process. */
async function startFloor(address: string, namespace: string) {
  const native = await NativeConnection.connect({ address });
  const connection = await Connection.connect({ address });
  const client = new Client({ connection, namespace });
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: 'bench-floor',
    workflowsPath: fileURLToPath(new URL('./floor-workflow.ts', import.meta.url)),
    activities: { nothing: async () => undefined },
  });
  const running = worker.run();
  return {
    run: (index: number) =>
      client.workflow.execute('floor', { taskQueue: 'bench-floor', workflowId: `bench-floor/${index}`, args: [] }),
    async stop() {
      worker.shutdown();
      await running;
      await connection.close();
      await native.close();
    },
  };
}
