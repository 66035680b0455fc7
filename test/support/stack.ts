import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAgentBundle } from '../../agent/bundle.ts';
import { initScripts } from '../../agent/init-script.ts';
import { createControlActivities, createProvisionerActivities } from '../../activities/index.ts';
import type { ProvisionerDeps } from '../../activities/deps.ts';
import { createSlots } from '../../activities/slots.ts';
import type { CommandDeps } from '../../commands/deps.ts';
import { createTemporalStarter, isWorkflowOpen, requestDeadlineMs } from '../../commands/temporal.ts';
import { workerEnvironment } from '../../config.ts';
import { type LeaseTimes, defaultLease } from '../../domain/lease.ts';
import { defaultQuietHours } from '../../domain/quiet-hours.ts';
import { type Database, connect } from '../../db/client.ts';
import { type ColumnCipher, createColumnCipher } from '../../db/encryption.ts';
import { type Channel, createListener, lifecycleChannel, prebuildsChannel } from '../../db/notifications.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { allowedEnvironment } from '../../terraform/allowed-environment.ts';
import { createShims } from '../../terraform/shims.ts';
import { createScheduleKicks } from '../../workers/schedule-kicks.ts';
import {
  ensureSchedules,
  lifecycleScheduleId,
  reconcileScheduleId,
  scheduleIds,
  triggerSchedule,
} from '../../workers/schedules.ts';
import { createQueuePollers } from '../../workers/queue-pollers.ts';
import { type TestApi, createTestApi } from './api.ts';
import { testRules } from './pool-rows.ts';
import { createNamespace, registerSearchAttributes } from './temporal-namespace.ts';
import {
  type TestDatabase,
  createTestDatabase,
  testTemporalAddress,
  testTerraform,
  testWorkflowBundle,
} from './services.ts';

/** Everything real and in this process: database of its own, Temporal namespace of its own, workers, Terraform. */
export interface TestStack {
  readonly database: Database;
  readonly client: Client;
  readonly commands: CommandDeps;
  readonly provisioner: ProvisionerDeps;
  readonly namespace: string;
  stop(): Promise<void>;
}

export async function startTestStack(
  options: {
    slots?: number;
    url?: string;
    cipher?: ColumnCipher;
    provisioner?: boolean;
    control?: boolean;
    temporalAddress?: string;
    lease?: LeaseTimes;
    /** Makes the schedules as a control worker does, and has pools reconciled at this interval and whenever they may have changed. */
    reconcileEveryMs?: number;
    /** Where agents find the API, and what starts them. */
    agents?: Pick<ProvisionerDeps, 'accessUrl' | 'agentScripts'>;
  } = {},
): Promise<TestStack> {
  const testDatabase = options.url === undefined ? await createTestDatabase() : undefined;
  const database = connect(options.url ?? testDatabase!.url, { max: 10, applicationName: 'berth-test' });
  const address = options.temporalAddress ?? testTemporalAddress();
  const connection = await Connection.connect({ address });
  const namespace = await createNamespace(connection);
  await registerSearchAttributes(connection, namespace);
  const client = new Client({ connection, namespace });
  const native = await NativeConnection.connect({ address });
  const logger = pino({ level: 'silent' });
  const metrics = createMetrics({ version: 'test', defaultMetrics: false });
  const temporal = createTemporalStarter(client, requestDeadlineMs);
  const cipher = options.cipher ?? createColumnCipher([Buffer.alloc(32, 7).toString('base64')]);
  const workRoot = mkdtempSync(join(tmpdir(), 'berth-work-'));
  const slots = options.slots ?? 2;
  const terraform = testTerraform();
  const provisioner: ProvisionerDeps = {
    db: database.db,
    cipher,
    logger,
    metrics,
    slots: createSlots(slots),
    shims: createShims(),
    lease: options.lease ?? defaultLease,
    limits: { minFreeBytes: 0, maxProcesses: 0, openFiles: 4_096, cgroup: null },
    terraform: {
      path: terraform.path,
      version: 'test',
      cliConfigPath: terraform.cliConfig,
      workerEnvironment: allowedEnvironment(workerEnvironment(), []),
    },
    accessUrl: 'http://127.0.0.1:3000',
    agentScripts: {},
    ...options.agents,
    workRoot,
    hostId: 'test-host',
    workerId: randomUUID(),
    forceCancelMs: 20_000,
    drainTimeoutMs: 60_000,
    quietHours: { defaultSchedule: defaultQuietHours, allowCustom: true },
    buildTimeoutMs: 24 * 3_600_000,
    quotaEnabled: true,
    externalAuthIds: [],
    maxTokenLifetimeMs: 24 * 3_600_000,
  };
  const listener = options.reconcileEveryMs === undefined ? undefined : await createListener(database.sql);
  const kicksOf = (channel: Channel, scheduleId: string) =>
    listener && createScheduleKicks({ listener, channel, trigger: () => triggerSchedule(client, scheduleId), logger });
  const kicks = kicksOf(prebuildsChannel, reconcileScheduleId);
  const lifecycleKicks = kicksOf(lifecycleChannel, lifecycleScheduleId);
  if (options.reconcileEveryMs !== undefined)
    await ensureSchedules(client, { reconcileEveryMs: options.reconcileEveryMs });
  // Fault tests run their workers as processes of their own.
  const control =
    options.control === false
      ? undefined
      : await Worker.create({
          connection: native,
          namespace,
          taskQueue: 'control',
          workflowBundle: testWorkflowBundle(),
          activities: createControlActivities({
            metrics,
            agentLogRetentionMs: 0,
            db: database.db,
            logger,
            temporal,
            isWorkflowOpen: (workflowId) => isWorkflowOpen(client, workflowId),
            pendingJobTimeoutMs: 0,
            cipher,
            now: () => new Date(),
            snapshot: { rules: testRules, backoffLookbackMs: 3_600_000, quotaEnabled: true },
            maxInFlight: 0,
            poolConcurrency: 5,
            wakeAt: (at) => kicks?.wakeAt(at),
            rules: { autostartMaxLatenessMs: 0 },
            lifecycleConcurrency: 5,
            maxBuildsPerTick: 5_000,
          }),
        });
  const running = control?.run();
  const pollers = createQueuePollers({
    db: database.db,
    connection: native,
    namespace,
    hostId: provisioner.hostId,
    tags: { scope: 'organization', owner: '' },
    slots,
    logger,
    activities: createProvisionerActivities(provisioner),
  });
  if (options.provisioner !== false) await pollers.refresh();
  return {
    database,
    client,
    namespace,
    provisioner,
    commands: { db: database.db, temporal, logger, metrics, cipher, now: () => new Date() },
    async stop() {
      kicks?.close();
      lifecycleKicks?.close();
      pollers.stop();
      control?.shutdown();
      await Promise.allSettled([running, pollers.done]);
      provisioner.shims.close();
      if (options.reconcileEveryMs !== undefined)
        for (const id of scheduleIds) await client.schedule.getHandle(id).delete();
      await listener?.close();
      await native.close();
      await connection.close();
      await database.close();
      await testDatabase?.drop();
      rmSync(workRoot, { recursive: true, force: true });
    },
  };
}

/** The HTTP API in front of a real stack; `api.temporal.reachable = false` is Temporal being down. */
export async function startApiStack(
  options: {
    slots?: number;
    provisioner?: boolean;
    control?: boolean;
    temporalAddress?: string;
    reconcileEveryMs?: number;
    env?: Readonly<Record<string, string>>;
    database?: TestDatabase;
  } = {},
): Promise<{
  api: TestApi;
  stack: TestStack;
  stop(): Promise<void>;
}> {
  const { env, database } = options;
  const api = await createTestApi({ ...(env !== undefined && { env }), ...(database !== undefined && { database }) });
  // A running clock: jobs and keys are compared with the database's.
  Object.defineProperty(api.clock, 'now', { get: () => new Date() });
  const { CODER_ACCESS_URL: accessUrl, BERTH_DATA_DIR: dataDir } = api.deps.config;
  const { sha256 } = await loadAgentBundle({ directory: join(dataDir, 'agent') });
  const stack = await startTestStack({
    ...options,
    agents: { accessUrl, agentScripts: initScripts(sha256) },
    url: api.deps.config.CODER_PG_CONNECTION_URL!,
    cipher: api.deps.cipher,
  });
  api.temporal.forward = stack.commands.temporal;
  return {
    api,
    stack,
    async stop() {
      await stack.stop();
      await api.close();
    },
  };
}
