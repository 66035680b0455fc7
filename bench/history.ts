import proto from '@temporalio/proto';
import postgres from 'postgres';
import { setTimeout as delay } from 'node:timers/promises';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { type Build, createBenchWorkspace, importBenchTemplate, transitionOf } from './builds.ts';
import { type Floor, startFloor } from './floor.ts';
import { quantile, report } from './report.ts';
import { apiOf } from './stack.ts';

/** Goals: at most 17 events and 12 KB of history per build, and 6 transactions that write (log batches apart). */
export async function benchHistory({ runs = 20 }: { runs: number | undefined }): Promise<void> {
  await withThrowawayStack(async (stack, postgresUrl) => {
    const api = apiOf(stack);
    const workspaceId = await createBenchWorkspace(api, await importBenchTemplate(api), 'bench');
    const floor = await startFloor(stack.urls.temporalAddress, stack.urls.temporalNamespace);
    const sql = postgres(postgresUrl, { max: 1 });
    try {
      const ours = { events: [] as number[], bytes: [] as number[] };
      const least = { events: [] as number[], bytes: [] as number[] };
      const jobs: string[] = [];
      const beganAt = performance.now();
      const before = await nextTransaction(sql);
      for (let index = 0; index < runs; index += 1) {
        // Nobody watches meanwhile: a client's reads are not the build's.
        const created = await api.post<Build>(`/workspaces/${workspaceId}/builds`, { transition: transitionOf(index) });
        await floor.client.workflow.getHandle(`build/${created.id}`).result();
        jobs.push(created.job.id);
        add(ours, await historyOf(floor, `build/${created.id}`));
        console.error(`run ${index + 1}/${runs}`);
      }
      const after = await nextTransaction(sql);
      const idle = await idleTransactions(sql, performance.now() - beganAt);
      const logs = await logBatches(sql, jobs);
      for (let index = 0; index < runs; index += 1) add(least, await historyOf(floor, await floor.run(index)));
      const figure = (metric: string, value: number, baseline: number, unit: string) =>
        report({ bench: 'history', metric, ours: value, baseline, n: runs, unit });
      figure('events_per_build', quantile(ours.events, 1), quantile(least.events, 1), 'events');
      figure('bytes_per_build', quantile(ours.bytes, 1), quantile(least.bytes, 1), 'bytes');
      // The baseline is the one transaction that the outcome itself takes.
      figure('transactions_per_build', (after - before - idle - logs) / runs, 1, 'transactions');
    } finally {
      await sql.end();
      await floor.stop();
    }
  });
}

interface Sizes {
  readonly events: number[];
  readonly bytes: number[];
}
const add = (sizes: Sizes, { events, bytes }: { events: number; bytes: number }): void => {
  sizes.events.push(events);
  sizes.bytes.push(bytes);
};

async function historyOf({ client }: Floor, workflowId: string): Promise<{ events: number; bytes: number }> {
  const history = await client.workflow.getHandle(workflowId).fetchHistory();
  const { History } = proto.temporal.api.history.v1;
  return { events: history.events?.length ?? 0, bytes: History.encode(history).finish().length };
}

/** Number of the next transaction that writes; asking for it takes none. */
async function nextTransaction(sql: postgres.Sql): Promise<number> {
  const [row] = await sql<{ next: string }[]>`select pg_snapshot_xmax(pg_current_snapshot())::text as next`;
  return Number(row!.next);
}

/** What schedules and heartbeats write in so many milliseconds. */
async function idleTransactions(sql: postgres.Sql, ms: number): Promise<number> {
  const before = await nextTransaction(sql);
  await delay(ms);
  return (await nextTransaction(sql)) - before;
}

async function logBatches(sql: postgres.Sql, jobs: readonly string[]): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(distinct xmin::text)::int as count from provisioner_job_logs where job_id = any(${[...jobs]}::uuid[])`;
  return row!.count;
}
