import { Client } from '@temporalio/client';
import { NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createControlActivities } from '../activities/index.ts';
import {
  backgroundDeadlineMs,
  createTemporalStarter,
  isWorkflowOpen,
  nativeConnectionOptions,
} from '../commands/temporal.ts';
import { type Config, loadConfig } from '../config.ts';
import { connect } from '../db/client.ts';
import { createColumnCipher, loadEncryptionKeys } from '../db/encryption.ts';
import { type Channel, createListener, lifecycleChannel, prebuildsChannel } from '../db/notifications.ts';
import { CONTROL_TASK_QUEUE } from '../domain/ids.ts';
import { createLogger } from '../telemetry/logger.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { version } from '../api/version.ts';
import { runProcess } from './process.ts';
import { createScheduleKicks } from './schedule-kicks.ts';
import { ensureSchedules, lifecycleScheduleId, reconcileScheduleId, triggerSchedule } from './schedules.ts';
import { freeLoopbackAddress, installRuntime, serveWorkerMetrics } from './temporal-runtime.ts';

/** Process entry: all workflows, and the activities that only touch the database or Temporal. */
const config = loadConfig();
const logger = createLogger({ level: config.BERTH_LOG_LEVEL, component: 'control-worker' });

/** The bundle made by `npm run build`, else the sources, bundled at start. */
function workflowSource(settings: Config): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const bundle = settings.BERTH_WORKFLOW_BUNDLE ?? fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  if (existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  return { workflowsPath: fileURLToPath(new URL('../workflows/index.ts', import.meta.url)) };
}

await runProcess(logger, async () => {
  const sdkMetricsAddress = await freeLoopbackAddress();
  installRuntime(logger, sdkMetricsAddress);
  const connection = await NativeConnection.connect(nativeConnectionOptions(config));
  const client = new Client({ connection, namespace: config.TEMPORAL_NAMESPACE });
  const database = connect(config.CODER_PG_CONNECTION_URL ?? '', {
    max: config.CODER_PG_CONN_MAX_OPEN,
    applicationName: 'berth-control',
  });
  const listener = await createListener(database.sql);
  const kicksOf = (channel: Channel, scheduleId: string) =>
    createScheduleKicks({ listener, channel, trigger: () => triggerSchedule(client, scheduleId), logger });
  const kicks = kicksOf(prebuildsChannel, reconcileScheduleId);
  const lifecycleKicks = kicksOf(lifecycleChannel, lifecycleScheduleId);
  const keys = loadEncryptionKeys(
    config.CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS,
    join(config.BERTH_DATA_DIR, 'encryption.key'),
  );
  const metrics = createMetrics({ version });
  const halfOfConnections = Math.max(1, Math.floor(config.CODER_PG_CONN_MAX_OPEN / 2));
  await ensureSchedules(client, { reconcileEveryMs: config.CODER_WORKSPACE_PREBUILDS_RECONCILIATION_INTERVAL });
  const worker = await Worker.create({
    connection,
    namespace: config.TEMPORAL_NAMESPACE,
    taskQueue: CONTROL_TASK_QUEUE,
    ...workflowSource(config),
    activities: createControlActivities({
      db: database.db,
      logger,
      temporal: createTemporalStarter(client, backgroundDeadlineMs),
      isWorkflowOpen: (workflowId) => isWorkflowOpen(client, workflowId),
      pendingJobTimeoutMs: config.CODER_PENDING_JOB_TIMEOUT,
      metrics,
      agentLogRetentionMs: config.CODER_AGENT_LOG_RETENTION,
      cipher: createColumnCipher(keys),
      now: () => new Date(),
      snapshot: {
        rules: {
          backoffIntervalMs: config.CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_INTERVAL,
          failureHardLimit: config.CODER_WORKSPACE_PREBUILDS_FAILURE_HARD_LIMIT,
          failedRetentionMs: config.CODER_WORKSPACE_PREBUILDS_FAILED_RETENTION,
          maxCreatesPerCycle: config.CODER_WORKSPACE_PREBUILDS_MAX_CREATES_PER_CYCLE,
          maxInFlight: null,
        },
        backoffLookbackMs: config.CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_LOOKBACK_PERIOD,
        quotaEnabled: config.CODER_QUOTA_ENABLED,
      },
      maxInFlight: config.CODER_WORKSPACE_PREBUILDS_MAX_IN_FLIGHT,
      poolConcurrency: halfOfConnections,
      rules: { autostartMaxLatenessMs: config.CODER_AUTOSTART_MAX_LATENESS },
      lifecycleConcurrency: Math.min(config.CODER_LIFECYCLE_CONCURRENCY, halfOfConnections),
      maxBuildsPerTick: config.CODER_LIFECYCLE_MAX_PER_TICK,
      wakeAt: kicks.wakeAt,
    }),
    shutdownGraceTime: '10 seconds',
    shutdownForceTime: '30 seconds',
  });
  const closeMetrics = await serveWorkerMetrics({
    address: config.BERTH_METRICS_ADDRESS,
    registry: metrics.registry,
    sdkMetricsAddress,
    isReady: async () => worker.getState() === 'RUNNING',
  });
  const done = worker.run().finally(async () => {
    kicks.close();
    lifecycleKicks.close();
    await closeMetrics();
    await listener.close();
    await database.close();
    await connection.close();
  });
  logger.info({ task_queue: CONTROL_TASK_QUEUE }, 'control worker runs');
  return { stop: () => worker.shutdown(), done };
});
