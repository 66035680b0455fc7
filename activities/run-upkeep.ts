import { Context } from '@temporalio/activity';
import type { Db } from '../db/client.ts';
import { deleteAgentRequests, deleteAgentStats, deleteLogsOfAgents, listAgentsWithLogs } from '../db/queries/upkeep.ts';
import { refreshStarts } from '../commands/refresh-starts.ts';
import { NIL_UUID } from '../domain/ids.ts';
import type { UpkeepCounts, UpkeepResult } from '../workflows/run-upkeep.ts';
import type { UpkeepDeps } from './deps.ts';

const dayMs = 24 * 3_600_000;
/** Statistics older than this are in the roll-ups (spec/01 §4.3). */
const statsKeptMs = 180 * dayMs;
/** Their askers waited for seconds; only those whose askers died are left (spec/05 §7). */
const requestsKeptMs = 3_600_000;
/** Ends by itself before the policy's nine minutes. */
const budgetMs = 8 * 60_000;

/** Rows per statement (spec/05 §8): few enough that none holds locks or a connection for long. */
const rowsPerSlice = 10_000;
const agentsPerPage = 200;

interface Slices {
  readonly rows: number;
  readonly agents: number;
}
/** Rows deleted or changed by each statement; 0 where one only looked. */
type Step = AsyncGenerator<number, void>;

/**
 * Works in slices, each a transaction of its own: cut anywhere, what is done stays done and the next attempt or run goes on
 * with the rest. Counts of earlier attempts are carried by the heartbeats.
 */
export const createRunUpkeep = (deps: UpkeepDeps, slices: Slices = { rows: rowsPerSlice, agents: agentsPerPage }) =>
  async function runUpkeep(): Promise<UpkeepResult> {
    const { db, metrics, agentLogRetentionMs } = deps;
    const { info, heartbeat, cancelled, cancellationSignal } = Context.current();
    const startedAt = Date.now();
    const before = (keptMs: number) => new Date(startedAt - keptMs);
    const counts = {
      agentLogs: 0,
      agentStats: 0,
      agentRequests: 0,
      startsMoved: 0,
      ...(info.heartbeatDetails as Partial<UpkeepCounts> | undefined),
    };
    const steps: Readonly<Record<keyof UpkeepCounts, Step>> = {
      startsMoved: refreshStarts(db, new Date(startedAt)),
      agentLogs: agentLogRetentionMs === 0 ? nothing() : purgeAgentLogs(db, before(agentLogRetentionMs), slices),
      agentStats: untilFewer(slices.rows, (limit) => deleteAgentStats(db, before(statsKeptMs), limit)),
      agentRequests: untilFewer(slices.rows, (limit) => deleteAgentRequests(db, before(requestsKeptMs), limit)),
    };
    let succeeded = false;
    try {
      for (const kind of ['agentLogs', 'agentStats', 'agentRequests', 'startsMoved'] as const)
        for await (const rows of steps[kind]) {
          counts[kind] += rows;
          if (kind !== 'startsMoved') metrics.purged(recordTypes[kind], rows);
          heartbeat({ ...counts });
          if (cancellationSignal.aborted) await cancelled;
          if (Date.now() - startedAt > budgetMs) {
            succeeded = true;
            return { ...counts, finished: false };
          }
        }
      succeeded = true;
      return { ...counts, finished: true };
    } finally {
      metrics.purgeEnded(succeeded, (Date.now() - startedAt) / 1_000);
    }
  };

const recordTypes: Readonly<Record<Exclude<keyof UpkeepCounts, 'startsMoved'>, string>> = {
  agentLogs: 'workspace_agent_logs',
  agentStats: 'workspace_agent_stats',
  agentRequests: 'workspace_agent_requests',
};

async function* nothing(): Step {}

async function* untilFewer(rows: number, deleteSome: (limit: number) => Promise<number>): Step {
  for (;;) {
    const deleted = await deleteSome(rows);
    yield deleted;
    if (deleted < rows) return;
  }
}

/** Goes through all agents that have logs, which are few beside all agents there ever were. */
async function* purgeAgentLogs(db: Db, notSeenSince: Date, { rows, agents }: Slices): Step {
  for (let after = NIL_UUID; ;) {
    const page = await listAgentsWithLogs(db, { after, notSeenSince, limit: agents });
    const old = page.filter((agent) => agent.old).map(({ id }) => id);
    if (old.length > 0) yield* untilFewer(rows, (limit) => deleteLogsOfAgents(db, old, limit));
    else yield 0;
    const last = page.at(-1);
    if (last === undefined || page.length < agents) return;
    after = last.id;
  }
}
