import { setTimeout as delay } from 'node:timers/promises';
import { processesBelow, terraformOf } from './process-table.ts';
import type { ProvisionerHost } from './stack/fleet.ts';

/** When Terraforms of jobs were seen at work on a host. */
export interface Sightings {
  /** Process ids of the job's Terraforms that were seen. */
  pids(jobId: string): ReadonlySet<number>;
  /** The last instant at which one of them was seen; null = never. */
  lastAliveMs(jobId: string): number | null;
  stop(): Promise<void>;
}

const lookEveryMs = 50;

/** Looks again and again from now on. Whatever was seen was there: an instant here is never too late. */
export function watchTerraforms(host: ProvisionerHost, jobIds: readonly string[]): Sightings {
  const seen = new Map<string, { pids: Set<number>; lastAliveMs: number }>();
  let stopped = false;
  const look = (): void => {
    const there = processesBelow(host.workRoot);
    if (there.length === 0) return;
    for (const jobId of jobIds) {
      const atMs = Date.now();
      const terraform = terraformOf(host.workRoot, jobId, there);
      if (terraform === undefined) continue;
      const known = seen.get(jobId) ?? { pids: new Set(), lastAliveMs: atMs };
      seen.set(jobId, { pids: known.pids.add(terraform.pid), lastAliveMs: atMs });
    }
  };
  const looking = (async () => {
    for (; !stopped; await delay(lookEveryMs)) look();
  })();
  return {
    pids: (jobId) => seen.get(jobId)?.pids ?? new Set(),
    lastAliveMs: (jobId) => seen.get(jobId)?.lastAliveMs ?? null,
    async stop() {
      stopped = true;
      await looking;
    },
  };
}
