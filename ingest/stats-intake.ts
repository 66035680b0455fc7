import type { Db } from '../db/client.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { type NewAgentStats, insertAgentStats } from '../db/queries/agent-stats.ts';
import { type ReportedStats, isActivity, isIdle } from '../domain/agent-stats.ts';
import { createBatch } from './batch.ts';
import { RecentMap } from './recent-map.ts';
import type { UsageTracker } from './usage-tracker.ts';

const everyMs = 1_000;
const flushAt = 1_024;
const capacity = 20_000;
/** An idle agent's report that repeats the one before is stored at most so often. */
const idleEveryMs = 300_000;

export interface StatsIntake {
  take(agent: AgentIdentity, stats: ReportedStats, now: Date): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Connection counts of agents, inserted together; activity goes to the usage tracker. Source: spec/05 §9. */
export function createStatsIntake(deps: {
  db: Db;
  usage: UsageTracker;
  onDropped: (count: number) => void;
  onFailed: (err: unknown, count: number) => void;
}): StatsIntake {
  const { db, usage } = deps;
  const idleSince = new RecentMap<string, number>(100_000);
  const batch = createBatch<NewAgentStats>({
    write: (rows) => insertAgentStats(db, rows),
    everyMs,
    flushAt,
    capacity,
    onDropped: deps.onDropped,
    onFailed: deps.onFailed,
  });
  return {
    take(agent, stats, now) {
      const { agentId, workspaceId, ownerId, templateId } = agent;
      if (isIdle(stats)) {
        if (now.getTime() - (idleSince.get(agentId) ?? -Infinity) < idleEveryMs) return;
        idleSince.set(agentId, now.getTime());
      } else idleSince.delete(agentId);
      const active = isActivity(stats);
      batch.add({ ...stats, createdAt: now, agentId, workspaceId, templateId, userId: ownerId, usage: active });
      // Nobody works in a prebuild: the claim sets when it was used.
      if (!active || agent.ownerIsSystem) return;
      usage.used(workspaceId, now);
      usage.active(workspaceId, now);
    },
    flush: () => batch.flush(),
    close: () => batch.close(),
  };
}
