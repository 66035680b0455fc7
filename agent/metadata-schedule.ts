import type { ManifestMetadata } from './protocol.ts';

/** Source: spec/05 §9 "Agent": never collected, or the interval is over; an interval of 0 means once. */
export const isDue = ({ interval }: ManifestMetadata, lastStartedMs: number | null, nowMs: number): boolean =>
  lastStartedMs === null || (interval > 0 && nowMs - lastStartedMs >= interval * 1000);

export const timeoutMsOf = ({ timeout, interval }: ManifestMetadata): number => (timeout || interval || 3) * 1000;
