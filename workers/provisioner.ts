import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { loadAgentBundle } from '../agent/bundle.ts';
import { initScripts } from '../agent/init-script.ts';
import { createProvisionerActivities } from '../activities/index.ts';
import { createSlots } from '../activities/slots.ts';
import { createCgroups } from '../activities/cgroups.ts';
import { keepReserve } from '../activities/disk-space.ts';
import { heldBy } from '../activities/job-lease.ts';
import { sweepPreparedSources } from '../activities/prepared-source.ts';
import { sweepWorkRoot } from '../activities/work-root.ts';
import { nativeConnectionOptions } from '../commands/temporal.ts';
import { loadConfig, quietHoursSettings, workerEnvironment } from '../config.ts';
import { connect } from '../db/client.ts';
import { createColumnCipher, loadEncryptionKeys } from '../db/encryption.ts';
import { storeAgentBundle } from '../db/queries/files.ts';
import { markDaemonOffline, upsertDaemon } from '../db/queries/provisioner-daemons.ts';
import { normalizeTags } from '../domain/jobs.ts';
import { createLogger } from '../telemetry/logger.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { allowedEnvironment } from '../terraform/allowed-environment.ts';
import { createShims } from '../terraform/shims.ts';
import { checkTerraform } from '../terraform/version.ts';
import { version } from '../api/version.ts';
import { readHostId } from './host-id.ts';
import { reportLostDeliveries } from './lost-deliveries.ts';
import { runProcess } from './process.ts';
import { createQueuePollers } from './queue-pollers.ts';
import { freeLoopbackAddress, installRuntime, serveWorkerMetrics } from './temporal-runtime.ts';

/** Process entry: runs Terraform for every queue that its tags serve. */
const config = loadConfig();
const logger = createLogger({ level: config.BERTH_LOG_LEVEL, component: 'provisioner-worker' });
const daemonHeartbeatMs = 30_000;
const queuesRereadMs = 30_000;
const workRootSweepMs = 10 * 60_000;

function parseTags(text: string): Record<string, string> {
  const pairs = text.split(',').filter((pair) => pair.includes('='));
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')).trim(), pair.slice(pair.indexOf('=') + 1).trim()]),
  );
}

await runProcess(logger, async () => {
  const terraform = await checkTerraform(config.BERTH_TERRAFORM_PATH ?? 'terraform', config.PATH);
  const sdkMetricsAddress = await freeLoopbackAddress();
  installRuntime(logger, sdkMetricsAddress);
  const connection = await NativeConnection.connect(nativeConnectionOptions(config));
  const database = connect(config.CODER_PG_CONNECTION_URL ?? '', {
    max: config.CODER_PROVISIONER_DAEMONS * 2 + 3,
    applicationName: 'berth-provisioner',
  });
  const { db } = database;
  const workerId = randomUUID();
  const tags = normalizeTags(
    parseTags(config.CODER_PROVISIONERD_TAGS),
    parseTags(config.CODER_PROVISIONERD_TAGS).owner ?? '',
  );
  const keys = loadEncryptionKeys(
    config.CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS,
    join(config.BERTH_DATA_DIR, 'encryption.key'),
  );
  const metrics = createMetrics({ version });
  const agent = await loadAgentBundle({ directory: join(config.BERTH_DATA_DIR, 'agent') });
  // Any API can hand it out then, whatever version that is.
  await storeAgentBundle(db, agent.code);
  const slots = createSlots(config.CODER_PROVISIONER_DAEMONS);
  const cipher = createColumnCipher(keys);
  const workRoot = config.BERTH_WORK_ROOT;
  const hostId = readHostId(workRoot);
  const { lease } = config;
  const limits = {
    minFreeBytes: config.BERTH_MIN_FREE_DISK,
    maxProcesses: config.BERTH_TERRAFORM_MAX_PROCESSES,
    openFiles: config.BERTH_TERRAFORM_MAX_OPEN_FILES,
    cgroup: createCgroups(config.BERTH_CGROUP_ROOT, {
      maxProcesses: config.BERTH_TERRAFORM_MAX_PROCESSES,
      maxMemoryBytes: config.BERTH_TERRAFORM_MAX_MEMORY,
    }),
  };
  const cleanUp = async () => {
    try {
      await sweepWorkRoot({ db, cipher, logger, workRoot, hostId });
      await sweepPreparedSources({ workRoot }, Date.now());
      keepReserve({ workRoot, limits, logger });
    } catch (err) {
      logger.warn({ err }, 'work root not swept');
    }
  };
  const shims = createShims();
  const pollers = createQueuePollers({
    db,
    connection,
    namespace: config.TEMPORAL_NAMESPACE,
    hostId,
    tags,
    slots: config.CODER_PROVISIONER_DAEMONS,
    logger,
    activities: createProvisionerActivities({
      db,
      cipher,
      logger,
      metrics,
      slots,
      shims,
      lease,
      limits,
      terraform: {
        path: terraform.path,
        version: terraform.version,
        cliConfigPath: config.BERTH_TF_CLI_CONFIG ?? null,
        workerEnvironment: allowedEnvironment(workerEnvironment(), config.BERTH_TERRAFORM_ENV),
      },
      accessUrl: config.CODER_ACCESS_URL,
      agentScripts: initScripts(agent.sha256),
      workRoot,
      hostId,
      workerId,
      forceCancelMs: config.CODER_PROVISIONER_FORCE_CANCEL_INTERVAL,
      buildTimeoutMs: config.CODER_BUILD_TIMEOUT,
      drainTimeoutMs: config.CODER_AGENT_DRAIN_TIMEOUT,
      quietHours: quietHoursSettings(config),
      quotaEnabled: config.CODER_QUOTA_ENABLED,
      externalAuthIds: config.CODER_EXTERNAL_AUTH_IDS,
      maxTokenLifetimeMs: config.CODER_MAX_TOKEN_LIFETIME,
    }),
  });
  const beat = async () => {
    const daemon = { id: workerId, name: config.BERTH_HOST_NAME.slice(0, 64), tags, version };
    await upsertDaemon(db, { ...daemon, taskQueues: pollers.queues(), slots: config.CODER_PROVISIONER_DAEMONS }).catch(
      (err: unknown) => logger.warn({ err }, 'heartbeat not written'),
    );
  };
  await pollers.refresh();
  const client = new Client({ connection, namespace: config.TEMPORAL_NAMESPACE });
  await reportLostDeliveries({ client, workRoot, held: heldBy({ hostId, lease }), logger });
  await beat();
  void cleanUp();
  const refresh = () => pollers.refresh().then(beat, (err: unknown) => logger.warn({ err }, 'queues not re-read'));
  const timers = [
    setInterval(() => void beat(), daemonHeartbeatMs),
    setInterval(() => void refresh(), queuesRereadMs),
    setInterval(() => void cleanUp(), workRootSweepMs),
  ];
  const closeMetrics = await serveWorkerMetrics({
    address: config.BERTH_METRICS_ADDRESS,
    registry: metrics.registry,
    sdkMetricsAddress,
    isReady: async () => pollers.queues().length > 0,
  });
  const done = pollers.done.finally(async () => {
    for (const timer of timers) clearInterval(timer);
    shims.close();
    await markDaemonOffline(db, workerId).catch(() => undefined);
    await closeMetrics();
    await database.close();
    await connection.close();
  });
  logger.info(
    { queues: pollers.queues(), slots: config.CODER_PROVISIONER_DAEMONS, terraform: terraform.version },
    'provisioner worker runs',
  );
  return { stop: () => pollers.stop(), done };
});
