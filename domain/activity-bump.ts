import { ttlInForce } from './lifecycle.ts';

/** Deadline of a workspace in use. Source: spec/04 §6.3. */
export interface BumpInput {
  readonly deadline: Date | null;
  readonly maxDeadline: Date | null;
  readonly activityBumpMs: number;
  /** Next automatic start that is allowed. */
  readonly nextStartAt: Date | null;
  readonly ttlMs: number | null;
  readonly defaultTtlMs: number;
  readonly allowUserAutostop: boolean;
}

/** A bump waits until so much of the interval is used up, so that steady use does not write all the time. */
const usedUp = 0.95;

/** The new deadline, or null when nothing changes. It is never earlier than the old one. */
export function bumpedDeadline(input: BumpInput, now: Date): Date | null {
  const { deadline, maxDeadline } = input;
  if (deadline === null || input.activityBumpMs <= 0) return null;
  const intervalMs = bumpInterval(input, now);
  if (intervalMs <= 0 || deadline.getTime() - usedUp * intervalMs >= now.getTime()) return null;
  const wanted = Math.max(deadline.getTime(), now.getTime() + intervalMs);
  const capped = maxDeadline === null ? wanted : Math.min(wanted, maxDeadline.getTime());
  return capped > deadline.getTime() ? new Date(capped) : null;
}

/** A workspace that starts by itself soon goes on as if that start had come: it must not stop soon after it. */
function bumpInterval(input: BumpInput, now: Date): number {
  const { activityBumpMs, nextStartAt } = input;
  const untilStart = nextStartAt === null ? 0 : nextStartAt.getTime() - now.getTime();
  if (untilStart <= 0 || untilStart >= activityBumpMs) return activityBumpMs;
  const ttlMs = ttlInForce(input.ttlMs, input);
  return untilStart + (ttlMs > 0 ? ttlMs : activityBumpMs);
}
