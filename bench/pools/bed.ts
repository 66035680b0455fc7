import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import type { PrebuildDeps } from '../../activities/deps.ts';
import { loadConfig, workerEnvironment } from '../../config.ts';
import { createColumnCipher } from '../../db/encryption.ts';
import { migrate } from '../../db/migrate.ts';
import { createLogger } from '../../telemetry/logger.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { startPostgres, withDatabase } from '../../toolchain/postgres.ts';
import { terminalProgress } from '../../toolchain/progress.ts';
import { resolveTemporalFor, toolContext } from '../../toolchain/resolve.ts';
import { startTemporal } from '../../toolchain/temporal-server.ts';
import { type CountedDatabase, connectCounted, poolSize } from './counted-database.ts';
import { type InsertedPreset, type PoolRows, insertPools } from './rows.ts';

export interface World {
  readonly database: CountedDatabase;
  readonly deps: PrebuildDeps;
  readonly presets: readonly InsertedPreset[];
}

export interface PoolsBed {
  readonly temporalAddress: string;
  /** A database with these pools, for one piece of work; the same rows come from the same copy. */
  withWorld<T>(rows: readonly PoolRows[], work: (world: World) => Promise<T>): Promise<T>;
}

/** PostgreSQL with durable settings and a Temporal dev server; no API, no workers. Builds are started and nobody runs them. */
export async function withPoolsBed(work: (bed: PoolsBed) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-pools-'));
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
  const copies = new Map<string, { name: string; presets: readonly InsertedPreset[] }>();
  let names = 0;
  const create = async (template: string): Promise<string> => {
    const name = `bench_${(names += 1)}`;
    await admin`create database ${admin(name)} template ${admin(template)}`;
    return name;
  };
  try {
    const empty = await create('template0');
    await migrate(withDatabase(server.url, empty));
    await work({
      temporalAddress: temporal.address,
      async withWorld(rows, use) {
        const key = JSON.stringify(rows);
        let copy = copies.get(key);
        if (copy === undefined) {
          const name = await create(empty);
          const sql = postgres(withDatabase(server.url, name), { max: 1, onnotice: () => undefined });
          const presets: InsertedPreset[] = [];
          for (const each of rows) presets.push(...(await insertPools(sql, each)));
          await sql.end();
          copies.set(key, (copy = { name, presets }));
        }
        const name = await create(copy.name);
        const database = connectCounted(withDatabase(server.url, name));
        try {
          return await use({ database, deps: depsOf(database), presets: copy.presets });
        } finally {
          await database.close();
          await admin`drop database ${admin(name)} with (force)`;
        }
      },
    });
  } finally {
    await admin.end();
    await temporal.stop();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** As a control worker's, except that workflows of builds are not started. */
function depsOf({ db }: CountedDatabase): PrebuildDeps {
  return {
    db,
    temporal: { start: async () => undefined, cancel: async () => undefined, isReachable: async () => true },
    logger: createLogger({ level: 'error', component: 'bench' }),
    metrics: createMetrics({ version: 'bench', defaultMetrics: false }),
    cipher: createColumnCipher([Buffer.alloc(32, 1).toString('base64')]),
    now: () => new Date(),
    snapshot: {
      rules: {
        backoffIntervalMs: 60_000,
        failureHardLimit: 3,
        failedRetentionMs: 0,
        maxCreatesPerCycle: 0,
        maxInFlight: null,
      },
      backoffLookbackMs: 3_600_000,
    },
    maxInFlight: 0,
    poolConcurrency: Math.max(1, Math.floor(poolSize / 2)),
    wakeAt: () => undefined,
  };
}
