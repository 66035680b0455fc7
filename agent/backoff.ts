/** Exponential, from `minMs` to `maxMs`. */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * Wait before the next try, after `failures` of them in a row (≥ 1). `random` in [0, 1): half of the wait is fixed, half is
 * jitter, so that many agents that failed together do not come back together. Source: spec/05 §2, §5, §8, §14.
 */
export function backoffMs({ minMs, maxMs }: Backoff, failures: number, random: number): number {
  const full = Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30));
  return Math.max(minMs, full / 2 + (full / 2) * random);
}

/** No server means longer than this, and timers overflow at 24 days. */
const longestWaitMs = 3_600_000;

/** Seconds or HTTP date of a `Retry-After` header as milliseconds from `nowMs`; null when there is none to understand. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) return null;
  if (/^\s*\d+(\.\d+)?\s*$/.test(header)) return Math.min(longestWaitMs, Number(header) * 1000);
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.min(longestWaitMs, Math.max(0, at - nowMs));
}
