import { type NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import { taskQueueOf } from '../commands/task-queue.ts';
import type { Db } from '../db/client.ts';
import { listTagSets } from '../db/queries/provisioner-daemons.ts';
import { hostTaskQueue } from '../domain/ids.ts';
import { normalizeTags, poolServes } from '../domain/jobs.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface QueuePollers {
  queues(): string[];
  /** Starts a Worker for this host's queue and for each tag set of the database that this pool serves, unless it polls it. */
  refresh(): Promise<void>;
  stop(): void;
  /** Resolves when `stop` was called and every Worker has drained; rejects when one fails. */
  readonly done: Promise<void>;
}

/** Runs that are taken up again do not wait for a slot; so many at once are more than a host ever has. */
const hostQueueTasks = 200;

/**
 * One Temporal Worker per task queue. They share one count of slots (activities/slots.ts), so a task that one of them takes
 * while all slots are in use waits there, still `pending`, and heartbeats. Source: spec/02 §1.4, §5.7.
 */
export function createQueuePollers(options: {
  db: Db;
  connection: NativeConnection;
  namespace: string;
  hostId: string;
  tags: Record<string, string>;
  slots: number;
  activities: object;
  logger: Logger;
}): QueuePollers {
  const workers = new Map<string, Worker>();
  const running: Promise<void>[] = [];
  let stopped = false;
  let settle: { resolve: () => void; reject: (err: unknown) => void };
  const done = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  const start = async (taskQueue: string, tasks: number) => {
    const settings: WorkerOptions = {
      connection: options.connection,
      namespace: options.namespace,
      taskQueue,
      activities: options.activities,
      maxConcurrentActivityTaskExecutions: tasks,
      // By default the SDK sends heartbeats only every 8 s of our 10 s timeout (spec/02 §1.9).
      maxHeartbeatThrottleInterval: '2 seconds',
      defaultHeartbeatThrottleInterval: '2 seconds',
      // Runs are told at once that this worker leaves: they hand their Terraform over and do not wait for it.
      shutdownGraceTime: 0,
      shutdownForceTime: '30 seconds',
    };
    const worker = await Worker.create(settings);
    workers.set(taskQueue, worker);
    running.push(worker.run());
    running.at(-1)!.catch((err: unknown) => settle.reject(err));
    options.logger.info({ task_queue: taskQueue }, 'polling');
  };
  return {
    queues: () => [...workers.keys()],
    async refresh() {
      const sets = [normalizeTags({}, ''), ...(await listTagSets(options.db))];
      const served = sets.filter((tags) => poolServes(options.tags, tags)).map((tags) => taskQueueOf(tags));
      // The host's own queue first: what an earlier worker left has waited longest.
      for (const queue of new Set([hostTaskQueue(options.hostId), ...served]))
        if (!stopped && !workers.has(queue))
          await start(queue, queue === hostTaskQueue(options.hostId) ? hostQueueTasks : options.slots);
    },
    stop() {
      stopped = true;
      for (const worker of workers.values()) if (worker.getState() === 'RUNNING') worker.shutdown();
      Promise.all(running).then(
        () => settle.resolve(),
        (err: unknown) => settle.reject(err),
      );
    },
    done,
  };
}
