import { type DesiredSize, type ScheduledPool, desiredSize } from './prebuild-schedules.ts';
import { compareBytes } from './text-order.ts';

/**
 * How many prebuilds a pool has, wants, and what is to be done about it. State goes to people, actions to execution. Pure; the
 * facts come from one snapshot. Source: spec/03 §5–§7.
 */
export interface PoolPreset extends ScheduledPool {
  readonly id: string;
  readonly name: string;
  readonly templateId: string;
  readonly templateName: string;
  readonly versionId: string;
  readonly versionName: string;
  readonly organizationId: string;
  readonly organizationName: string;
  /** Of the active version of a template that is neither deleted nor deprecated. */
  readonly active: boolean;
  /** null = prebuilds do not expire. */
  readonly invalidateAfterSecs: number | null;
  readonly status: 'normal' | 'hard_limited' | 'validation_failed';
  /** Prebuilds made before this count as expired. */
  readonly lastInvalidatedAt: Date | null;
}

export interface RunningPrebuild {
  readonly id: string;
  readonly name: string;
  /** null = it belongs to no pool and is left alone. */
  readonly presetId: string | null;
  readonly ready: boolean;
  readonly createdAt: Date;
}

export interface PrebuildSnapshot {
  readonly presets: readonly PoolPreset[];
  readonly running: readonly RunningPrebuild[];
  /** Of active versions. */
  readonly inProgress: readonly {
    readonly presetId: string;
    readonly transition: 'start' | 'stop' | 'delete';
    readonly count: number;
  }[];
  readonly pendingNonActive: readonly { readonly presetId: string; readonly count: number }[];
  /** Presets with a failure among their newest builds; `failed` counts all that are recent (spec/03 §7.2). */
  readonly backoff: readonly { readonly presetId: string; readonly failed: number; readonly lastBuildAt: Date }[];
  /** Presets all of whose newest builds failed; the newest one names the fact. */
  readonly hardLimited: readonly { readonly presetId: string; readonly newestBuildId: string }[];
  /** Presets whose newest build was refused for its cost, for which there still is no room. */
  readonly quotaBlocked: readonly string[];
  /** Looked at only when failed prebuilds are not kept for ever. */
  readonly failed: readonly { readonly id: string; readonly presetId: string | null; readonly createdAt: Date }[];
  /** Builds of all pools of the deployment that wait or run. */
  readonly inFlight: number;
}

export interface PrebuildRules {
  readonly backoffIntervalMs: number;
  /** Failures in a row after which a pool is given up; 0 = never. */
  readonly failureHardLimit: number;
  /** How long failed prebuilds are kept; 0 = for ever. */
  readonly failedRetentionMs: number;
  /** 0 = no limit. */
  readonly maxCreatesPerCycle: number;
  /** null = no limit. */
  readonly maxInFlight: number | null;
}

export type DeleteReason = 'expired' | 'extraneous' | 'outdated' | 'failed-retention';
export type PrebuildAction =
  | { readonly kind: 'backoff'; readonly until: Date }
  | { readonly kind: 'cancel-pending' }
  | { readonly kind: 'delete'; readonly workspaces: readonly { readonly id: string; readonly reason: DeleteReason }[] }
  | { readonly kind: 'create'; readonly count: number };

/** What one preset's rows of the snapshot say. */
export interface PoolFacts {
  readonly running: readonly RunningPrebuild[];
  readonly starting: number;
  readonly stopping: number;
  readonly deleting: number;
  readonly pendingNonActive: number;
  readonly backoff: { readonly failed: number; readonly lastBuildAt: Date } | null;
  readonly hardLimited: boolean;
  readonly quotaBlocked: boolean;
  readonly failed: readonly { readonly id: string; readonly createdAt: Date }[];
}

export interface PoolState {
  /** Running ones, expired or not. */
  readonly actual: number;
  readonly expired: number;
  readonly eligible: number;
  readonly desired: number;
  readonly extraneous: number;
  readonly starting: number;
  readonly stopping: number;
  readonly deleting: number;
}

/** Prebuilds made before this instant have expired; null = none has. Strict: one second after its time, not at it. */
export function claimableSince(
  preset: Pick<PoolPreset, 'invalidateAfterSecs' | 'lastInvalidatedAt'>,
  now: Date,
): Date | null {
  const { invalidateAfterSecs: ttl, lastInvalidatedAt: invalidated } = preset;
  const byAge = ttl === null || ttl <= 0 ? null : new Date(now.getTime() - ttl * 1000);
  if (byAge === null || invalidated === null) return byAge ?? invalidated;
  return byAge > invalidated ? byAge : invalidated;
}

const byAge = (a: { createdAt: Date; id: string }, b: { createdAt: Date; id: string }): number =>
  a.createdAt.getTime() - b.createdAt.getTime() || compareBytes(a.id, b.id);

function splitByExpiry(preset: PoolPreset, running: readonly RunningPrebuild[], now: Date) {
  const since = claimableSince(preset, now);
  const isExpired = ({ createdAt }: RunningPrebuild) => since !== null && createdAt < since;
  const sorted = running.toSorted(byAge);
  return { expired: sorted.filter(isExpired), valid: sorted.filter((prebuild) => !isExpired(prebuild)) };
}

/** Counts of one pool for people and gauges. `wanted` = its size by its schedules. */
export function poolState(preset: PoolPreset, facts: PoolFacts, options: { now: Date; wanted: number }): PoolState {
  const { expired, valid } = splitByExpiry(preset, facts.running, options.now);
  const desired = preset.active ? options.wanted : 0;
  return {
    actual: facts.running.length,
    expired: expired.length,
    eligible: preset.active ? valid.filter(({ ready }) => ready).length : 0,
    desired,
    extraneous: preset.active ? Math.max(valid.length - desired, 0) : 0,
    starting: facts.starting,
    stopping: facts.stopping,
    deleting: facts.deleting,
  };
}

/** A dead preset of which nothing is left costs nothing further. Active ones are never skipped. Source: spec/03 §6.4. */
export const canSkip = (preset: Pick<PoolPreset, 'active'>, facts: PoolFacts): boolean =>
  !preset.active &&
  facts.running.length === 0 &&
  facts.pendingNonActive === 0 &&
  facts.backoff === null &&
  facts.failed.length === 0;

/** Until when failures hold creation back; null = they do not. Inclusive. Source: spec/03 §7.2. */
export function backoffUntil({ backoff }: PoolFacts, intervalMs: number, now: Date): Date | null {
  if (backoff === null) return null;
  const until = new Date(backoff.lastBuildAt.getTime() + backoff.failed * intervalMs);
  return now <= until ? until : null;
}

/**
 * What one pool needs. Deletions go on whatever holds creation back: only creation can make failures worse.
 * Source: spec/03 §7.1.
 */
export function calculateActions(
  preset: PoolPreset,
  facts: PoolFacts,
  options: { now: Date; wanted: number; rules: PrebuildRules },
): PrebuildAction[] {
  const { now, wanted, rules } = options;
  const { expired, valid } = splitByExpiry(preset, facts.running, now);
  const actions: PrebuildAction[] = [];
  const remove = (rows: readonly { id: string }[], reason: DeleteReason) => rows.map(({ id }) => ({ id, reason }));
  const deletions = preset.active
    ? [
        ...remove(expired, 'expired'),
        ...remove(valid.slice(0, Math.max(valid.length - wanted, 0)), 'extraneous'),
        ...remove(outlivedFailures(preset, facts, options), 'failed-retention'),
      ]
    : [
        ...remove([...expired, ...valid].toSorted(byAge), 'outdated'),
        ...remove(outlivedFailures(preset, facts, options), 'failed-retention'),
      ];
  if (!preset.active && facts.pendingNonActive > 0) actions.push({ kind: 'cancel-pending' });
  if (deletions.length > 0) actions.push({ kind: 'delete', workspaces: deletions });
  if (!preset.active) return actions;
  const missing = Math.max(wanted - valid.length - facts.starting, 0);
  if (missing === 0 || facts.hardLimited || facts.quotaBlocked || preset.status === 'validation_failed') return actions;
  const until = backoffUntil(facts, rules.backoffIntervalMs, now);
  actions.push(until === null ? { kind: 'create', count: missing } : { kind: 'backoff', until });
  return actions;
}

/** Failed prebuilds that nobody looked at in time. What a given-up pool was given up for stays. Source: spec/03 §10.3. */
function outlivedFailures(
  preset: PoolPreset,
  facts: PoolFacts,
  { now, rules }: { now: Date; rules: PrebuildRules },
): readonly { id: string }[] {
  if (rules.failedRetentionMs === 0) return [];
  const evidence = preset.active ? rules.failureHardLimit : 0;
  const newestFirst = facts.failed.toSorted((a, b) => byAge(b, a));
  return newestFirst
    .slice(evidence)
    .filter(({ createdAt }) => now.getTime() - createdAt.getTime() > rules.failedRetentionMs)
    .toReversed();
}

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
