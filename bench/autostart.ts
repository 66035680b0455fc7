import postgres from 'postgres';
import { startFloor } from './floor.ts';
import { insertLifecycleRows } from './lifecycle/rows.ts';
import { startLifecycleWorker } from './lifecycle/worker.ts';
import { type Load, connectCounted } from './pools/counted-database.ts';
import { report, timed } from './report.ts';
import { type Servers, withServers } from './servers.ts';

/** As many as a tick has in flight: five transactions, each followed by sixteen starts at once. */
const startsAtOnce = 5 * 16;

/**
 * Workspaces that are all due in the same minute: how fast one tick inserts their builds and starts their workflows, against
 * starting as many workflows that do nothing on the same server. Once with nobody who takes the workflows, which compares the
 * starts alone; once with workers on both sides, Terraform replaced by an empty plan in two slots. Goal: 0.9 of the rate.
 */
export async function benchAutostart({ runs = 10_000 }: { runs: number | undefined }): Promise<void> {
  await withServers(async (servers) => {
    for (const taken of [false, true]) {
      const prefix = taken ? 'taken_' : '';
      const emptyMs = await startEmpty(servers, { count: runs, taken });
      const tick = await runTick(servers, { count: runs, taken });
      const perSecond = (ms: number) => runs / (ms / 1_000);
      const figure = (metric: string, ours: number, baseline: number, unit: string) =>
        report({ bench: 'autostart', metric: `${prefix}${metric}`, ours, baseline, n: runs, unit });
      figure('starts_per_second', perSecond(tick.startedMs), perSecond(emptyMs), '1/s');
      figure('builds_inserted_per_second', perSecond(tick.insertedMs), perSecond(emptyMs), '1/s');
      figure('last_start_lag', tick.startedMs, emptyMs, 'ms');
      figure('statements_per_workspace', tick.load.statements / runs, 1, 'statements');
      figure('select1_p99_meanwhile', tick.load.probeP99Ms, 1, 'ms');
      figure('history_events', tick.historyEvents, 11, 'events');
    }
  });
}

/** Milliseconds until all are started. */
async function startEmpty(servers: Servers, { count, taken }: { count: number; taken: boolean }): Promise<number> {
  const floor = await startFloor(servers.temporalAddress, 'default');
  const taskQueue = taken ? 'bench-floor' : 'bench-nobody';
  let next = 0;
  const lane = async () => {
    for (let index = next++; index < count; index = next++)
      await floor.client.workflow.start('floor', { taskQueue, workflowId: `empty-${taken}/${index}`, args: [] });
  };
  const ms = await timed(() => Promise.all(Array.from({ length: startsAtOnce }, lane)));
  await floor.stop();
  console.error(
    `${count} empty workflows, ${taken ? 'taken' : 'not taken'}: ${(count / (ms / 1_000)).toFixed(0)} per second`,
  );
  return ms;
}

interface MeasuredTick {
  /** From the start of the tick to the last build and the last workflow. */
  readonly insertedMs: number;
  readonly startedMs: number;
  readonly historyEvents: number;
  readonly load: Load;
}

async function runTick(servers: Servers, { count, taken }: { count: number; taken: boolean }): Promise<MeasuredTick> {
  const name = await servers.createDatabase();
  const sql = postgres(servers.urlOf(name), { max: 1, onnotice: () => undefined });
  const nextStartAt = new Date(Math.floor(Date.now() / 60_000) * 60_000);
  const buildQueue = await insertLifecycleRows(sql, { workspaces: count, nextStartAt });
  const database = connectCounted(servers.urlOf(name));
  const worker = await startLifecycleWorker(servers.temporalAddress, database, {
    buildQueue: taken ? buildQueue : null,
  });
  let beganAt = 0;
  let tick = { builds: 0, historyEvents: 0 };
  const load = await database.measure(async () => {
    beganAt = Date.now();
    tick = await worker.runTick(`bench-autostart/${taken}`);
  });
  await worker.stop();
  const [times] = await sql<{ builds: number; inserted_ms: number; started_ms: number }[]>`
    select count(*)::int as builds,
      (extract(epoch from max(b.created_at)) * 1000)::float8 as inserted_ms,
      (extract(epoch from max(j.workflow_started_at)) * 1000)::float8 as started_ms
    from workspace_builds b join provisioner_jobs j on j.id = b.job_id where b.is_latest and b.transition = 'start'`;
  await database.close();
  await sql.end();
  await servers.dropDatabase(name);
  if (times!.builds !== count || tick.builds !== count)
    throw new Error(`${tick.builds} builds counted and ${times!.builds} stored for ${count} workspaces`);
  return {
    insertedMs: times!.inserted_ms - beganAt,
    startedMs: times!.started_ms - beganAt,
    historyEvents: tick.historyEvents,
    load,
  };
}
