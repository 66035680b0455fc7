import { Context } from '@temporalio/activity';
import { type TransitionOutcome, addOutcomes, createTransitionWorkspaces } from '../commands/transition-workspaces.ts';
import { type DueWorkspace, firstDue, readTick, scanDue } from '../db/queries/lifecycle.ts';
import type { LifecyclePage, LifecycleProgress } from '../workflows/run-lifecycle.ts';
import { originsOfOwners } from './actors.ts';
import type { LifecycleDeps } from './deps.ts';
import { createSlots } from './slots.ts';

const pageSize = 500;
/** Workspaces of one transaction: as many as share its statements without holding rows for long. */
const batchSize = 25;
const beatEveryMs = 2_000;

/**
 * One page of what is due. An attempt that died has left nothing half done: its batches are committed or not, and what they did
 * is due no longer. Counts of earlier attempts are carried by the heartbeats.
 */
export const createRunLifecyclePage = (deps: LifecycleDeps) => {
  const transitionWorkspaces = createTransitionWorkspaces(deps);
  // An attempt that was given up may still be running here.
  const slots = createSlots(deps.lifecycleConcurrency);
  return async function runLifecyclePage({ progress, ...times }: LifecyclePage): Promise<LifecycleProgress> {
    const { info, heartbeat, cancellationSignal } = Context.current();
    const { tick, nowMs } =
      progress === undefined ? await readTick(deps.db) : { tick: new Date(progress.tick), nowMs: 0 };
    if (progress === undefined)
      deps.metrics.lifecycleTick({ lagSeconds: Math.max(0, nowMs - times.scheduledAt) / 1000 });
    const before: LifecycleProgress = progress ?? {
      tick: tick.toISOString(),
      after: firstDue,
      buildsLeft: deps.maxBuildsPerTick,
      builds: 0,
      due: {},
      actions: {},
      skipped: {},
    };
    const outcomes = [
      (info.heartbeatDetails as TransitionOutcome | undefined) ?? { builds: 0, actions: {}, skipped: {} },
    ];
    const beat = () => heartbeat(addOutcomes(outcomes));
    const timer = setInterval(beat, beatEveryMs);
    try {
      const page = await scanDue(deps.db, { tick, after: before.after ?? firstDue, limit: pageSize });
      const batches = inBatches(page);
      const originFor = originsOfOwners();
      const queues = new Map<string, boolean>();
      let reserved = outcomes[0]!.builds;
      let next = 0;
      const lane = async () => {
        for (let ids = batches[next++]; ids !== undefined; ids = batches[next++]) {
          const release = await slots.acquire(cancellationSignal);
          try {
            // Taken before it is known how many are used, so that lanes together do not exceed the limit.
            const maxBuilds = Math.min(ids.length, before.buildsLeft - reserved);
            reserved += maxBuilds;
            const outcome = await transitionWorkspaces({ tick, ids, maxBuilds, originFor, queues });
            reserved -= maxBuilds - outcome.builds;
            outcomes.push(outcome);
            beat();
          } catch (err) {
            // The attempt is over: what the others have begun they end, and nothing more.
            next = batches.length;
            throw err;
          } finally {
            release();
          }
        }
      };
      await Promise.all(Array.from({ length: deps.lifecycleConcurrency }, lane));
      const last = page.at(-1);
      const done = addOutcomes(outcomes);
      const total = addOutcomes([before, done]);
      const buildsLeft = before.buildsLeft - done.builds;
      const isLast = page.length < pageSize || buildsLeft <= 0;
      const due = countKinds(before.due, page);
      deps.metrics.lifecyclePage({
        skipped: done.skipped,
        ...(isLast && { due, seconds: (Date.now() - times.startedAt) / 1000 }),
      });
      return { tick: before.tick, after: isLast ? null : { at: last!.at, id: last!.id }, buildsLeft, due, ...total };
    } finally {
      clearInterval(timer);
    }
  };
};

/** Neighbours share a version, so that its builds run close together and find its archives prepared. */
function inBatches(page: readonly DueWorkspace[]): string[][] {
  const ids = page
    .toSorted((a, b) => (a.versionId < b.versionId ? -1 : a.versionId > b.versionId ? 1 : 0))
    .map(({ id }) => id);
  return Array.from({ length: Math.ceil(ids.length / batchSize) }, (_, index) =>
    ids.slice(index * batchSize, (index + 1) * batchSize),
  );
}

function countKinds(before: LifecycleProgress['due'], page: readonly DueWorkspace[]): Record<string, number> {
  const due: Record<string, number> = { ...before };
  for (const { kind } of page) due[kind] = (due[kind] ?? 0) + 1;
  return due;
}
