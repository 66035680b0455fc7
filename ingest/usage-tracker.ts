import type { Db } from '../db/client.ts';
import { type BumpCandidate, listBumpCandidates, moveDeadlines, touchWorkspaces } from '../db/queries/agent-stats.ts';
import { bumpedDeadline } from '../domain/activity-bump.ts';
import { createBatch } from './batch.ts';
import { RecentMap } from './recent-map.ts';

const defaultUsedEveryMs = 60_000;
const bumpEveryMs = 1_000;
const perStatement = 1_000;
/** A workspace is bumped at most so often. */
const bumpApartMs = 30_000;

export interface UsageTracker {
  /** The workspace was used at this instant. */
  used(workspaceId: string, at: Date): void;
  /** Somebody works in it: its deadline moves (spec/04 §6.3). */
  active(workspaceId: string, at: Date): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface UsageTrackerDeps {
  readonly db: Db;
  /** Default: 60 s. */
  readonly usedEveryMs?: number | undefined;
  /** `again`: the one before has failed as well. */
  readonly onFailed: (err: unknown, again: boolean) => void;
}

/**
 * When workspaces were used, written together; a later time is never replaced, and what cannot be written waits. At most a minute
 * of it is lost with the process. Source: spec/04 §8.
 */
export function createUsageTracker(deps: UsageTrackerDeps): UsageTracker {
  const { db, usedEveryMs = defaultUsedEveryMs } = deps;
  let failedBefore = false;
  const options = {
    newer: (waiting: Use, next: Use) => (next.at > waiting.at ? next : waiting),
    keyOf: (use: Use) => use.workspaceId,
    capacity: Infinity,
    flushAt: Infinity,
    // There are no more of them than workspaces.
    keepsFailed: true,
    onFailed: (err: unknown) => {
      deps.onFailed(err, failedBefore);
      failedBefore = true;
    },
    onFlushed: () => {
      failedBefore = false;
    },
  };
  const uses = createBatch<Use>({
    ...options,
    everyMs: usedEveryMs,
    write: async (all) => {
      for (const page of pages(all)) await touchWorkspaces(db, page);
    },
  });
  const bumps = createBatch<Use>({
    ...options,
    everyMs: bumpEveryMs,
    write: async (all) => {
      for (const page of pages(all)) await bump(db, page);
    },
  });
  const bumpedAt = new RecentMap<string, number>(100_000);
  return {
    used: (workspaceId, at) => void uses.add({ workspaceId, at }),
    active(workspaceId, at) {
      if (at.getTime() - (bumpedAt.get(workspaceId) ?? -Infinity) < bumpApartMs) return;
      bumpedAt.set(workspaceId, at.getTime());
      bumps.add({ workspaceId, at });
    },
    async flush() {
      await Promise.all([uses.flush(), bumps.flush()]);
    },
    async close() {
      await Promise.all([uses.close(), bumps.close()]);
    },
  };
}

interface Use {
  readonly workspaceId: string;
  readonly at: Date;
}

const pages = <T>(all: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(all.length / perStatement) }, (_, page) =>
    all.slice(page * perStatement, (page + 1) * perStatement),
  );

async function bump(db: Db, uses: readonly Use[]): Promise<void> {
  const at = new Map(uses.map((use) => [use.workspaceId, use.at]));
  const candidates = await listBumpCandidates(db, [...at.keys()]);
  const moves = candidates.flatMap((candidate: BumpCandidate) => {
    const to = bumpedDeadline(candidate, at.get(candidate.workspaceId)!);
    return to === null ? [] : [{ buildId: candidate.buildId, from: candidate.deadline!, to }];
  });
  await moveDeadlines(db, moves);
}
