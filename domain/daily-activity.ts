import { dayMs, hourMs } from './wall-clock.ts';

/** Days that daily activity is told of, today included. */
const daysBack = 60;

export interface LocalDays {
  /** Midnight that begins the first day. */
  readonly from: Date;
  /** Midnight that ends today. */
  readonly to: Date;
  /** `YYYY-MM-DD`, oldest first, today last. */
  readonly dates: readonly string[];
}

/** The last days where clocks are `offsetHours` ahead of UTC; all have 24 hours. */
export function lastLocalDays(now: Date, offsetHours: number): LocalDays {
  const offsetMs = offsetHours * hourMs;
  const tomorrow = (Math.floor((now.getTime() + offsetMs) / dayMs) + 1) * dayMs;
  const first = tomorrow - daysBack * dayMs;
  return {
    from: new Date(first - offsetMs),
    to: new Date(tomorrow - offsetMs),
    dates: Array.from({ length: daysBack }, (_, day) => new Date(first + day * dayMs).toISOString().slice(0, 10)),
  };
}

/** Who used a template after this is one of its active users. Source: spec/01 §6.6. */
export const activeSince = (now: Date): Date => new Date(now.getTime() - dayMs);
