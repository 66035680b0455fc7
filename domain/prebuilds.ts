import type { ScheduledPool } from './prebuild-schedules.ts';
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

/** Both parts oldest first. */
export function splitByExpiry(preset: PoolPreset, running: readonly RunningPrebuild[], now: Date) {
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
