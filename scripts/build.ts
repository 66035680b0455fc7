import { chmodSync, cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import { buildAgentBundle } from '../agent/bundle.ts';
import { loadConfig, workerEnvironment } from '../config.ts';
import { SetupFailure, describeFailure } from '../toolchain/failure.ts';
import { run } from '../toolchain/process.ts';
import { terminalProgress } from '../toolchain/progress.ts';

/**
 * `npm run build`: compiled sources, migrations and the workflow bundle in dist/, so that a production worker needs neither
 * a TypeScript loader nor a bundler. The bundle must be made by the exact version of the SDK that runs it.
 */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist');
const progress = terminalProgress(loadConfig().CI !== undefined);

async function build(): Promise<void> {
  await progress.step('compile to dist/', async () => {
    rmSync(dist, { recursive: true, force: true });
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const result = await run(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
      cwd: root,
      env: workerEnvironment(),
    });
    if (result.code !== 0)
      throw new SetupFailure(`${result.stdout}${result.stderr}`.trim(), 'npx tsc -p ., then correct what it names');
    const cli = join(dist, 'cli', 'main.js');
    if (existsSync(cli)) chmodSync(cli, 0o755);
  });
  await progress.step('copy migrations and the shim', async () => {
    cpSync(join(root, 'db', 'migrations'), join(dist, 'db', 'migrations'), { recursive: true });
    cpSync(join(root, 'terraform', 'shim.mjs'), join(dist, 'terraform', 'shim.mjs'));
  });
  await progress.step('bundle the agent', async () => {
    writeFileSync(join(dist, 'agent', 'agent.mjs'), await buildAgentBundle());
  });
  await progress.step('bundle workflows', async () => {
    const { code } = await bundleWorkflowCode({ workflowsPath: join(root, 'workflows', 'index.ts') });
    writeFileSync(join(dist, 'workflow-bundle.js'), code);
  });
  console.log('dist/ is complete. Start with BERTH_WORKFLOW_BUNDLE=dist/workflow-bundle.js (docs/runbook.md).');
}

try {
  await build();
} catch (err) {
  console.error(describeFailure(err));
  process.exitCode = 1;
}
