import { Context } from '@temporalio/activity';
import { createReconcilePreset } from '../commands/reconcile-preset.ts';
import { DomainError } from '../domain/errors.ts';
import type { PoolItem, PoolsOutcome } from '../workflows/reconcile-prebuilds.ts';
import { originOfActor } from './actors.ts';
import type { PrebuildDeps } from './deps.ts';
import { messageOf } from './failures.ts';
import { createSlots } from './slots.ts';

/** Acts on a few pools, one after the other. One that fails stops none of the others; the activity then fails and is tried again. */
export const createReconcilePools = (deps: PrebuildDeps) => {
  const reconcilePreset = createReconcilePreset(deps);
  // The workflow keeps to it by itself; an attempt that was given up may still be running here.
  const slots = createSlots(deps.poolConcurrency);
  return async function reconcilePools({ pools }: { readonly pools: readonly PoolItem[] }): Promise<PoolsOutcome> {
    const { cancellationSignal } = Context.current();
    const release = await slots.acquire(cancellationSignal);
    const total = { created: 0, deleted: 0, canceled: 0, errors: 0 };
    const failures: unknown[] = [];
    try {
      const origin = originOfActor('prebuilds-orchestrator');
      for (const { presetId, maxCreates } of pools) {
        try {
          const { errors, ...done } = await reconcilePreset({ presetId, maxCreates, origin });
          count(deps, done);
          total.created += done.created;
          total.deleted += done.deleted;
          total.canceled += done.canceled;
          total.errors += errors.length;
          for (const error of errors) deps.logger.warn({ preset_id: presetId, error }, 'pool not as it should be');
        } catch (err) {
          deps.logger.warn({ err, preset_id: presetId }, 'pool not reconciled');
          failures.push(err);
        }
      }
    } finally {
      release();
    }
    if (failures.length > 0) throw new DomainError('UNAVAILABLE', failures.map(messageOf).join('; ').slice(0, 1_000));
    return total;
  };
};

function count({ metrics }: PrebuildDeps, done: { created: number; deleted: number; canceled: number }): void {
  if (done.created > 0) metrics.poolAction('create', done.created);
  if (done.deleted > 0) metrics.poolAction('delete', done.deleted);
  if (done.canceled > 0) metrics.poolAction('cancel_pending', done.canceled);
}
