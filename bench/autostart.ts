import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { type JobFacts, jobWorkflowStart } from '../commands/start-job.ts';
import { type WorkflowStart, createTemporalStarter, requestDeadlineMs } from '../commands/temporal.ts';
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
 * starting as many workflows that do nothing. Once with nobody who takes the workflows, which compares the starts alone, also with
 * empty workflows that carry the same search attributes; once with workers on both sides, Terraform replaced by an empty plan in two
 * slots. A server is slower the more it has, so that each measurement has its own. Goal: 0.9 of the rate.
 */
export async function benchAutostart({ runs = 10_000 }: { runs: number | undefined }): Promise<void> {
  const perSecond = (ms: number, count = runs) => count / (ms / 1_000);
  const onNewServers = async <Result>(measure: (servers: Servers) => Promise<Result>): Promise<Result> => {
    let result: Result;
    await withServers(async (servers) => void (result = await measure(servers)));
    return result!;
  };
  for (const taken of [false, true]) {
    const emptyMs = await onNewServers((servers) => startEmpty(servers, { count: runs, taken }));
    const tick = await onNewServers((servers) => runTick(servers, { count: runs, taken }));
    const figure = (metric: string, ours: number, baseline: number, unit: string) =>
      report({ bench: 'autostart', metric: `${taken ? 'taken_' : ''}${metric}`, ours, baseline, n: runs, unit });
    figure('starts_per_second', perSecond(tick.startedMs, tick.started), perSecond(emptyMs), '1/s');
    figure('left_to_sweep', runs - tick.started, runs, 'workflows');
    if (!taken) {
      const alikeMs = await onNewServers((servers) => startEmpty(servers, { count: runs, taken, alike: true }));
      figure('starts_per_second_alike', perSecond(tick.startedMs, tick.started), perSecond(alikeMs), '1/s');
    }
    figure('builds_inserted_per_second', perSecond(tick.insertedMs), perSecond(emptyMs), '1/s');
    figure('last_start_lag', tick.startedMs, emptyMs, 'ms');
    figure('statements_per_workspace', tick.load.statements / runs, 1, 'statements');
    figure('select1_p99_meanwhile', tick.load.probeP99Ms, 1, 'ms');
    figure('history_events', tick.historyEvents, 11, 'events');
  }
}

/** Milliseconds until all are started; `alike` = with the search attributes, the summary and the priority of a build. */
async function startEmpty(
  { temporalAddress }: Servers,
  { count, taken, alike = false }: { count: number; taken: boolean; alike?: boolean },
): Promise<number> {
  const floor = await startFloor(temporalAddress, 'default');
  const connection = await NativeConnection.connect({ address: temporalAddress });
  const client = new Client({ connection });
  const starter = createTemporalStarter(client, requestDeadlineMs);
  // The starter gives up after a second, and leaves the rest to the sweep; here there is none.
  const started = (of: WorkflowStart): Promise<void> => starter.start(of).catch(() => started(of));
  const start = (index: number): Promise<unknown> =>
    alike
      ? started({ ...jobWorkflowStart(buildFacts(index)), workflowType: 'floor' })
      : client.workflow.start('floor', {
          taskQueue: taken ? 'bench-floor' : 'bench-nobody',
          workflowId: `empty/${index}`,
          args: [],
        });
  let next = 0;
  const lane = async () => {
    for (let index = next++; index < count; index = next++) await start(index);
  };
  const ms = await timed(() => Promise.all(Array.from({ length: startsAtOnce }, lane)));
  await floor.stop();
  await connection.close();
  return ms;
}

function buildFacts(index: number): JobFacts {
  const [jobId, buildId] = [randomUUID(), randomUUID()];
  return {
    jobId,
    workflowId: `build/${buildId}`,
    tags: {},
    priority: 3,
    kind: {
      type: 'workspace_build',
      buildId,
      buildNumber: 2,
      transition: 'start',
      reason: 'autostart',
      prebuildStage: 'none',
      workspaceName: `workspace-${index}`,
      ownerName: 'bench',
      templateName: 'bench',
    },
  };
}

interface MeasuredTick {
  /** From the start of the tick to the last build and the last workflow. */
  readonly insertedMs: number;
  readonly startedMs: number;
  /** Workflows that the tick itself started. */
  readonly started: number;
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
  const [times] = await sql<{ builds: number; started: number; inserted_ms: number; started_ms: number }[]>`
    select count(*)::int as builds, count(j.workflow_started_at)::int as started,
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
    started: times!.started,
    historyEvents: tick.historyEvents,
    load,
  };
}
