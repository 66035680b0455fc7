import type { Db } from '../db/client.ts';
import { agentMetadataChannel } from '../db/notifications.ts';
import { type MetadataUpdate, listMetadataKeys, writeMetadata } from '../db/queries/agent-metadata.ts';
import { type MetadataValue, planMetadata } from '../domain/agent-metadata.ts';
import { createBatch } from './batch.ts';
import type { NotifyGroup } from './notify-group.ts';
import { RecentMap } from './recent-map.ts';

const everyMs = 5_000;
const flushAt = 500;
const capacity = 2_500;

export interface MetadataIntake {
  /** Takes what the template defines; answers whether the keys were too long to take all. */
  take(agentId: string, values: readonly MetadataValue[], now: Date): Promise<{ keysTooLong: boolean }>;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Metadata values of all agents of this process, the newest of each key, written every five seconds. Source: spec/05 §9. */
export function createMetadataIntake(deps: {
  db: Db;
  notify: NotifyGroup;
  onDropped: (count: number) => void;
  onFailed: (err: unknown, count: number) => void;
  onFlushed: (seconds: number, count: number) => void;
}): MetadataIntake {
  const { db, notify } = deps;
  const defined = new RecentMap<string, Promise<ReadonlySet<string>>>(50_000);
  const batch = createBatch<MetadataUpdate>({
    keyOf: ({ agentId, key }) => `${agentId} ${key}`,
    newer: (waiting, next) => (next.collectedAt >= waiting.collectedAt ? next : waiting),
    write: async (updates) => {
      await writeMetadata(db, updates);
      notify.add(agentMetadataChannel, new Set(updates.map(({ agentId }) => agentId)));
    },
    everyMs,
    flushAt,
    capacity,
    onDropped: deps.onDropped,
    onFailed: deps.onFailed,
    onFlushed: deps.onFlushed,
  });
  const keysOf = (agentId: string): Promise<ReadonlySet<string>> => {
    let keys = defined.get(agentId);
    if (keys === undefined) {
      keys = listMetadataKeys(db, agentId).then((list) => new Set(list));
      defined.set(agentId, keys);
      keys.catch(() => defined.delete(agentId));
    }
    return keys;
  };
  return {
    async take(agentId, values, now) {
      const { stored, keysTooLong } = planMetadata(values, await keysOf(agentId));
      for (const value of stored) batch.add({ ...value, agentId, collectedAt: now });
      return { keysTooLong };
    },
    flush: () => batch.flush(),
    close: () => batch.close(),
  };
}
