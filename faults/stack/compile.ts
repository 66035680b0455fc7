import { bundleWorkflowCode } from '@temporalio/worker';
import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAgentBundle } from '../../agent/bundle.ts';
import { workerEnvironment } from '../../config.ts';
import { SetupFailure } from '../../toolchain/failure.ts';
import { withLock } from '../../toolchain/lock.ts';
import { run } from '../../toolchain/process.ts';
import type { Progress } from '../../toolchain/progress.ts';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
/** Folders that no process of Berth runs code of. */
const elsewhere = new Set(['bench', 'dist', 'docs', 'examples', 'faults', 'node_modules', 'test']);
const keptForMs = 24 * 3_600_000;

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Everything that may decide what the processes do. */
function sources(): string[] {
  const entries = readdirSync(root, { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'));
  const folders = entries.filter((entry) => entry.isDirectory() && !elsewhere.has(entry.name));
  const files = entries.filter((entry) => entry.isFile());
  return [...folders.flatMap(({ name }) => filesBelow(join(root, name))), ...files.map(({ name }) => join(root, name))]
    .filter((path) => /\.(ts|mjs|json|sql)$/.test(path))
    .toSorted();
}

/**
 * The processes under test as JavaScript, made once per state of the sources and kept in the tools directory: a scenario
 * starts them dozens of times, and from source each start costs two to three seconds of a core more (3.6 s against 1.2 s).
 * Answers the directory. Throws SetupFailure when the sources do not compile.
 */
export async function compileProcesses(toolsDir: string, progress: Progress): Promise<string> {
  const files = sources();
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${relative(root, file)}\0`).update(readFileSync(file));
  const home = join(toolsDir, 'compiled');
  const target = join(home, hash.digest('hex').slice(0, 16));
  mkdirSync(home, { recursive: true });
  await withLock(join(toolsDir, 'locks', 'compiled.lock'), async () => {
    removeOld(home);
    if (statSync(target, { throwIfNoEntry: false }) === undefined)
      await progress.step('compile the processes under test', () => compileInto(target, files));
    utimesSync(target, new Date(), new Date());
  });
  return target;
}

/** Other runs may use theirs now: only what nobody has asked for since yesterday goes. */
function removeOld(home: string): void {
  for (const name of readdirSync(home)) {
    const path = join(home, name);
    if (Date.now() - statSync(path).mtimeMs > keptForMs) rmSync(path, { recursive: true, force: true });
  }
}

async function compileInto(target: string, files: readonly string[]): Promise<void> {
  const draft = `${target}.new`;
  rmSync(draft, { recursive: true, force: true });
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', draft, '--sourceMap', 'false'];
  const { code, stdout, stderr } = await run(process.execPath, args, { cwd: root, env: workerEnvironment() });
  if (code !== 0) throw new SetupFailure(`${stdout}${stderr}`.trim(), 'npx tsc -p ., then correct what it names');
  // What runs as it is (the Terraform supervisor), and what is read at start.
  for (const file of files.filter((path) => path.endsWith('.mjs'))) cpSync(file, join(draft, relative(root, file)));
  cpSync(join(root, 'db', 'migrations'), join(draft, 'db', 'migrations'), { recursive: true });
  const { code: bundle } = await bundleWorkflowCode({
    workflowsPath: join(root, 'workflows', 'index.ts'),
    logger: { log: quiet, trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  writeFileSync(join(draft, 'workflow-bundle.js'), bundle);
  writeFileSync(join(draft, 'agent', 'agent.mjs'), await buildAgentBundle());
  renameSync(draft, target);
}

function quiet(): void {
  // The bundler's account of its work; what goes wrong is thrown.
}
