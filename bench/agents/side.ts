import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../../toolchain/process.ts';
import { isReady } from '../../scripts/stack/launch.ts';
import { type Child, startChild } from './child.ts';
import type { Settings } from './settings.ts';
import { cpuSeconds, machineBusySeconds, residentKiB } from './usage.ts';

export interface ServerOptions {
  readonly name: 'ours' | 'bare';
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly port: number;
  readonly logFile: string;
}

/** One server with its drivers. */
export interface Side {
  readonly name: 'ours' | 'bare';
  readonly url: string;
  readonly server: () => Child;
  readonly agents: Child;
  readonly watchers: Child;
  /** `killed`: it did not end by itself in time. */
  restart(signal: NodeJS.Signals): Promise<{ downMs: number; killed: boolean }>;
}

export async function startServer(options: ServerOptions): Promise<Child> {
  const probe = new URL('./probe.mjs', import.meta.url).href;
  const child = startChild({ ...options, args: ['--import', probe, ...options.args] });
  const ready = await waitFor(() => isReady(`http://127.0.0.1:${options.port}/healthz`), 60_000, 100);
  if (!ready) {
    await child.end('SIGKILL');
    throw new Error(`${options.name} is not ready:\n${readFileSync(options.logFile, 'utf8').slice(-2_000)}`);
  }
  return child;
}

export async function createSide(options: ServerOptions, drivers: { agents: Child; watchers: Child }): Promise<Side> {
  let server = await startServer(options);
  return {
    name: options.name,
    url: `http://127.0.0.1:${options.port}`,
    server: () => server,
    ...drivers,
    async restart(signal) {
      const begin = performance.now();
      const { killed } = await server.end(signal);
      server = await startServer(options);
      return { downMs: performance.now() - begin, killed };
    },
  };
}

export interface Idle {
  readonly rssKiB: number;
  readonly liveKiB: number;
}
export async function memoryOf({ server }: Side): Promise<Idle> {
  const rssKiB = residentKiB(server().pid);
  return { rssKiB, liveKiB: (await server().ask<number>('live')) / 1024 };
}

export interface Window {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly driverCpuSeconds: number;
  /** Of the whole machine, with all that others run on it. */
  readonly busySeconds: number;
  readonly lagP99Ms: number;
  readonly stats: readonly number[];
  readonly metadata: readonly number[];
  readonly errors: Readonly<Record<string, number>>;
}

export const loadOf = ({ statsEveryS, metadataEveryS }: Settings) => ({ statsEveryS, metadataEveryS });

export interface Around {
  readonly begin?: () => Promise<void>;
  readonly end?: () => Promise<void>;
}

/** Load on one side for so long, measured after the lead-in. `around` frames the measured part. */
export async function measureWindow(side: Side, settings: Settings, around: Around = {}): Promise<Window> {
  const { agents } = side;
  const { pid } = side.server();
  await agents.ask('start', loadOf(settings));
  await delay(settings.leadInS * 1_000);
  await agents.ask('reset');
  await side.server().ask('resetLag');
  await around.begin?.();
  const before = {
    at: performance.now(),
    cpu: cpuSeconds(pid),
    driver: cpuSeconds(agents.pid),
    busy: machineBusySeconds(),
  };
  await delay(settings.windowS * 1_000);
  const seconds = (performance.now() - before.at) / 1_000;
  const cpu = cpuSeconds(pid) - before.cpu;
  const driverCpuSeconds = cpuSeconds(agents.pid) - before.driver;
  const busySeconds = machineBusySeconds() - before.busy;
  await around.end?.();
  const lagP99Ms = await side.server().ask<number>('lag', { q: 0.99 });
  const sample = await agents.ask<Pick<Window, 'stats' | 'metadata' | 'errors'>>('sample');
  await agents.ask('stop');
  return { ...sample, seconds, cpuSeconds: cpu, driverCpuSeconds, busySeconds, lagP99Ms };
}
