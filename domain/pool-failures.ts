import type { PrebuildSnapshot } from './prebuilds.ts';

/** A start of a prebuild whose pool had failures. */
export interface PoolStart {
  readonly presetId: string;
  readonly buildId: string;
  readonly createdAt: Date;
  readonly failed: boolean;
  /** It failed for want of quota, which is no fault of the preset. */
  readonly refused: boolean;
  /** It is the newest one, it was refused, and there still is no room for it. */
  readonly blocked: boolean;
}

export interface FailureRules {
  readonly now: Date;
  /** Failures older than this do not hold creation back. */
  readonly lookbackMs: number;
  /** Failures in a row after which a pool is given up; 0 = never. */
  readonly hardLimit: number;
  /** How many a preset wants now; undefined = it is of no active version. */
  readonly desired: (presetId: string) => number | undefined;
}

/**
 * What failures do to pools; `starts` has those of a preset together, newest first. A failure among the newest starts, as many as
 * are desired, makes the pool wait; as many in a row as the limit says, however long ago, end it. Source: spec/03 §7.2, §7.3, §10.5.
 */
export function poolFailures(
  starts: readonly PoolStart[],
  { now, lookbackMs, hardLimit, desired }: FailureRules,
): Pick<PrebuildSnapshot, 'backoff' | 'hardLimited' | 'quotaBlocked'> {
  const byPreset = new Map<string, PoolStart[]>();
  for (const start of starts) byPreset.set(start.presetId, [...(byPreset.get(start.presetId) ?? []), start]);
  const since = now.getTime() - lookbackMs;
  const backoff = [...byPreset].flatMap(([presetId, all]) => {
    const recent = all.filter(({ createdAt }) => createdAt.getTime() >= since);
    const newest = recent.findIndex(({ failed }) => failed);
    const wanted = desired(presetId);
    if (newest === -1 || wanted === undefined || newest >= Math.max(wanted, 1)) return [];
    const failed = recent.filter((start) => start.failed).length;
    return [{ presetId, failed, lastBuildAt: recent[newest]!.createdAt }];
  });
  const hardLimited = [...byPreset].flatMap(([presetId, all]) => {
    const newest = all.filter(({ refused }) => !refused).slice(0, hardLimit);
    if (hardLimit === 0 || newest.length < hardLimit || !newest.every(({ failed }) => failed)) return [];
    return [{ presetId, newestBuildId: newest[0]!.buildId }];
  });
  const quotaBlocked = starts.filter(({ blocked }) => blocked).map(({ presetId }) => presetId);
  return { backoff, hardLimited, quotaBlocked };
}
