import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { drizzle } from 'drizzle-orm/postgres-js';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { createPlanPrebuildCycle } from '../../activities/plan-prebuild-cycle.ts';
import { createReconcilePools } from '../../activities/reconcile-pools.ts';
import { createReconcilePreset } from '../../commands/reconcile-preset.ts';
import type { Db } from '../../db/client.ts';
import { readPrebuildSnapshot } from '../../db/queries/prebuild-snapshot.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { World } from './bed.ts';

const origin = {
  requestId: randomUUID(),
  ip: null,
  userAgent: '',
  userId: PREBUILDS_SYSTEM_USER_ID,
  actor: 'prebuilds-orchestrator',
};

/** One cycle as the workflow runs it, without Temporal. Answers its plan. */
export async function runBoundedCycle({ deps }: World) {
  const plan = await createPlanPrebuildCycle(deps)();
  const reconcile = createReconcilePreset(deps);
  let next = 0;
  const lane = async () => {
    for (let item = plan.items[next++]; item !== undefined; item = plan.items[next++])
      await reconcile({ ...item, origin });
  };
  await Promise.all(Array.from({ length: plan.concurrency }, lane));
  return plan;
}

/** What the reference did once: a task for every preset there is, all at the same time. */
export async function runUnboundedCycle({ deps, presets }: World): Promise<void> {
  const reconcile = createReconcilePreset(deps);
  const { snapshot } = deps;
  await readPrebuildSnapshot(deps.db, { ...snapshot, now: deps.now() });
  await Promise.all(
    presets.map(({ id: presetId }) => reconcile({ presetId, maxCreates: Number.MAX_SAFE_INTEGER, origin })),
  );
}

/** The statements of a snapshot, sent by the driver alone in the same two turns. */
export async function bareSnapshot({ database: { sql }, deps }: World): Promise<() => Promise<unknown>> {
  const seen: { text: string; values: unknown[] }[] = [];
  const recording = drizzle(sql, { logger: { logQuery: (text, values) => void seen.push({ text, values }) } });
  await readPrebuildSnapshot(recording as unknown as Db, { ...deps.snapshot, now: deps.now() });
  return () =>
    sql.begin('isolation level repeatable read read only', async (tx) => {
      for (const turn of [seen.slice(0, 2), seen.slice(2)])
        await Promise.all(turn.map(({ text, values }) => tx.unsafe(text, values as never[], { prepare: true })));
    });
}

export interface DurableCycle {
  readonly ms: number;
  readonly historyEvents: number;
}

/** The same cycle as a workflow, its worker in this process. */
export async function withCycleWorker<T>(
  address: string,
  { deps }: World,
  work: (runCycle: () => Promise<DurableCycle>) => Promise<T>,
): Promise<T> {
  const native = await NativeConnection.connect({ address });
  const connection = await Connection.connect({ address });
  const taskQueue = 'bench-reconcile';
  const worker = await Worker.create({
    connection: native,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
    activities: { planPrebuildCycle: createPlanPrebuildCycle(deps), reconcilePools: createReconcilePools(deps) },
  });
  const running = worker.run();
  const client = new Client({ connection });
  let runs = 0;
  try {
    return await work(async () => {
      const workflowId = `bench-reconcile/${(runs += 1)}`;
      const began = performance.now();
      await client.workflow.execute('reconcilePrebuilds', { taskQueue, workflowId, args: [] });
      const ms = performance.now() - began;
      const { historyLength } = await client.workflow.getHandle(workflowId).describe();
      return { ms, historyEvents: historyLength };
    });
  } finally {
    worker.shutdown();
    await running;
    await connection.close();
    await native.close();
  }
}
