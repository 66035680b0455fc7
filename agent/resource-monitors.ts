import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import type { Log } from './log.ts';
import type { ResourcesMonitoring } from './protocol.ts';
import type { ServerClient } from './server-client.ts';

export interface Usage {
  readonly used: number;
  readonly total: number;
}

interface Datapoint {
  readonly collected_at: string;
  readonly memory?: Usage;
  readonly volumes: readonly { readonly volume: string; readonly used: number; readonly total: number }[];
}

const unknown: Usage = { used: 0, total: 0 };

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

const kilobytes = (meminfo: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;

/**
 * Memory of the workspace: of its cgroup (v2) where that has a limit, else of the machine. File pages that the kernel may
 * drop count as free. `root` is `/` but in tests.
 */
export function memoryUsage(root = '/'): Usage {
  const group = (name: string): string | null => readText(`${root}sys/fs/cgroup/${name}`);
  const limit = Number(group('memory.max') ?? 'max');
  const current = Number(group('memory.current') ?? 'none');
  if (Number.isFinite(limit) && limit > 0 && Number.isFinite(current)) {
    const inactive = Number(/^inactive_file (\d+)$/m.exec(group('memory.stat') ?? '')?.[1] ?? 0);
    return { used: Math.max(0, current - inactive), total: limit };
  }
  const meminfo = readText(`${root}proc/meminfo`);
  if (meminfo === null) return { used: totalmem() - freemem(), total: totalmem() };
  const total = kilobytes(meminfo, 'MemTotal');
  return { used: total - kilobytes(meminfo, 'MemAvailable'), total };
}

/** Of the file system that holds `path`; unknown when there is no such path. */
async function volumeUsage(path: string): Promise<Usage> {
  try {
    const { blocks, bfree, bavail, bsize } = await statfs(path);
    // As df: what is reserved for root is neither used nor available.
    return { used: (blocks - bfree) * bsize, total: (blocks - bfree + bavail) * bsize };
  } catch {
    return unknown;
  }
}

export interface ResourceMonitorsOptions {
  readonly monitoring: ResourcesMonitoring;
  readonly client: ServerClient;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Sends the newest datapoints at every interval, when anything is monitored at all. Source: spec/05 §12. */
export function startResourceMonitors({ monitoring, client, log, signal }: ResourceMonitorsOptions): void {
  const { config, memory, volumes } = monitoring;
  const watched = volumes.filter(({ enabled }) => enabled);
  if (memory?.enabled !== true && watched.length === 0) return;
  const ring: Datapoint[] = [];
  let busy = false;
  let told = false;

  async function collectAndSend(): Promise<void> {
    ring.push({
      collected_at: new Date().toISOString(),
      ...(memory?.enabled === true && { memory: memoryUsage() }),
      volumes: await Promise.all(watched.map(async ({ path }) => ({ volume: path, ...(await volumeUsage(path)) }))),
    });
    ring.splice(0, Math.max(0, ring.length - config.num_datapoints));
    const path = '/workspaceagents/me/resources-monitoring';
    const answer = await client.call({ method: 'POST', path, body: { datapoints: ring }, signal });
    if (answer.status >= 300 && !told) log.warn(`resource usage was refused with ${answer.status}`);
    told = answer.status >= 300;
  }

  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    collectAndSend()
      .catch(() => undefined)
      .finally(() => {
        busy = false;
      });
  }, config.collection_interval_seconds * 1000);
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}
