import { nextStartAt } from './autostart.ts';
import { type LifecycleTemplate, type LifecycleWorkspace, autostartInput } from './lifecycle.ts';
import type { Transition } from './jobs.ts';

/** What the end of a build means for the automatic life of its workspace. Source: spec/04 §1, §4.3 rows 4–6, §5.2, §5.5. */
export interface EndedBuild {
  readonly transition: Transition;
  readonly reason: string;
  readonly createdAt: Date;
  readonly outcome: 'succeeded' | 'failed' | 'canceled';
  /** Something ran: there may be something to clean up. */
  readonly started: boolean;
  /** Of the build before. */
  readonly previous: { readonly deadline: Date | null; readonly wasFailure: boolean } | null;
}

export interface BuildAftermath {
  readonly nextStartAt: Date | null;
  readonly failedAt: Date | null;
  readonly lifecycleRetryAfter: Date | null;
  readonly lifecycleAttempts: number;
  /** Told to the owner: at the first failure of an automatic build, and when it is not tried again. */
  readonly tellsOwner: boolean;
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** A failed automatic start or stop is tried again after 5, 10 and 20 minutes (docs/adr/0023). */
export const autobuildRetry = { waitMs: 5 * minuteMs, atMost: 3 } as const;
const longestWaitMs = dayMs;

const automaticReasons: readonly string[] = ['autostart', 'autostop', 'dormancy', 'autodelete'];
export const isAutomatic = (reason: string): boolean => automaticReasons.includes(reason);

export function aftermathOf(
  facts: { readonly workspace: LifecycleWorkspace; readonly template: LifecycleTemplate },
  build: EndedBuild,
  now: Date,
): BuildAftermath {
  const next = nextStartAt(autostartInput(facts), nextStartBase(build, now));
  if (build.outcome === 'succeeded')
    return {
      nextStartAt: build.transition === 'delete' ? null : next,
      failedAt: null,
      lifecycleRetryAfter: null,
      lifecycleAttempts: 0,
      tellsOwner: false,
    };
  const automatic = isAutomatic(build.reason);
  const failed = build.outcome === 'failed';
  // The first failure is what is repeated, so it is no attempt.
  const attempts =
    facts.workspace.lifecycleAttempts + (automatic && failed && build.previous?.wasFailure === true ? 1 : 0);
  const waitMs = retryWait(build, {
    failureTtlMs: facts.template.failureTtlMs,
    attempts,
    dormant: facts.workspace.dormantAt !== null,
  });
  return {
    nextStartAt: next,
    failedAt: leavesSomething(build) ? now : null,
    lifecycleRetryAfter: waitMs === null ? null : new Date(now.getTime() + waitMs),
    lifecycleAttempts: attempts,
    tellsOwner: automatic && failed && (build.previous?.wasFailure !== true || waitMs === null),
  };
}

/** A stop that runs across the time of the start must not cost the day's start. */
function nextStartBase(build: EndedBuild, now: Date): Date {
  const { transition, outcome, reason, createdAt, previous } = build;
  if (transition !== 'stop' || outcome === 'failed') return now;
  if (outcome === 'canceled' || reason !== 'autostop' || previous?.deadline == null) return createdAt;
  return new Date(Math.min(createdAt.getTime(), previous.deadline.getTime() - minuteMs));
}

/** A failed start or stop and a canceled start may have left resources half made; failed deletes are never made a stop. */
const leavesSomething = ({ transition, outcome, started }: EndedBuild): boolean =>
  started && (transition === 'start' || (transition === 'stop' && outcome === 'failed'));

/** How long to wait before the next automatic attempt, ms; null = none is owed, or it is given up. */
function retryWait(
  { transition, reason, outcome }: EndedBuild,
  rules: { failureTtlMs: number; attempts: number; dormant: boolean },
): number | null {
  const { failureTtlMs, attempts, dormant } = rules;
  const doubled = (firstMs: number) => Math.min(firstMs * 2 ** attempts, longestWaitMs);
  if (transition === 'delete') return dormant ? dayMs : null;
  if (outcome === 'canceled' || !isAutomatic(reason)) return null;
  if (transition === 'stop' && failureTtlMs > 0) return doubled(failureTtlMs);
  // What is dormant must not run: that is never given up.
  if (attempts >= autobuildRetry.atMost && !dormant) return null;
  return doubled(autobuildRetry.waitMs);
}
