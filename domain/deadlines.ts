import { type AutostartInput, nextStartAt } from './autostart.ts';
import { ttlInForce } from './lifecycle.ts';
import type { QuietHours } from './quiet-hours.ts';
import { hourMs, instantsOfDate, localDateOf, wallClockOf, weekdayOf } from './wall-clock.ts';
import { everyDay, hasDay } from './weekdays.ts';

/** What the deadlines of a running workspace follow from, of the workspace, its template and its owner. Source: spec/04 §6. */
export interface DeadlineInput {
  readonly ttlMs: number | null;
  readonly defaultTtlMs: number;
  readonly allowUserAutostop: boolean;
  /** Bitmap, Monday = bit 0; 0 = no stop is required. */
  readonly autostopRequirementDaysOfWeek: number;
  readonly autostopRequirementWeeks: number;
  readonly autostart: AutostartInput;
  /** Who is not active gets no automatic start. */
  readonly ownerIsActive: boolean;
  readonly quietHours: QuietHours;
}

export interface Deadlines {
  readonly deadline: Date | null;
  /** Never before `deadline`; activity and extensions cannot move beyond it. */
  readonly maxDeadline: Date | null;
  /** What went wrong, for the log. */
  readonly problem?: string;
}

/** A required stop is not due so soon after a start, nor after a change of the requirement. */
export const requiredStopLeewayMs = 2 * hourMs;

const noDayFound = 'no day was found for the required stop';

/** Deadlines of a start build that completes now. Source: spec/04 §6, steps 1–6. */
export function deadlinesOf(input: DeadlineInput, now: Date): Deadlines {
  const wanted = ttlDeadline(input, now);
  const required = input.autostopRequirementDaysOfWeek !== 0;
  const maxDeadline = requiredStop(
    {
      daysOfWeek: input.autostopRequirementDaysOfWeek,
      weeks: input.autostopRequirementWeeks,
      quietHours: input.quietHours,
    },
    now,
  );
  const problems: string[] = [];
  if (required && maxDeadline === null) problems.push(noDayFound);
  let deadline = wanted;
  if (deadline !== null && !(deadline > now)) {
    problems.push(`the deadline ${String(deadline.getTime())} is not after ${String(now.getTime())}`);
    deadline = new Date(now.getTime() + requiredStopLeewayMs);
  }
  if (maxDeadline !== null && (deadline === null || deadline > maxDeadline)) deadline = maxDeadline;
  return { deadline, maxDeadline, ...(problems.length > 0 && { problem: problems.join('; ') }) };
}

/**
 * The deadline from the time to live alone. One that would lie after the next automatic start counts from that start, as if
 * the workspace had been started then. Source: spec/04 §6, steps 1–3.
 */
export function ttlDeadline(
  input: Pick<DeadlineInput, 'ttlMs' | 'defaultTtlMs' | 'allowUserAutostop' | 'autostart' | 'ownerIsActive'>,
  now: Date,
): Date | null {
  const ttlMs = ttlInForce(input.ttlMs, input);
  if (ttlMs <= 0) return null;
  const deadline = new Date(now.getTime() + ttlMs);
  const start = input.ownerIsActive ? nextStartAt(input.autostart, now) : null;
  return start !== null && deadline > start ? new Date(start.getTime() + ttlMs) : deadline;
}

export interface StopRequirement {
  readonly daysOfWeek: number;
  /** Every how many weeks; 0 means 1. */
  readonly weeks: number;
  readonly quietHours: QuietHours;
}

/** Weeks are counted from Monday 2023-01-02. */
const firstMonday = Date.UTC(2023, 0, 2) / (24 * hourMs);
const isWeekOf = (date: number, weeks: number): boolean =>
  weeks <= 1 || Math.floor((date - firstMonday) / 7) % weeks === 0;

/**
 * When the template demands a stop: at the quiet hours of the first required day that are at least the leeway away; null = no
 * day is required, or none was found. Source: spec/04 §6.1.
 */
export function requiredStop({ daysOfWeek, weeks, quietHours }: StopRequirement, now: Date): Date | null {
  if ((daysOfWeek & everyDay) === 0) return null;
  const clock = wallClockOf(quietHours.timezone);
  const earliest = now.getTime() + requiredStopLeewayMs;
  const timeOfDay = (quietHours.hour * 60 + quietHours.minute) * 60_000;
  const today = localDateOf(clock, now.getTime());
  const searchedDays = 7 * Math.max(weeks, 1) + 14;
  // Yesterday too: a jump of the clock may move its time across midnight.
  for (let date = today - 1; date <= today + searchedDays; date += 1) {
    if (!hasDay(daysOfWeek, weekdayOf(date)) || !isWeekOf(date, weeks)) continue;
    const stop = instantsOfDate(clock, date)(timeOfDay);
    if (stop >= earliest) return new Date(stop);
  }
  return null;
}

/** A build that runs, as a change of its template's requirement finds it. */
export interface RunningBuild {
  readonly deadline: Date | null;
  readonly maxDeadline: Date | null;
  /** When its start was over. */
  readonly completedAt: Date;
}

/**
 * Deadlines of a running build after its template's requirement has changed to what `input` says; null = they stay. Nobody is
 * stopped within the leeway by the change itself, and a stop that is due within it stays. Source: spec/04 §7.
 */
export function movedDeadlines(input: DeadlineInput, build: RunningBuild, now: Date): Deadlines | null {
  const { autostopRequirementDaysOfWeek: daysOfWeek, autostopRequirementWeeks: weeks, quietHours } = input;
  if (daysOfWeek === 0) return build.maxDeadline === null ? null : freedDeadlines(input, build);
  const soonest = new Date(now.getTime() + requiredStopLeewayMs);
  if (build.maxDeadline !== null && build.maxDeadline < soonest) return null;
  const stop = requiredStop({ daysOfWeek, weeks, quietHours }, build.completedAt);
  if (stop === null) return { ...freedDeadlines(input, build), problem: noDayFound };
  const maxDeadline = stop < soonest ? soonest : stop;
  const deadline = build.deadline === null || build.deadline > maxDeadline ? maxDeadline : build.deadline;
  return { deadline, maxDeadline };
}

/**
 * No stop is required any more. A deadline that was only the required stop follows from the time to live again, but does not
 * come earlier: activity may have moved it there.
 */
function freedDeadlines(input: DeadlineInput, { deadline, maxDeadline, completedAt }: RunningBuild): Deadlines {
  if (deadline === null || maxDeadline === null || deadline < maxDeadline) return { deadline, maxDeadline: null };
  const own = ttlDeadline(input, completedAt);
  return { deadline: own !== null && own < deadline ? deadline : own, maxDeadline: null };
}
