import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import postgres from 'postgres';
import type { TestProject } from 'vitest/node';
import { loadConfig, workerEnvironment } from '../../config.ts';
import { migrate } from '../../db/migrate.ts';
import { startPostgres, withDatabase } from '../../toolchain/postgres.ts';
import { terminalProgress } from '../../toolchain/progress.ts';
import { resolveTemporalFor, resolveTerraformFor, toolContext } from '../../toolchain/resolve.ts';
import type { RunningUnit } from '../../toolchain/running.ts';
import { startTemporal } from '../../toolchain/temporal-server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Superuser URL of the run's PostgreSQL, database `postgres`; it also has the migrated `berth_template`. */
    pgAdminUrl: string;
    temporalAddress: string;
    temporalCliPath: string;
    /** All workflow code, bundled once for the run: each worker would take seconds for its own. */
    workflowBundlePath: string;
    terraformPath: string;
    /** TF_CLI_CONFIG_FILE with the providers coder/coder and hashicorp/time. */
    tfCliConfig: string;
  }
}

type Service = 'postgres' | 'temporal' | 'temporalCli' | 'terraform';
/** Which real services a project's tests use. A project without an entry starts nothing and runs in milliseconds. */
const servicesOf: Readonly<Record<string, readonly Service[]>> = {
  db: ['postgres'],
  api: ['postgres', 'temporal'],
  toolchain: ['temporalCli', 'terraform'],
  terraform: ['terraform'],
  workflows: ['postgres', 'temporal'],
  cli: ['postgres', 'temporal', 'terraform'],
  e2e: ['postgres', 'temporal', 'terraform'],
  faults: ['postgres', 'temporal', 'terraform'],
};

interface Run {
  users: number;
  readonly dir: string;
  readonly reaper: ChildProcess;
  readonly units: RunningUnit[];
  readonly services: {
    postgres?: Promise<{ pgAdminUrl: string }>;
    temporal?: Promise<{ temporalAddress: string }>;
    workflowBundle?: Promise<{ workflowBundlePath: string }>;
    temporalCli?: Promise<{ temporalCliPath: string }>;
    terraform?: Promise<{ terraformPath: string; tfCliConfig: string }>;
  };
}

// Each project loads this file on its own, in one process: what they share has to hang on the global object.
const shared = globalThis as typeof globalThis & { berthTestRun?: Run };

const config = loadConfig();
const context = toolContext(config, workerEnvironment(), terminalProgress(true));

function beginRun(): Run {
  const dir = mkdtempSync(join(tmpdir(), 'berth-test-'));
  // PostgreSQL may run under another account, which has to pass through.
  chmodSync(dir, 0o711);
  const reaper = spawn(process.execPath, [fileURLToPath(new URL('./reaper.mjs', import.meta.url))], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true,
  });
  // The run must be able to end while the reaper waits for exactly that.
  reaper.unref();
  reaper.stdin?.write(`dir ${dir}\n`);
  return { users: 0, dir, reaper, units: [], services: {} };
}

function adopt(run: Run, unit: RunningUnit): void {
  run.units.push(unit);
  run.reaper.stdin?.write(`pid ${unit.identity.pid} ${unit.identity.start}\n`);
}

async function beginPostgres(run: Run): Promise<{ pgAdminUrl: string }> {
  const server = await startPostgres({ dir: join(run.dir, 'postgres'), progress: context.progress, throwaway: true });
  adopt(run, server);
  run.reaper.stdin?.write(`dir ${server.dataDir}\n`);
  const pgAdminUrl = withDatabase(server.url, 'postgres');
  const sql = postgres(pgAdminUrl, { max: 1, onnotice: () => undefined });
  try {
    await sql`create database berth_template`;
    await migrate(withDatabase(server.url, 'berth_template'));
    // A database can be cloned only while nobody is connected to it.
    await sql`alter database berth_template with is_template true allow_connections false`;
  } finally {
    await sql.end({ timeout: 5 });
  }
  return { pgAdminUrl };
}

const temporalCli = (run: Run): Promise<{ temporalCliPath: string }> =>
  (run.services.temporalCli ??= resolveTemporalFor(config, context).then(({ path }) => ({ temporalCliPath: path })));

async function beginTemporal(run: Run): Promise<{ temporalAddress: string }> {
  const { temporalCliPath: cli } = await temporalCli(run);
  const logFile = join(run.dir, 'temporal.log');
  const server = await startTemporal({ cli, env: context.env, logFile, dbFile: null, preferredUiPort: null });
  adopt(run, server);
  return { temporalAddress: server.address };
}

async function bundleWorkflows(run: Run): Promise<{ workflowBundlePath: string }> {
  const workflowsPath = fileURLToPath(new URL('../../workflows/index.ts', import.meta.url));
  const { code } = await bundleWorkflowCode({ workflowsPath });
  const workflowBundlePath = join(run.dir, 'workflow-bundle.js');
  writeFileSync(workflowBundlePath, code);
  return { workflowBundlePath };
}

async function resolveTerraform(): Promise<{ terraformPath: string; tfCliConfig: string }> {
  const { terraform, mirror } = await resolveTerraformFor(config, context, ['coder', 'time']);
  return { terraformPath: terraform.path, tfCliConfig: mirror.cliConfigPath };
}

/** Starts what the project needs, once per run, and hands the addresses to its tests. */
export async function setup(project: TestProject): Promise<void> {
  const wanted = servicesOf[project.name] ?? [];
  if (wanted.length === 0) return;
  const run = (shared.berthTestRun ??= beginRun());
  run.users += 1;
  const { services } = run;
  if (wanted.includes('postgres')) {
    const { pgAdminUrl } = await (services.postgres ??= beginPostgres(run));
    project.provide('pgAdminUrl', pgAdminUrl);
  }
  if (wanted.includes('temporal')) {
    const { temporalAddress } = await (services.temporal ??= beginTemporal(run));
    project.provide('temporalAddress', temporalAddress);
    const { workflowBundlePath } = await (services.workflowBundle ??= bundleWorkflows(run));
    project.provide('workflowBundlePath', workflowBundlePath);
  }
  if (wanted.includes('temporal') || wanted.includes('temporalCli'))
    project.provide('temporalCliPath', (await temporalCli(run)).temporalCliPath);
  if (wanted.includes('terraform')) {
    const { terraformPath, tfCliConfig } = await (services.terraform ??= resolveTerraform());
    project.provide('terraformPath', terraformPath);
    project.provide('tfCliConfig', tfCliConfig);
  }
}

/** The last project to end stops everything. */
export async function teardown(): Promise<void> {
  const run = shared.berthTestRun;
  if (run === undefined) return;
  run.users -= 1;
  if (run.users > 0) return;
  delete shared.berthTestRun;
  await Promise.all(run.units.map((unit) => unit.stop()));
  rmSync(run.dir, { recursive: true, force: true });
  // Data outside `dir` and anything that would not stop is the reaper's; it ends with its input.
  run.reaper.stdin?.end();
}
