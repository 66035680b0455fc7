import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate as runMigrations } from 'drizzle-orm/postgres-js/migrator';
import postgres from 'postgres';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** One lock for every process that migrates; the number is arbitrary but must never change. */
const migrationLock = 7_211_946;

const folder = fileURLToPath(new URL('./migrations', import.meta.url));

/** How many migrations this release brings; a database with fewer is not ready for it. */
export const knownMigrations = (
  JSON.parse(readFileSync(`${folder}/meta/_journal.json`, 'utf8')) as { entries: unknown[] }
).entries.length;

/**
 * Brings the schema up to date. Safe when many processes start at once: one migrates under a session lock, the others
 * wait for it and find nothing to do.
 */
export async function migrate(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined, connection: { application_name: 'berth-migrate' } });
  try {
    await sql`select pg_advisory_lock(${migrationLock})`;
    await runMigrations(drizzle(sql), { migrationsFolder: folder });
  } finally {
    // Ending the connection releases the lock as well, also when the migration failed.
    await sql.end({ timeout: 5 });
  }
}
