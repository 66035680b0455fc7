import { setCurrentDetails } from '@temporalio/workflow';
import { prebuilds } from './policies.ts';

/** A pool with something to do. */
export interface PoolItem {
  readonly presetId: string;
  /** Its share of what the deployment may have made at once. */
  readonly maxCreates: number;
}

export interface CycleStats {
  readonly presetsTotal: number;
  readonly presetsReconciled: number;
  readonly presetsSkipped: number;
}

export interface PlannedCycle extends CycleStats {
  readonly paused: boolean;
  readonly items: readonly PoolItem[];
  /** Activities that may act on pools at once: half of the connections of a process. */
  readonly concurrency: number;
  readonly errors: number;
}

export interface PoolsOutcome {
  readonly created: number;
  readonly deleted: number;
  readonly canceled: number;
  readonly errors: number;
}

export interface ReconcileResult extends CycleStats, PoolsOutcome {
  readonly paused: boolean;
}

/** A run of thousands of pools must not become a history of tens of thousands of events. */
const maxActivities = 500;

/**
 * One cycle: look at all pools, act on those that are not as they should be. A pool that cannot be brought to its size stops no
 * other one. Builds are started and not awaited; their ends bring the next cycle. Source: spec/03 §9.
 */
export async function reconcilePrebuilds(): Promise<ReconcileResult> {
  const { items, concurrency, ...stats } = await prebuilds.planPrebuildCycle();
  const total = { created: 0, deleted: 0, canceled: 0 };
  let { errors } = stats;
  const size = Math.max(1, Math.ceil(items.length / maxActivities));
  const act = async (pools: readonly PoolItem[]) => {
    try {
      const outcome = await prebuilds.reconcilePools({ pools });
      total.created += outcome.created;
      total.deleted += outcome.deleted;
      total.canceled += outcome.canceled;
      errors += outcome.errors;
    } catch {
      // The history shows why; the next cycle looks at these pools again.
      errors += pools.length;
    }
  };
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const pools = items.slice(next, next + size);
      next += size;
      await act(pools);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, lane));
  const result = { ...stats, ...total, errors };
  setCurrentDetails(summaryOf(result));
  return result;
}

const summaryOf = (result: ReconcileResult): string =>
  result.paused
    ? 'reconciliation is paused'
    : `${result.presetsReconciled} of ${result.presetsTotal} presets: ${result.created} created, ${result.deleted} deleted, ${result.canceled} canceled, ${result.errors} errors`;
