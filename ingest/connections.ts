import type { Db } from '../db/client.ts';
import { agentStatesChannel } from '../db/notifications.ts';
import { type ConnectionChange, writeConnections } from '../db/queries/agent-connections.ts';
import { type Batch, createBatch } from './batch.ts';
import type { NotifyGroup } from './notify-group.ts';

const everyMs = 5_000;
/** A first connection and an end are seen soon. */
const urgentMs = 250;

interface Change extends ConnectionChange {
  readonly workspaceId: string;
  readonly urgent: boolean;
}

export interface Connections {
  connected(agent: { agentId: string; workspaceId: string }, at: Date): void;
  /** A pong: the agent lives. */
  seen(agent: { agentId: string; workspaceId: string }, at: Date): void;
  disconnected(agent: { agentId: string; workspaceId: string }, at: Date): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** When agents connected, were last seen and left: one statement every five seconds. Source: spec/05 §7. */
export function createConnections(deps: {
  db: Db;
  notify: NotifyGroup;
  replicaId: string;
  onFailed: (err: unknown) => void;
}): Connections {
  const { db, notify, replicaId } = deps;
  const batch: Batch<Change> = createBatch<Change>({
    keyOf: ({ agentId }) => agentId,
    newer: (waiting, next) => ({
      ...next,
      seenAt: next.seenAt ?? waiting.seenAt,
      disconnectedAt: next.alive ? null : (next.disconnectedAt ?? waiting.disconnectedAt),
      urgent: waiting.urgent || next.urgent,
    }),
    write: async (changes) => {
      await writeConnections(db, replicaId, changes);
      const told = changes.filter(({ urgent }) => urgent).map(({ workspaceId }) => workspaceId);
      if (told.length > 0) notify.add(agentStatesChannel, told);
    },
    everyMs,
    flushAt: Infinity,
    capacity: Infinity,
    onFailed: deps.onFailed,
  });
  let urgent: NodeJS.Timeout | undefined;
  const soon = () => {
    urgent ??= setTimeout(() => {
      urgent = undefined;
      void batch.flush();
    }, urgentMs);
  };
  return {
    connected({ agentId, workspaceId }, at) {
      batch.add({ agentId, workspaceId, seenAt: at, disconnectedAt: null, alive: false, urgent: true });
      soon();
    },
    seen({ agentId, workspaceId }, at) {
      batch.add({ agentId, workspaceId, seenAt: at, disconnectedAt: null, alive: true, urgent: false });
    },
    disconnected({ agentId, workspaceId }, at) {
      batch.add({ agentId, workspaceId, seenAt: null, disconnectedAt: at, alive: false, urgent: true });
      soon();
    },
    flush: () => batch.flush(),
    async close() {
      clearTimeout(urgent);
      await batch.close();
    },
  };
}
