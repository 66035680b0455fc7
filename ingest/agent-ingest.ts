import { randomUUID } from 'node:crypto';
import { answerAgentRequest, takeAgentRequests } from '../commands/ask-agent.ts';
import type { Db } from '../db/client.ts';
import type { AgentFrame } from '../agent/protocol.ts';
import { type Listener, agentCommandsChannel, agentRequestsChannel } from '../db/notifications.ts';
import { listShutdowns } from '../db/queries/agent-shutdowns.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { isUuid } from '../domain/ids.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createBatch } from './batch.ts';
import { createAgentAuth } from './agent-auth.ts';
import { createConnections } from './connections.ts';
import { createLogIntake } from './log-intake.ts';
import { createMetadataIntake } from './metadata-intake.ts';
import { createMetadataWatch } from './metadata-watch.ts';
import { createNotifyGroup } from './notify-group.ts';
import { createAgentSockets } from './sockets.ts';
import { createStatsIntake } from './stats-intake.ts';
import { createUsageTracker } from './usage-tracker.ts';

/** The last flush of a process that stops takes at most so long. */
const lastFlushMs = 15_000;
const arrivalsEveryMs = 100;
const arrivalsAtOnce = 1_000;

export interface IngestDeps {
  readonly db: Db;
  readonly listener: Listener;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Time between two writes of when workspaces were used; default 60 s. */
  readonly usedEveryMs?: number | undefined;
  now(): Date;
}

/**
 * Everything that agents of this process say, gathered between the routes and the database: one number of statements however
 * many agents there are. Nothing of it touches Temporal. Source: spec/05 §20.
 */
export function createAgentIngest(deps: IngestDeps) {
  const { db, listener, logger, metrics, now } = deps;
  const failed = (kind: string) => (err: unknown) => logger.warn({ err, kind }, 'agent traffic was not written');
  const batchOf = (kind: 'metadata' | 'stats' | 'connections' | 'usage') => ({
    onDropped: (count: number) => metrics.agentBatchDropped(kind, count),
    onFailed: failed(kind),
    onFlushed: (seconds: number) => metrics.agentBatchFlushed(kind, seconds),
  });
  const notify = createNotifyGroup({ db, onFailed: failed('notify') });
  const auth = createAgentAuth({ db, listener, notify, onAsked: metrics.agentAuthAsked });
  const connections = createConnections({ db, notify, replicaId: randomUUID(), onFailed: failed('connections') });
  const usage = createUsageTracker({
    db,
    usedEveryMs: deps.usedEveryMs,
    onFailed: (err, again) => logger[again ? 'error' : 'warn']({ err, kind: 'usage' }, 'agent traffic was not written'),
  });
  const stats = createStatsIntake({ db, usage, ...batchOf('stats') });
  const metadata = createMetadataIntake({ db, notify, ...batchOf('metadata') });
  const metadataWatch = createMetadataWatch({ db, listener, onFailed: failed('metadata watch') });
  const logs = createLogIntake({ db, notify });

  const tellShutdowns = async (agentIds: readonly string[]): Promise<void> => {
    for (const { agentId, reason } of await listShutdowns(db, sockets.connected(agentIds)))
      sockets.send(agentId, { type: 'shutdown', reason: reason ?? '' });
  };
  const passRequests = async (agentIds: readonly string[]): Promise<void> => {
    const here = sockets.connected(agentIds);
    if (here.length === 0) return;
    for (const { agentId, frame } of await takeAgentRequests(db, here)) sockets.send(agentId, frame);
  };
  // They may have been asked while they were away: those that came together are looked up together.
  const arrived = createBatch<string>({
    keyOf: (agentId) => agentId,
    write: async (agentIds) => {
      await Promise.all([tellShutdowns(agentIds), passRequests(agentIds)]);
    },
    everyMs: arrivalsEveryMs,
    flushAt: arrivalsAtOnce,
    capacity: Infinity,
    onFailed: failed('arrivals'),
  });
  const onConnected = ({ agentId }: AgentIdentity) => void arrived.add(agentId);
  const onFrame = ({ agentId }: AgentIdentity, text: string) => {
    const response = responseOf(text);
    if (response !== undefined) void answerAgentRequest(db, agentId, response).catch(failed('answers'));
  };
  const sockets = createAgentSockets({
    auth,
    connections,
    listener,
    now,
    hooks: { onConnected, onFrame },
    onFailed: failed('sockets'),
  });
  const subscriptions = [
    listener.subscribe(agentCommandsChannel, (ids) => {
      void tellShutdowns(ids ?? sockets.agentIds()).catch(failed('shutdowns'));
    }),
    listener.subscribe(agentRequestsChannel, (ids) => {
      void passRequests(ids ?? sockets.agentIds()).catch(failed('requests'));
    }),
  ];

  return {
    auth,
    sockets,
    connections,
    logs,
    metadata,
    metadataWatch,
    stats,
    usage,
    notify,
    /** Writes what waits; afterwards nothing is taken any more. */
    async close(): Promise<void> {
      for (const unsubscribe of subscriptions) unsubscribe();
      sockets.close();
      metadataWatch.close();
      auth.close();
      const late = new Promise((done) => setTimeout(done, lastFlushMs).unref());
      const flushed = Promise.all([
        arrived.close(),
        logs.close(),
        metadata.close(),
        stats.close(),
        connections.close(),
      ]).then(() => Promise.all([usage.close(), notify.close()]));
      await Promise.race([flushed, late]);
    },
  };
}
export type AgentIngest = ReturnType<typeof createAgentIngest>;

/** A well-formed answer of an agent; anything else is left unheard. */
function responseOf(text: string): AgentFrame | undefined {
  try {
    const frame = JSON.parse(text) as Partial<Record<keyof AgentFrame, unknown>> | null;
    if (frame?.type !== 'response' || typeof frame.id !== 'string' || !isUuid(frame.id)) return undefined;
    const { id, result, error } = frame;
    return { type: 'response', id, result, error: typeof error === 'string' ? error : undefined };
  } catch {
    return undefined;
  }
}
