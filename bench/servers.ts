import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { loadConfig, workerEnvironment } from '../config.ts';
import { migrate } from '../db/migrate.ts';
import { startPostgres, withDatabase } from '../toolchain/postgres.ts';
import { terminalProgress } from '../toolchain/progress.ts';
import { resolveTemporalFor, toolContext } from '../toolchain/resolve.ts';
import { startTemporal } from '../toolchain/temporal-server.ts';

export interface Servers {
  readonly temporalAddress: string;
  /** A new database with what another one has; without one it has the tables and nothing else. Answers its name. */
  createDatabase(template?: string): Promise<string>;
  urlOf(database: string): string;
  dropDatabase(database: string): Promise<void>;
}

/** PostgreSQL with durable settings and a Temporal dev server; no API, no workers. */
export async function withServers(work: (servers: Servers) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-bench-'));
  // PostgreSQL's account passes through.
  chmodSync(directory, 0o711);
  const progress = terminalProgress(true);
  const server = await startPostgres({ dir: join(directory, 'postgres'), progress });
  const env = { ...workerEnvironment(), CODER_PG_CONNECTION_URL: server.url };
  const config = loadConfig(env);
  const cli = await resolveTemporalFor(config, toolContext(config, env, progress));
  const temporal = await startTemporal({
    cli: cli.path,
    env,
    logFile: join(directory, 'temporal.log'),
    dbFile: null,
    preferredUiPort: null,
  });
  const admin = postgres(server.url, { max: 1, onnotice: () => undefined });
  const urlOf = (database: string) => withDatabase(server.url, database);
  let names = 0;
  const createDatabase = async (template: string): Promise<string> => {
    const name = `bench_${(names += 1)}`;
    await admin`create database ${admin(name)} template ${admin(template)}`;
    return name;
  };
  try {
    const empty = await createDatabase('template0');
    await migrate(urlOf(empty));
    await work({
      temporalAddress: temporal.address,
      createDatabase: (template = empty) => createDatabase(template),
      urlOf,
      async dropDatabase(name) {
        await admin`drop database ${admin(name)} with (force)`;
      },
    });
  } finally {
    await admin.end();
    await temporal.stop();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
