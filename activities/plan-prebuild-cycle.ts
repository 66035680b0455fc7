import { transaction } from '../db/client.ts';
import { notifyTemplateAdmins } from '../db/queries/notification-messages.ts';
import { movePresetStatus } from '../db/queries/prebuild-locks.ts';
import { addPrebuildMembership, listPrebuildMemberships } from '../db/queries/prebuild-memberships.ts';
import { readReconciliation } from '../db/queries/prebuild-settings.ts';
import { readPrebuildSnapshot } from '../db/queries/prebuild-snapshot.ts';
import { presetLabels } from '../commands/reconcile-preset.ts';
import { prebuildsOrchestrator } from '../domain/actors.ts';
import { authorize } from '../domain/authorization.ts';
import { notificationTemplates } from '../domain/notifications.ts';
import { type CyclePlan, planPrebuilds } from '../domain/prebuild-plan.ts';
import type { PoolPreset } from '../domain/prebuilds.ts';
import type { PlannedCycle } from '../workflows/reconcile-prebuilds.ts';
import type { PrebuildDeps } from './deps.ts';

const idle = { presetsTotal: 0, presetsReconciled: 0, presetsSkipped: 0, items: [], errors: 0 };

/**
 * Looks at all pools and says which of them need something done. Writes only what is missing of the prebuilds user's
 * memberships and what changed of the presets' states. Source: spec/03 §9.
 */
export const createPlanPrebuildCycle = (deps: PrebuildDeps) =>
  async function planPrebuildCycle(): Promise<PlannedCycle> {
    const { db, poolConcurrency: concurrency } = deps;
    const began = Date.now();
    const now = deps.now();
    const { paused, liveSlots } = await readReconciliation(db);
    if (paused) return { ...idle, paused, concurrency };
    const unreachable = await keepMemberships(deps, now);
    const maxInFlight =
      deps.maxInFlight === undefined ? Math.max(1, Math.floor(liveSlots / 2)) : deps.maxInFlight || null;
    const rules = { ...deps.snapshot.rules, maxInFlight };
    const snapshot = await readPrebuildSnapshot(db, { ...deps.snapshot, rules, now });
    const plan = planPrebuilds(snapshot, now, rules);
    for (const warning of plan.warnings) deps.logger.warn(warning);
    const errors = await changeStates(deps, snapshot.presets, plan, now);
    if (plan.nextWakeAt !== null) deps.wakeAt(plan.nextWakeAt);
    const { presetsTotal: total, presetsReconciled: reconciled } = plan.stats;
    deps.metrics.poolsReconciled({ seconds: (Date.now() - began) / 1000, total, reconciled });
    const items = plan.items.filter(({ preset }) => !unreachable.has(preset.organizationId));
    return {
      paused,
      concurrency,
      presetsTotal: plan.stats.presetsTotal,
      presetsReconciled: plan.stats.presetsReconciled,
      presetsSkipped: plan.stats.presetsSkipped,
      errors: errors + unreachable.size,
      items: items.flatMap(({ preset, actions }) => {
        const maxCreates = actions.reduce((sum, action) => sum + (action.kind === 'create' ? action.count : 0), 0);
        return actions.some(({ kind }) => kind !== 'backoff') ? [{ presetId: preset.id, maxCreates }] : [];
      }),
    };
  };

/** Ids of the organizations whose pools have to wait, because the prebuilds user could not be made a member. Source: spec/03 §2. */
async function keepMemberships({ db, logger }: PrebuildDeps, now: Date): Promise<ReadonlySet<string>> {
  const failed = new Set<string>();
  for (const state of await listPrebuildMemberships(db)) {
    if (state.isMember && state.isInGroup) continue;
    const { organizationId } = state;
    try {
      const actor = prebuildsOrchestrator({ organizationId });
      authorize(actor, 'create', { type: 'organization_member', organizationId });
      await transaction(db, (tx) => addPrebuildMembership(tx, state, now));
    } catch (err) {
      logger.warn({ err, organization: state.organizationName }, 'prebuilds user not made a member');
      failed.add(organizationId);
    }
  }
  return failed;
}

/** Writes what became of presets; those who keep the template hear once that its pool is given up. Answers the number of failures. */
async function changeStates(
  { db, logger, snapshot }: PrebuildDeps,
  presets: readonly PoolPreset[],
  plan: CyclePlan,
  now: Date,
): Promise<number> {
  let errors = 0;
  for (const { presetId, from, to, newestBuildId } of plan.statusChanges) {
    const preset = presets.find(({ id }) => id === presetId);
    if (preset === undefined) continue;
    try {
      await transaction(db, async (tx) => {
        const moved = await movePresetStatus(tx, { presetId, from, to });
        if (!moved || to !== 'hard_limited') return;
        await notifyTemplateAdmins(tx, preset.organizationId, {
          template: notificationTemplates.prebuildFailureLimitReached,
          eventKey: `prebuild-failure-limit:${presetId}:${newestBuildId ?? ''}`,
          labels: { ...presetLabels(preset), failure_count: String(snapshot.rules.failureHardLimit) },
          data: {},
          targets: [preset.templateId, preset.versionId, preset.id, preset.organizationId],
          createdBy: prebuildsOrchestrator({ organizationId: preset.organizationId }).name,
          now,
        });
      });
    } catch (err) {
      logger.warn({ err, preset_id: presetId }, 'state of a preset not changed');
      errors += 1;
    }
  }
  return errors;
}
