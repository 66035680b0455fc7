import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig, workerEnvironment } from '../config.ts';
import { run } from '../toolchain/process.ts';
import type { RunResult } from '../toolchain/process.ts';
import { terminalProgress } from '../toolchain/progress.ts';

/** `npm run check`: format, lint with the folders' import map, types, migrations, OpenAPI document. All steps run, then the verdict. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);

interface Check {
  readonly name: string;
  readonly fix: string;
  /** Null when all is well, else what is wrong. */
  readonly find: () => Promise<string | null>;
}

const execute = (args: readonly string[], timeoutMs = 300_000): Promise<RunResult> =>
  run(process.execPath, args, { cwd: root, env: { ...workerEnvironment(), NO_COLOR: '1' }, timeoutMs });

/** Path of an installed package's command, as its package.json names it. */
function binary(name: string, command = name): string {
  const manifest = join(root, 'node_modules', name, 'package.json');
  const { bin } = require(manifest) as { bin: string | Record<string, string> };
  return join(dirname(manifest), typeof bin === 'string' ? bin : (bin[command] ?? ''));
}

const complaint = ({ code, stdout, stderr }: RunResult): string | null =>
  code === 0 ? null : `${stdout}\n${stderr}`.trim() || `ended with ${code}`;

const migrationsFolder = 'db/migrations';

/** A fresh `generate` beside a copy of the migrations must find nothing to write. */
async function migrationsComplete(): Promise<string | null> {
  const drizzle = binary('drizzle-kit');
  const consistent = complaint(await execute([drizzle, 'check']));
  if (consistent !== null) return consistent;
  mkdirSync(join(root, '.tools'), { recursive: true });
  const copy = mkdtempSync(join(root, '.tools', 'migrations-'));
  try {
    cpSync(join(root, migrationsFolder), copy, { recursive: true });
    const before = readdirSync(copy).length;
    const schema = `--schema=./db/schema/*.ts`;
    const out = `--out=./${relative(root, copy)}`;
    const result = await execute([drizzle, 'generate', '--dialect=postgresql', schema, out, '--name=missing'], 60_000);
    const failure = complaint(result);
    if (failure !== null) return failure;
    const added = readdirSync(copy).length - before;
    // drizzle-kit ends with 0 even when it cannot read the schema.
    if (added === 0 && !result.stdout.includes('No schema changes')) return `${result.stdout}\n${result.stderr}`.trim();
    return added === 0 ? null : `the schema has changed since the last migration:\n${result.stdout.trim()}`;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const checks: readonly Check[] = [
  {
    name: 'format',
    fix: 'npm run format',
    find: async () => complaint(await execute([binary('prettier'), '--check', '--log-level=warn', '.'])),
  },
  {
    name: 'lint',
    fix: 'npx oxlint --type-aware, then correct what it names',
    find: async () => complaint(await execute([binary('oxlint'), '--type-aware'])),
  },
  {
    name: 'types',
    fix: 'npx tsc -p ., then correct what it names',
    find: async () => complaint(await execute([binary('typescript', 'tsc'), '-p', '.'])),
  },
  {
    name: 'migrations',
    fix: 'npx drizzle-kit generate --name what-changed',
    find: migrationsComplete,
  },
  {
    name: 'OpenAPI document',
    fix: 'npm run openapi',
    find: async () => complaint(await execute(['--import', 'tsx', 'scripts/openapi.ts', '--check'])),
  },
];

const progress = terminalProgress(loadConfig().CI !== undefined);
const failed: string[] = [];
for (const { name, fix, find } of checks) {
  try {
    await progress.step(name, async () => {
      const problem = await find();
      if (problem !== null) throw new Error(problem);
    });
  } catch (err) {
    console.log((err as Error).message);
    failed.push(`${name} (fix: ${fix})`);
  }
}
if (failed.length > 0) {
  console.log(`\ncheck failed: ${failed.join('; ')}`);
  process.exitCode = 1;
}
