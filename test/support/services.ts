import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import { inject } from 'vitest';
import type { ProvidedContext } from 'vitest';
import { withDatabase } from '../../toolchain/postgres.ts';

/** An address that the run's global set-up provides. Throws when the project has not asked for that service. */
function provided<Key extends keyof ProvidedContext>(key: Key): ProvidedContext[Key] {
  const value = inject(key) as ProvidedContext[Key] | undefined;
  if (value === undefined)
    throw new Error(`this project starts no ${key}: add the service in test/support/global-setup.ts`);
  return value;
}

export const testTemporalAddress = (): string => provided('temporalAddress');
export const testTemporalCli = (): string => provided('temporalCliPath');
/** For a worker: all workflow code, bundled once for the run. */
export const testWorkflowBundle = (): { readonly codePath: string } => ({ codePath: provided('workflowBundlePath') });
/** Terraform and the CLI configuration (TF_CLI_CONFIG_FILE) whose mirror has coder/coder and hashicorp/time. */
export const testTerraform = (): { readonly path: string; readonly cliConfig: string } => ({
  path: provided('terraformPath'),
  cliConfig: provided('tfCliConfig'),
});
export const testPostgresAdminUrl = (): string => provided('pgAdminUrl');

export interface TestDatabase {
  readonly url: string;
  /** Ends all its sessions and removes it. */
  drop(): Promise<void>;
}

async function asAdmin<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(testPostgresAdminUrl(), { max: 1, onnotice: () => undefined });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** A migrated database of its own for one test file, cloned from `berth_template`. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await asAdmin(async (sql) => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await sql`create database ${sql(name)} template berth_template`;
        return;
      } catch (err) {
        // 55006 object_in_use: autovacuum looks at the template now and then.
        if ((err as { code?: string }).code !== '55006' || attempt === 50) throw err;
        await delay(100);
      }
    }
  });
  return {
    url: withDatabase(testPostgresAdminUrl(), name),
    drop: () =>
      asAdmin(async (sql) => {
        await sql`drop database if exists ${sql(name)} with (force)`;
      }),
  };
}
