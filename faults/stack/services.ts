import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, workerEnvironment } from '../../config.ts';
import { migrate } from '../../db/migrate.ts';
import { startPostgres } from '../../toolchain/postgres.ts';
import { createProgress } from '../../toolchain/progress.ts';
import { resolveTemporalFor, resolveTerraformFor, toolContext } from '../../toolchain/resolve.ts';
import { startTemporal } from '../../toolchain/temporal-server.ts';
import type { Cleanup } from './cleanup.ts';
import { compileProcesses } from './compile.ts';
import type { Guardian } from './guardian.ts';
import { type Server, createServer } from './server.ts';

/** What the processes of Berth need around them, all our own and below one directory. */
export interface Services {
  /** Directory of everything; removed at the end. */
  readonly root: string;
  /** Compiled processes. */
  readonly compiled: string;
  readonly postgres: Server & { readonly address: string };
  readonly temporal: Server & { readonly address: string };
  readonly terraform: { readonly path: string; readonly cliConfig: string };
}

/** Set-up speaks on standard error: standard output belongs to the figures. */
const progress = createProgress({ write: (text) => process.stderr.write(text), interactive: false });

/** Durable PostgreSQL and Temporal with a file, as in production: both have to survive a kill -9. Throws SetupFailure. */
export async function startServices(cleanup: Cleanup, guardian: Guardian): Promise<Services> {
  const adopt = guardian.adoptProcess;
  const config = loadConfig();
  const env = workerEnvironment();
  const context = toolContext(config, env, progress);
  const { terraform, mirror } = await resolveTerraformFor(config, context, ['coder']);
  const { path: cli } = await resolveTemporalFor(config, context);
  const compiled = await compileProcesses(config.BERTH_TOOLS_DIR, progress);
  const root = mkdtempSync(join(tmpdir(), 'berth-faults-'));
  // PostgreSQL may run under another account, which has to pass through.
  chmodSync(root, 0o711);
  guardian.adoptDirectory(root);
  cleanup.add(() => rmSync(root, { recursive: true, force: true }));
  const postgres = await createServer(() => startPostgres({ dir: join(root, 'postgres'), progress }), {
    addressOf: ({ url }) => url,
    adopt,
  });
  cleanup.add(() => postgres.stop());
  // So that all processes may start at the same time.
  await migrate(postgres.address);
  let temporalPort = 0;
  const temporal = await createServer(
    async () => {
      const files = { logFile: join(root, 'temporal.log'), dbFile: join(root, 'temporal.db') };
      const server = await startTemporal({ cli, env, ...files, preferredPort: temporalPort, preferredUiPort: null });
      if (temporalPort === 0) temporalPort = Number(server.address.split(':')[1]);
      return server;
    },
    { addressOf: ({ address }) => address, adopt },
  );
  cleanup.add(() => temporal.stop());
  return { root, compiled, postgres, temporal, terraform: { path: terraform.path, cliConfig: mirror.cliConfigPath } };
}
