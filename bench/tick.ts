import postgres from 'postgres';
import { drizzle } from 'drizzle-orm/postgres-js';
import type { Db } from '../db/client.ts';
import { firstDue, readTick, scanDue } from '../db/queries/lifecycle.ts';
import { insertLifecycleRows } from './lifecycle/rows.ts';
import { startLifecycleWorker } from './lifecycle/worker.ts';
import { connectCounted } from './pools/counted-database.ts';
import { quantile, report, timed } from './report.ts';
import { withServers } from './servers.ts';

const workspaces = 10_000;
const buildsBefore = 100;

/** A tick with nothing due over 1,000,000 builds that are history: rows read, and its time against the bare statement. */
export async function benchTick({ runs = 50 }: { runs: number | undefined }): Promise<void> {
  await withServers(async (servers) => {
    const name = await servers.createDatabase();
    const sql = postgres(servers.urlOf(name), { max: 1, onnotice: () => undefined });
    console.error(`${workspaces * buildsBefore} builds of ${workspaces} workspaces`);
    const inAWeek = new Date(Date.now() + 7 * 24 * 3_600_000);
    const buildQueue = await insertLifecycleRows(sql, { workspaces, buildsBefore, nextStartAt: inAWeek });
    const database = connectCounted(servers.urlOf(name));
    const worker = await startLifecycleWorker(servers.temporalAddress, database, { buildQueue });
    const { text, values } = await statementOf(sql);
    const bare = () => sql.unsafe(text, values as never[], { prepare: true });
    const scan = async () => {
      const { tick } = await readTick(database.db);
      await scanDue(database.db, { tick, after: firstDue, limit: 500 });
    };
    const samples = { bare: [] as number[], scan: [] as number[], tick: [] as number[] };
    for (let run = -5; run < runs; run += 1) {
      const times = {
        bare: await timed(bare),
        scan: await timed(scan),
        tick: await timed(() => worker.runTick(`bench-tick/${run}`)),
      };
      if (run < 0) continue;
      for (const key of ['bare', 'scan', 'tick'] as const) samples[key].push(times[key]);
    }
    const load = await database.measure(() => worker.runTick('bench-tick/counted'));
    const rows = await rowsRead(sql, text, values);
    await worker.stop();
    await database.close();
    await sql.end();
    const base = quantile(samples.bare, 0.5);
    const figure = (metric: string, ours: number, baseline: number, unit: string) =>
      report({ bench: 'tick', metric, ours, baseline, n: runs, unit });
    figure('idle_scan_p50', quantile(samples.scan, 0.5), base, 'ms');
    figure('idle_tick_p50', quantile(samples.tick, 0.5), base, 'ms');
    figure('rows_read', rows, 1, 'rows');
    figure('statements_per_tick', load.statements, 1, 'statements');
  });
}

/** The scan as it is sent. */
async function statementOf(sql: postgres.Sql): Promise<{ text: string; values: unknown[] }> {
  const seen: { text: string; values: unknown[] }[] = [];
  const recording = drizzle(sql, { logger: { logQuery: (text, values) => void seen.push({ text, values }) } });
  await scanDue(recording as unknown as Db, { tick: new Date(), after: firstDue, limit: 500 });
  return seen[0]!;
}

interface PlanNode {
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Relation Name'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** Rows that the nodes on tables have touched, kept or not. */
async function rowsRead(sql: postgres.Sql, text: string, values: readonly unknown[]): Promise<number> {
  const [row] = await sql.unsafe(`explain (analyze, format json) ${text}`, values as never[]);
  const [{ Plan: plan }] = (row as unknown as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'];
  const count = (node: PlanNode): number => {
    const own =
      node['Relation Name'] === undefined
        ? 0
        : (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
    return own + (node.Plans ?? []).reduce((sum, child) => sum + count(child), 0);
  };
  return count(plan);
}
