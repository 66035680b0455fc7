import type postgres from 'postgres';

/** The database's clock as its sessions see it, which can jump. Defaults of columns keep to the real one. */
export interface DatabaseClock {
  /** From the next statement on; ms against the real clock. */
  shift(ms: number): Promise<void>;
  /** Takes it away again. All sessions begin anew. */
  remove(): Promise<void>;
}

/** Sessions read their search path when they begin. Whoever loses one connects again. */
const renewSessions = (sql: postgres.Sql): Promise<unknown> => sql`
  select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;

/** Puts a `now()` of ours before that of PostgreSQL, for the whole database. */
export async function installClock(sql: postgres.Sql): Promise<DatabaseClock> {
  const [{ name } = { name: '' }] = await sql<{ name: string }[]>`select current_database() as name`;
  await sql.unsafe(`
    create schema clock;
    create table clock.shift (ms float8 not null);
    insert into clock.shift values (0);
    create function clock.now() returns timestamptz language sql stable as
      'select pg_catalog.now() + ms * interval ''1 millisecond'' from clock.shift';`);
  await sql`alter database ${sql(name)} set search_path = clock, pg_catalog, public`;
  await renewSessions(sql);
  return {
    shift: async (ms) => void (await sql`update clock.shift set ms = ${ms}`),
    async remove() {
      await sql`alter database ${sql(name)} reset search_path`;
      await renewSessions(sql);
      await sql`drop schema clock cascade`;
    },
  };
}
