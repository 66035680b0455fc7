import { chmodSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { countLeftRunning } from '../../activities/earlier-run.ts';
import type { Config } from '../../config.ts';
import { drainLeaseMs } from '../../domain/lease.ts';
import { SetupFailure, describeFailure } from '../../toolchain/failure.ts';
import type { Lock } from '../../toolchain/lock.ts';
import { freePort, identify, terminate, waitFor } from '../../toolchain/process.ts';
import type { Progress } from '../../toolchain/progress.ts';
import { toolContext } from '../../toolchain/resolve.ts';
import { launch, logTail } from '../../toolchain/running.ts';
import type { RunningUnit } from '../../toolchain/running.ts';
import { createSupervisor } from '../../toolchain/supervisor.ts';
import type { Supervisor, UnitEvent } from '../../toolchain/supervisor.ts';
import { startServices } from './services.ts';
import { logPath, readState, writeState } from './state.ts';
import type { StackState, StackUrls } from './state.ts';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

export interface LaunchOptions {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  /** Held until everything is stopped. */
  readonly lock: Lock;
  readonly onEvent: (event: UnitEvent) => void;
}
export interface Stack {
  /** Starts everything; rejects with the step that failed, after which `stop` still has to be called. */
  readonly ready: Promise<StackUrls>;
  stop(): Promise<void>;
}

/** Starts services, API and workers under one supervisor and keeps the state file right. Needs the lock of the data directory. */
export async function launchStack(options: LaunchOptions): Promise<Stack> {
  const { config, progress, lock, onEvent } = options;
  const dataDir = config.BERTH_DATA_DIR;
  mkdirSync(dataDir, { recursive: true });
  // Database, histories, keys and sessions are nobody else's; PostgreSQL's account may still pass through.
  chmodSync(dataDir, 0o711);
  await endLeftovers(dataDir, progress);
  const own = await identify(process.pid);
  let facts: Pick<StackState, 'phase' | 'urls' | 'error'> = { phase: 'starting', urls: null, error: null };
  const save = (change: Partial<typeof facts> = {}): void => {
    facts = { ...facts, ...change };
    const units = supervisor
      .units()
      .map(({ name, running, restarts }) => ({ name, identity: running.identity, restarts }));
    writeState(dataDir, { format: 1, supervisor: own, units, ...facts });
  };
  const supervisor = createSupervisor({
    onEvent: (event) => {
      // While stopping, the file has to name what may still run, for the case that we are killed.
      save();
      onEvent(event);
    },
  });
  save();
  const ready = startAll(options, supervisor).then(
    (urls) => {
      save({ phase: 'ready', urls });
      return urls;
    },
    (err: unknown) => {
      save({ phase: 'failed', error: describeFailure(err) });
      throw err;
    },
  );
  return {
    ready,
    async stop() {
      if (facts.phase !== 'failed') save({ phase: 'stopping' });
      await supervisor.stop();
      const left = countLeftRunning(config.BERTH_WORK_ROOT);
      if (left > 0)
        progress.note(
          `${left} running ${left === 1 ? 'build goes' : 'builds go'} on for at most ${drainLeaseMs / 60_000} min; the next npm run up takes over`,
        );
      writeState(dataDir, { format: 1, supervisor: own, units: [], ...facts });
      lock.release();
    },
  };
}

/** What a supervisor that was killed left running: ended in the right order before anything is started again. */
export async function endLeftovers(dataDir: string, progress: Progress): Promise<void> {
  for (const { name, identity } of readState(dataDir)?.units.toReversed() ?? []) {
    const signal = name === 'postgres' ? 'SIGINT' : 'SIGTERM';
    const found = await terminate(identity, { signal, graceMs: 15_000 });
    if (found) progress.note(`stopped ${name} (process ${identity.pid}), left behind by an earlier run`);
  }
}

async function startAll(options: LaunchOptions, supervisor: Supervisor): Promise<StackUrls> {
  const { config, env, progress } = options;
  const context = toolContext(config, env, progress);
  const services = await startServices(config, context, supervisor);
  const { host, port } = await freeAddress(config.CODER_HTTP_ADDRESS, 'API', progress);
  const metrics = await freeAddress(config.CODER_PROMETHEUS_ADDRESS, "API's metrics", progress);
  const configuredUrl =
    config.CODER_ACCESS_URL === `http://${config.CODER_HTTP_ADDRESS}` ? null : config.CODER_ACCESS_URL;
  const local = `http://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host}:${port}`;
  const shared = {
    ...env,
    ...services.env,
    CODER_HTTP_ADDRESS: `${host}:${port}`,
    CODER_PROMETHEUS_ADDRESS: `${metrics.host}:${metrics.port}`,
    CODER_ACCESS_URL: configuredUrl ?? local,
  };
  await startProcess(options, supervisor, {
    name: 'api',
    entry: 'api/server.ts',
    env: shared,
    readyUrl: `${local}/readyz`,
  });
  for (const name of ['control', 'provisioner']) {
    const address = `127.0.0.1:${await freePort()}`;
    await startProcess(options, supervisor, {
      name,
      entry: `workers/${name}.ts`,
      env: { ...shared, BERTH_METRICS_ADDRESS: address },
      readyUrl: `http://${address}/readyz`,
    });
  }
  return {
    api: local,
    docs: `${local}/docs`,
    temporalUi: services.temporal.uiUrl,
    temporalAddress: services.temporal.address,
    temporalNamespace: services.temporal.namespace,
  };
}

/** The wanted `host:port`, or a free port when it is taken. */
async function freeAddress(wanted: string, what: string, progress: Progress): Promise<{ host: string; port: number }> {
  const colon = wanted.lastIndexOf(':');
  const preferred = Number(wanted.slice(colon + 1));
  const port = await freePort(preferred);
  if (port !== preferred) progress.warn(`port ${preferred} is taken; the ${what} uses ${port}`);
  return { host: wanted.slice(0, colon), port };
}

/** One of our own processes from its sources, with its output in `<data dir>/logs/<name>.log`. */
async function startProcess(
  { config, progress }: LaunchOptions,
  supervisor: Supervisor,
  process_: { name: string; entry: string; env: NodeJS.ProcessEnv; readyUrl: string },
): Promise<void> {
  const { name, entry, env, readyUrl } = process_;
  const logFile = logPath(config.BERTH_DATA_DIR, name);
  const start = (): Promise<RunningUnit> =>
    launch({
      command: process.execPath,
      args: ['--import', import.meta.resolve('tsx'), resolve(root, entry)],
      env,
      cwd: root,
      logFile,
      stopGraceMs: 20_000,
    });
  await progress.step(titles[name] ?? name, async () => {
    const unit = await supervisor.run(name, start);
    let ended = false;
    void unit.exited.then(() => (ended = true));
    const ready = await waitFor(async () => ended || (await isReady(readyUrl)), 90_000, 150);
    if (ended || !ready)
      throw new SetupFailure(
        `${name} ${ended ? 'ended while starting' : `is not ready after 90 s (${readyUrl})`}:\n    ${logTail(logFile)}`,
        `see ${logFile}`,
      );
  });
}

const titles: Readonly<Record<string, string>> = {
  api: 'API',
  control: 'control worker',
  provisioner: 'provisioner worker',
};

/** Whether the address answers with success just now. */
export async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
