import { chmodSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Connection } from '@temporalio/client';
import { searchAttributeNames } from '../domain/search-attributes.ts';
import { SetupFailure } from './failure.ts';
import { freePort, waitFor } from './process.ts';
import { launch, logTail } from './running.ts';
import type { RunningUnit } from './running.ts';
import { missingSearchAttributes } from './search-attributes.ts';

/**
 * Dynamic configuration of the dev server. Server 1.29 ignores priorities without the new matcher, and orders only within
 * a partition (design §1). The rest removes the waits of 50 ms per task and of 1 s per timer that a single shard with the
 * default limits has; the timer's read-ahead is for a single node only.
 */
export const devServerSettings: Readonly<Record<string, boolean | number | string>> = {
  'matching.useNewMatcher': true,
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
  'history.transferProcessorMaxPollRPS': 1000,
  'history.timerProcessorMaxPollRPS': 1000,
  'history.timerProcessorMaxTimeShift': '10ms',
  'system.enableActivityEagerExecution': true,
};

export interface TemporalOptions {
  /** The Temporal CLI. */
  readonly cli: string;
  readonly env: NodeJS.ProcessEnv;
  readonly namespace?: string;
  readonly logFile: string;
  /** SQLite file; null keeps everything in memory. */
  readonly dbFile: string | null;
  readonly preferredPort?: number;
  /** null = no Web UI. */
  readonly preferredUiPort: number | null;
}
export interface RunningTemporal extends RunningUnit {
  readonly address: string;
  readonly uiUrl: string | null;
}

/** The dev server on the loopback interface, ready for workflows with our search attributes. Throws SetupFailure. */
export async function startTemporal(options: TemporalOptions): Promise<RunningTemporal> {
  const { cli, env, namespace = 'default', logFile, dbFile, preferredPort = 0, preferredUiPort } = options;
  const port = await freePort(preferredPort);
  const uiPort = preferredUiPort === null ? null : await freePort(preferredUiPort);
  if (dbFile !== null) mkdirSync(dirname(dbFile), { recursive: true });
  const args = [
    'server',
    'start-dev',
    '--ip=127.0.0.1',
    `--port=${port}`,
    '--log-level=warn',
    ...(namespace === 'default' ? [] : ['--namespace', namespace]),
    ...(uiPort === null ? ['--headless'] : ['--ui-port', String(uiPort)]),
    ...(dbFile === null ? [] : ['--db-filename', dbFile]),
    ...Object.entries(devServerSettings).flatMap(([key, value]) => [
      '--dynamic-config-value',
      `${key}=${JSON.stringify(value)}`,
    ]),
    ...searchAttributeNames.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
  // TEMPORAL_* settings of the caller (address, TLS, API key) are meant for clients of another server.
  const clean = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
  // A server without a file has nothing to save: its orderly end would only take seconds.
  const stopSignal = dbFile === null ? 'SIGKILL' : 'SIGTERM';
  const unit = await launch({ command: cli, args, env: clean, logFile, stopSignal, stopGraceMs: 10_000 });
  const address = `127.0.0.1:${port}`;
  let ended = false;
  void unit.exited.then(() => (ended = true));
  const ready = await waitFor(async () => ended || (await isReady(address, namespace)), 60_000, 100);
  if (ended || !ready) {
    await unit.stop();
    throw new SetupFailure(
      `the Temporal dev server ${ended ? 'ended while starting' : 'was not ready within 60 s'}:\n    ${logTail(logFile)}`,
      dbFile === null
        ? `see ${logFile}`
        : `see ${logFile}; when the database file is broken, move ${dbFile} away: pending builds are started again from PostgreSQL`,
    );
  }
  if (dbFile !== null) chmodSync(dbFile, 0o600);
  return { ...unit, address, uiUrl: uiPort === null ? null : `http://127.0.0.1:${uiPort}` };
}

async function isReady(address: string, namespace: string): Promise<boolean> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: 2_000 });
    return (await missingSearchAttributes(connection, namespace)).length === 0;
  } catch {
    return false;
  } finally {
    await connection?.close();
  }
}
