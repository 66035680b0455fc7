import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LifecycleDeps } from '../../activities/deps.ts';
import { createRunLifecyclePage } from '../../activities/run-lifecycle-page.ts';
import { backgroundDeadlineMs, createTemporalStarter } from '../../commands/temporal.ts';
import { CONTROL_TASK_QUEUE } from '../../domain/ids.ts';
import { createLogger } from '../../telemetry/logger.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { type CountedDatabase, poolSize } from '../pools/counted-database.ts';

/** What a Terraform takes that has nothing to do (docs/benchmarks.md, `build`). */
const emptyPlanMs = 400;

export interface LifecycleWorker {
  readonly client: Client;
  /** One run of the workflow, as the schedule starts it. */
  runTick(workflowId: string): Promise<{ builds: number; historyEvents: number }>;
  stop(): Promise<void>;
}

/**
 * A worker for ticks. With a queue of builds it takes their workflows too, as a control worker does, and their Terraform; without
 * one they are started and nobody takes them.
 */
export async function startLifecycleWorker(
  address: string,
  database: CountedDatabase,
  { buildQueue }: { buildQueue: string | null },
): Promise<LifecycleWorker> {
  const native = await NativeConnection.connect({ address });
  const client = new Client({ connection: native });
  const deps: LifecycleDeps = {
    db: database.db,
    temporal: createTemporalStarter(client, backgroundDeadlineMs),
    logger: createLogger({ level: 'error', component: 'bench' }),
    metrics: createMetrics({ version: 'bench', defaultMetrics: false }),
    now: () => new Date(),
    rules: { autostartMaxLatenessMs: 0 },
    lifecycleConcurrency: Math.floor(poolSize / 2),
    maxBuildsPerTick: 1_000_000,
  };
  const workflowsPath = fileURLToPath(new URL('../../workflows/index.ts', import.meta.url));
  const taskQueue = buildQueue === null ? 'bench-control' : CONTROL_TASK_QUEUE;
  const workers = [
    await Worker.create({
      connection: native,
      taskQueue,
      workflowsPath,
      shutdownForceTime: '1 second',
      activities: { runLifecyclePage: createRunLifecyclePage(deps), finishJob: async () => 'succeeded' },
    }),
  ];
  if (buildQueue !== null)
    // Terraform with an empty plan: two slots, as a provisioner of this machine has.
    workers.push(
      await Worker.create({
        connection: native,
        taskQueue: buildQueue,
        maxConcurrentActivityTaskExecutions: 2,
        activities: { runTerraform: () => delay(emptyPlanMs, 'succeeded') },
      }),
    );
  const running = workers.map((worker) => worker.run());
  return {
    client,
    async runTick(workflowId) {
      const result = await client.workflow.execute('runLifecycle', {
        taskQueue,
        workflowId,
        args: [],
      });
      const { historyLength } = await client.workflow.getHandle(workflowId).describe();
      return { builds: (result as { builds: number }).builds, historyEvents: historyLength };
    },
    async stop() {
      // What is left of the builds is not waited for.
      for (const worker of workers) worker.shutdown();
      await Promise.allSettled(running);
      await native.close();
    },
  };
}
