import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import { randomUUID } from 'node:crypto';
import type { Activities } from '../../activities/index.ts';
import type { BuildWorkspaceInput } from '../../workflows/build-workspace.ts';
import type { PlannedCycle } from '../../workflows/reconcile-prebuilds.ts';
import type { LifecycleProgress } from '../../workflows/run-lifecycle.ts';
import { testWorkflowBundle } from '../support/services.ts';
import { createNamespace, registerSearchAttributes } from '../support/temporal-namespace.ts';

export interface WorkflowRig {
  readonly client: Client;
  /** Replaced by each test before it starts a workflow. */
  readonly activities: { -readonly [K in keyof Activities]: Activities[K] };
  readonly finished: { outcome: string; error?: string }[];
  /** Starts `buildWorkspace`; its run goes to the rig's own queue unless another is named. */
  startBuild(options?: { taskQueue?: string }): Promise<WorkflowHandle>;
  /** Serves another queue with the rig's activities until it is stopped. */
  pollQueue(taskQueue: string): Promise<{ stop(): Promise<void> }>;
  stop(): Promise<void>;
}

export const nothingToDo: PlannedCycle = {
  paused: false,
  presetsTotal: 0,
  presetsReconciled: 0,
  presetsSkipped: 0,
  items: [],
  concurrency: 5,
  errors: 0,
};

export const nothingDue: LifecycleProgress = {
  tick: '2026-05-13T09:00:00.000Z',
  after: null,
  buildsLeft: 5_000,
  builds: 0,
  due: {},
  actions: {},
  skipped: {},
};

/** The real server and the real workflow code, with activities that each test states. */
export async function startWorkflowRig(
  address: string,
  workflows: Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> = { workflowBundle: testWorkflowBundle() },
): Promise<WorkflowRig> {
  const connection = await Connection.connect({ address });
  const namespace = await createNamespace(connection);
  await registerSearchAttributes(connection, namespace);
  const native = await NativeConnection.connect({ address });
  const client = new Client({ connection, namespace });
  const finished: { outcome: string; error?: string }[] = [];
  const activities: WorkflowRig['activities'] = {
    runTerraform: async () => 'succeeded',
    finishJob: async ({ outcome, error }) => {
      finished.push({ outcome, ...(error !== undefined && { error }) });
      return outcome;
    },
    sweepPendingJobs: async () => ({ started: 0, restarted: 0, ended: 0 }),
    runUpkeep: async () => ({ startsMoved: 0, agentLogs: 0, agentStats: 0, agentRequests: 0, finished: true }),
    planPrebuildCycle: async () => nothingToDo,
    reconcilePools: async () => ({ created: 0, deleted: 0, canceled: 0, errors: 0 }),
    runLifecyclePage: async () => nothingDue,
  };
  const served = {
    runTerraform: (input: { jobId: string }) => activities.runTerraform(input),
    finishJob: (input: Parameters<Activities['finishJob']>[0]) => activities.finishJob(input),
    sweepPendingJobs: () => activities.sweepPendingJobs(),
    runUpkeep: () => activities.runUpkeep(),
    planPrebuildCycle: () => activities.planPrebuildCycle(),
    reconcilePools: (input: Parameters<Activities['reconcilePools']>[0]) => activities.reconcilePools(input),
    runLifecyclePage: (input: Parameters<Activities['runLifecyclePage']>[0]) => activities.runLifecyclePage(input),
  };
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: 'control',
    ...workflows,
    activities: served,
  });
  const running = worker.run();
  return {
    client,
    activities,
    finished,
    startBuild({ taskQueue = 'control' } = {}) {
      const input: BuildWorkspaceInput = {
        buildId: randomUUID(),
        jobId: randomUUID(),
        taskQueue,
        priority: 1,
      };
      return client.workflow.start('buildWorkspace', {
        taskQueue: 'control',
        workflowId: `build/${input.buildId}`,
        args: [input],
      });
    },
    async pollQueue(taskQueue) {
      const other = await Worker.create({ connection: native, namespace, taskQueue, activities: served });
      const polling = other.run();
      return {
        async stop() {
          other.shutdown();
          await polling;
        },
      };
    },
    async stop() {
      worker.shutdown();
      await running;
      await native.close();
      await connection.close();
    },
  };
}
