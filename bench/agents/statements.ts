import type { Bed } from './bed.ts';
import type { Around } from './side.ts';
import { familyCpuSeconds } from './usage.ts';

export interface Statements {
  readonly perSecond: number;
  readonly databaseCores: number;
}

/** Transactions of the database meanwhile; a statement outside of one counts as one. */
export async function withStatements<T>(
  { sql, postgresPid }: Bed,
  into: Statements[],
  work: (around: Around) => Promise<T>,
): Promise<T> {
  const look = async () => {
    const [row] = await sql<{ count: string }[]>`
      select sum(xact_commit + xact_rollback) as count from pg_stat_database where datname = current_database()`;
    return { at: performance.now(), count: Number(row!.count), cpu: familyCpuSeconds(postgresPid) };
  };
  let before: Awaited<ReturnType<typeof look>>;
  return work({
    begin: async () => {
      before = await look();
    },
    end: async () => {
      const after = await look();
      const seconds = (after.at - before.at) / 1_000;
      const [perSecond, databaseCores] = [(after.count - before.count) / seconds, (after.cpu - before.cpu) / seconds];
      into.push({ perSecond, databaseCores });
      console.error(`database: ${perSecond.toFixed(1)} statements/s, ${databaseCores.toFixed(3)} cores`);
    },
  });
}
