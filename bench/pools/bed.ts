import postgres from 'postgres';
import type { PrebuildDeps } from '../../activities/deps.ts';
import { createColumnCipher } from '../../db/encryption.ts';
import { createLogger } from '../../telemetry/logger.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { withServers } from '../servers.ts';
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

/** Databases with pools on servers of their own. Builds are started and nobody runs them. */
export async function withPoolsBed(work: (bed: PoolsBed) => Promise<void>): Promise<void> {
  const copies = new Map<string, { name: string; presets: readonly InsertedPreset[] }>();
  await withServers(({ temporalAddress, createDatabase, urlOf, dropDatabase }) =>
    work({
      temporalAddress,
      async withWorld(rows, use) {
        const key = JSON.stringify(rows);
        let copy = copies.get(key);
        if (copy === undefined) {
          const name = await createDatabase();
          const sql = postgres(urlOf(name), { max: 1, onnotice: () => undefined });
          const presets: InsertedPreset[] = [];
          for (const each of rows) presets.push(...(await insertPools(sql, each)));
          await sql.end();
          copies.set(key, (copy = { name, presets }));
        }
        const name = await createDatabase(copy.name);
        const database = connectCounted(urlOf(name));
        try {
          return await use({ database, deps: depsOf(database), presets: copy.presets });
        } finally {
          await database.close();
          await dropDatabase(name);
        }
      },
    }),
  );
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
      quotaEnabled: true,
    },
    maxInFlight: 0,
    poolConcurrency: Math.max(1, Math.floor(poolSize / 2)),
    wakeAt: () => undefined,
  };
}
