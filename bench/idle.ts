import { bundleWorkflowCode } from '@temporalio/worker';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { workerEnvironment } from '../config.ts';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { run } from '../toolchain/process.ts';
import { report } from './report.ts';

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
/** Start-up garbage is collected by then, and every schedule has run once. */
const settleMs = 30_000;

/**
 * Memory of the processes as `npm run build` makes them, idle, against a bare Hono and a bare Temporal worker with one
 * workflow and one activity; all in the same run, against the same server.
 */
export async function benchIdle(): Promise<void> {
  const built = await run(process.execPath, ['scripts/bootstrap.mjs', 'scripts/build.ts'], {
    cwd: root,
    env: workerEnvironment(),
  });
  if (built.code !== 0) throw new Error(`npm run build failed: ${built.stderr}`);
  await withThrowawayStack(async (stack, postgresUrl) => {
    const directory = mkdtempSync(join(tmpdir(), 'berth-idle-'));
    const env: NodeJS.ProcessEnv = {
      ...workerEnvironment(),
      CODER_PG_CONNECTION_URL: postgresUrl,
      TEMPORAL_ADDRESS: stack.urls.temporalAddress,
      TEMPORAL_NAMESPACE: stack.urls.temporalNamespace,
      CODER_HTTP_ADDRESS: '127.0.0.1:0',
      CODER_PROMETHEUS_ENABLE: 'false',
      BERTH_DATA_DIR: join(directory, 'data'),
      BERTH_WORKFLOW_BUNDLE: join(root, 'dist', 'workflow-bundle.js'),
      BERTH_BENCH_BUNDLE: join(directory, 'bare-bundle.js'),
    };
    // Bundled beforehand like ours: a worker that bundles for itself keeps the bundler in memory.
    const workflowsPath = fileURLToPath(new URL('./floor-workflow.ts', import.meta.url));
    writeFileSync(join(directory, 'bare-bundle.js'), (await bundleWorkflowCode({ workflowsPath })).code);
    const processes = {
      api: join(root, 'dist', 'api', 'server.js'),
      control: join(root, 'dist', 'workers', 'control.js'),
      provisioner: join(root, 'dist', 'workers', 'provisioner.js'),
      bareHono: fileURLToPath(new URL('./bare/hono.mjs', import.meta.url)),
      bareWorker: fileURLToPath(new URL('./bare/worker.mjs', import.meta.url)),
    };
    const children = Object.entries(processes).map(([name, entry]) => {
      const child = spawn(process.execPath, [entry], { env, stdio: ['ignore', 'ignore', 'inherit'] });
      return { name: name as keyof typeof processes, child };
    });
    try {
      await delay(settleMs);
      const rss = (name: keyof typeof processes): number => {
        const { child } = children.find((each) => each.name === name)!;
        if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
        return residentMiB(child.pid!);
      };
      const figure = (metric: string, ours: number, baseline: number) =>
        report({ bench: 'idle', metric, ours, baseline, n: 1, unit: 'MiB' });
      figure('rss_api', rss('api'), rss('bareHono'));
      figure('rss_worker', rss('control'), rss('bareWorker'));
      figure('rss_provisioner', rss('provisioner'), rss('bareWorker'));
    } finally {
      for (const { child } of children) child.kill('SIGTERM');
      await Promise.all(
        children.map(({ child }) => (child.exitCode === null ? once(child, 'exit') : Promise.resolve())),
      );
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

function residentMiB(pid: number): number {
  const kB = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kB) / 1024;
}
