import { type DesiredSize, type ScheduledPool, desiredSize } from './prebuild-schedules.ts';
import {
  type PoolFacts,
  type PoolPreset,
  type PrebuildAction,
  type PrebuildRules,
  type PrebuildSnapshot,
  backoffUntil,
  calculateActions,
  canSkip,
  splitByExpiry,
} from './prebuilds.ts';
import { compareBytes } from './text-order.ts';

/** What a cycle does: the needs of all pools, within the caps of the deployment. Source: spec/03 §7, §9, §17. */
export interface PoolPlan {
  readonly preset: PoolPreset;
  readonly actions: readonly PrebuildAction[];
}

export interface StatusChange {
  readonly presetId: string;
  readonly from: 'normal' | 'hard_limited';
  readonly to: 'normal' | 'hard_limited';
  readonly newestBuildId: string | null;
}

export interface CyclePlan {
  /** Pools that need something, in the order of their ids. */
  readonly items: readonly PoolPlan[];
  readonly statusChanges: readonly StatusChange[];
  readonly stats: {
    readonly presetsTotal: number;
    readonly presetsReconciled: number;
    readonly presetsSkipped: number;
  };
  /** When something changes by the clock alone; null = nothing does. */
  readonly nextWakeAt: Date | null;
  readonly warnings: readonly string[];
}

/** What all pools need, within the caps of the deployment. The answer does not depend on the order of the snapshot's rows. */
export function planPrebuilds(snapshot: PrebuildSnapshot, now: Date, rules: PrebuildRules): CyclePlan {
  const factsOf = indexFacts(snapshot);
  const limited = new Map(snapshot.hardLimited.map((row) => [row.presetId, row.newestBuildId]));
  const warnings = snapshot.running
    .filter(({ presetId }) => presetId === null)
    .map(({ name }) => `the prebuild ${name} belongs to no pool: it is left alone`)
    .toSorted(compareBytes);
  const sizes = createSizes();
  const wakeUps: Date[] = [];
  const planned: { readonly plan: PoolPlan; readonly missing: number; readonly have: number }[] = [];
  const statusChanges: StatusChange[] = [];
  let presetsSkipped = 0;
  for (const preset of snapshot.presets.toSorted((a, b) => compareBytes(a.id, b.id))) {
    const facts = factsOf(preset.id);
    if (canSkip(preset, facts)) {
      presetsSkipped += 1;
      continue;
    }
    const size = sizes(preset);
    if (preset.active && size.problem !== undefined)
      warnings.push(`the schedules of preset ${preset.name} of ${preset.templateName} are not used: ${size.problem}`);
    const wanted = size.at(now);
    const change = preset.active ? statusChange(preset, limited.get(preset.id)) : null;
    if (change !== null) statusChanges.push(change);
    const heldBy = preset.active ? heldBackBy(facts) : null;
    if (heldBy !== null)
      warnings.push(`no prebuilds are made for preset ${preset.name} of ${preset.templateName}: ${heldBy}`);
    const actions = calculateActions(preset, facts, { now, wanted, rules });
    const create = actions.find((action) => action.kind === 'create');
    if (actions.length > 0)
      planned.push({
        plan: { preset, actions },
        missing: create?.count ?? 0,
        have: splitByExpiry(preset, facts.running, now).valid.length + facts.starting,
      });
    wakeUps.push(...wakeUpsOf(preset, facts, { now, rules, boundary: preset.active ? size.nextBoundary(now) : null }));
  }
  const shares = shareCreates(planned, createBudget(snapshot, rules));
  return {
    items: planned.flatMap(({ plan }, place): PoolPlan[] => {
      const actions = plan.actions.flatMap((action): PrebuildAction[] => {
        if (action.kind !== 'create') return [action];
        const count = shares[place] ?? 0;
        return count > 0 ? [{ kind: 'create', count }] : [];
      });
      return actions.length > 0 ? [{ preset: plan.preset, actions }] : [];
    }),
    statusChanges,
    stats: {
      presetsTotal: snapshot.presets.length,
      presetsReconciled: snapshot.presets.length - presetsSkipped,
      presetsSkipped,
    },
    nextWakeAt: wakeUps.length === 0 ? null : new Date(Math.min(...wakeUps.map((at) => at.getTime()))),
    warnings,
  };
}

/** What people have to cure before more can be made; failed validation has told them once (spec/03 §7.3, §10.5). */
const heldBackBy = ({ hardLimited, quotaBlocked }: PoolFacts): string | null =>
  hardLimited ? 'its newest builds all failed' : quotaBlocked ? 'the quota leaves no room for another one' : null;

/** Given up when all its newest builds failed, taken up again when that is no longer so. */
function statusChange(preset: PoolPreset, newestBuildId: string | undefined): StatusChange | null {
  if (preset.status === 'normal' && newestBuildId !== undefined)
    return { presetId: preset.id, from: 'normal', to: 'hard_limited', newestBuildId };
  if (preset.status === 'hard_limited' && newestBuildId === undefined)
    return { presetId: preset.id, from: 'hard_limited', to: 'normal', newestBuildId: null };
  return null;
}

const createBudget = (snapshot: PrebuildSnapshot, rules: PrebuildRules): number =>
  Math.min(
    rules.maxCreatesPerCycle === 0 ? Infinity : rules.maxCreatesPerCycle,
    rules.maxInFlight === null ? Infinity : Math.max(0, rules.maxInFlight - snapshot.inFlight),
  );

/** One prebuild after the other to the pool that has the fewest, until nothing is missing or the budget is used up. */
function shareCreates(pools: readonly { readonly missing: number; readonly have: number }[], budget: number): number[] {
  const shares = pools.map(({ missing }) => missing);
  if (shares.reduce((sum, missing) => sum + missing, 0) <= budget) return shares;
  const given = pools.map(() => 0);
  for (let left = budget; left > 0; left -= 1) {
    let poorest = -1;
    for (const [place, pool] of pools.entries()) {
      if (given[place]! >= pool.missing) continue;
      if (poorest < 0 || pool.have + given[place]! < pools[poorest]!.have + given[poorest]!) poorest = place;
    }
    if (poorest < 0) break;
    given[poorest]! += 1;
  }
  return given;
}

/** When a prebuild expires, failures stop to hold back, or the schedules change the size. */
function wakeUpsOf(
  preset: PoolPreset,
  facts: PoolFacts,
  { now, rules, boundary }: { now: Date; rules: PrebuildRules; boundary: Date | null },
): Date[] {
  const wakeUps = boundary === null ? [] : [boundary];
  const { invalidateAfterSecs: ttl } = preset;
  const { valid } = splitByExpiry(preset, facts.running, now);
  const oldest = valid[0];
  // Whole seconds, and strictly after: at the very instant it has not expired yet.
  if (ttl !== null && ttl > 0 && oldest !== undefined)
    wakeUps.push(new Date((Math.floor(oldest.createdAt.getTime() / 1000) + ttl + 1) * 1000));
  const until = preset.active ? backoffUntil(facts, rules.backoffIntervalMs, now) : null;
  if (until !== null) wakeUps.push(new Date(until.getTime() + 1));
  return wakeUps.filter((at) => at > now);
}

/** Rows of the snapshot by preset, gone through once. */
function indexFacts(snapshot: PrebuildSnapshot): (presetId: string) => PoolFacts {
  const running = groupByPreset(snapshot.running);
  const failed = groupByPreset(snapshot.failed);
  const inProgress = groupByPreset(snapshot.inProgress);
  const pending = groupByPreset(snapshot.pendingNonActive);
  const backoff = new Map(snapshot.backoff.map((row) => [row.presetId, row]));
  const hardLimited = new Set(snapshot.hardLimited.map(({ presetId }) => presetId));
  const quotaBlocked = new Set(snapshot.quotaBlocked);
  return (id) => {
    const count = (transition: 'start' | 'stop' | 'delete') =>
      (inProgress.get(id) ?? []).reduce((sum, row) => sum + (row.transition === transition ? row.count : 0), 0);
    return {
      running: running.get(id) ?? [],
      starting: count('start'),
      stopping: count('stop'),
      deleting: count('delete'),
      pendingNonActive: (pending.get(id) ?? []).reduce((sum, row) => sum + row.count, 0),
      backoff: backoff.get(id) ?? null,
      hardLimited: hardLimited.has(id),
      quotaBlocked: quotaBlocked.has(id),
      failed: failed.get(id) ?? [],
    };
  };
}

function groupByPreset<T extends { readonly presetId: string | null }>(rows: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    if (row.presetId === null) continue;
    const group = groups.get(row.presetId);
    if (group === undefined) groups.set(row.presetId, [row]);
    else group.push(row);
  }
  return groups;
}

/** Many presets share few schedules: each is read, and searched for its next boundary, once. */
function createSizes(): (pool: ScheduledPool) => DesiredSize {
  const sizes = new Map<string, DesiredSize>();
  return (pool) => {
    const key = JSON.stringify([pool.desiredInstances, pool.timezone, pool.schedules]);
    const known = sizes.get(key);
    if (known !== undefined) return known;
    const size = desiredSize(pool);
    const boundaries = new Map<number, Date | null>();
    const memoized: DesiredSize = {
      ...size,
      nextBoundary(after) {
        const found = boundaries.get(after.getTime());
        if (found !== undefined) return found;
        const boundary = size.nextBoundary(after);
        boundaries.set(after.getTime(), boundary);
        return boundary;
      },
    };
    sizes.set(key, memoized);
    return memoized;
  };
}
