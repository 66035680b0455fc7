import { type CronField, dayNames, parseCronField } from './cron-fields.ts';
import { isTimezone } from './timezones.ts';
import { clockSpans, dayMs, hourMs, wallClockOf } from './wall-clock.ts';

/**
 * Schedules of pools: a cron expression `* HOUR DOM MONTH DOW` names a continuous range of wall-clock time in the preset's zone,
 * not instants. All that is looked at are the local calendar fields of an instant. Source: spec/03 §4.
 */
export interface PrebuildSchedule {
  readonly hours: ReadonlySet<number>;
  readonly daysOfMonth: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly daysOfWeek: ReadonlySet<number>;
  /** Both fields are restricted: then either one suffices (classic cron). */
  readonly eitherDay: boolean;
}

export interface ScheduledPool {
  readonly desiredInstances: number;
  /** IANA name; empty = no schedules. */
  readonly timezone: string;
  /** In the order of their declaration. */
  readonly schedules: readonly { readonly cronExpression: string; readonly desiredInstances: number }[];
}

const monthNames = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const fields: readonly CronField[] = [
  { name: 'hour', from: 0, to: 23 },
  { name: 'day of month', from: 1, to: 31 },
  { name: 'month', from: 1, to: 12, names: monthNames },
  // Day 7 is only another word for Sunday: `*` ends before it.
  { name: 'day of week', from: 0, to: 7, last: 6, names: dayNames },
];

export type ParsedSchedule =
  | { readonly schedule: PrebuildSchedule; readonly problem?: undefined }
  | { readonly schedule?: undefined; readonly problem: string };

/** Reads an expression; `problem` is a sentence for the template's author. */
export function parsePrebuildSchedule(expression: string): ParsedSchedule {
  const words = expression.trim().split(/\s+/);
  if (words.length !== 5 || words[0] !== '*')
    return { problem: `the schedule "${expression}" must have five fields, the first of them "*"` };
  const sets: Set<number>[] = [];
  for (const [place, field] of fields.entries()) {
    const values = parseCronField(words[place + 1]!, field);
    if (values === null)
      return {
        problem: `the schedule "${expression}" has no valid ${field.name}: "${words[place + 1]}" (${field.from}–${field.to})`,
      };
    sets.push(values);
  }
  const [hours, daysOfMonth, months, daysOfWeek] = sets as [Set<number>, Set<number>, Set<number>, Set<number>];
  // Sunday has two numbers.
  if (daysOfWeek.delete(7)) daysOfWeek.add(0);
  return {
    schedule: { hours, daysOfMonth, months, daysOfWeek, eitherDay: isRestricted(words[2]!) && isRestricted(words[4]!) },
  };
}

/** A list with `*` among its parts is no restriction, nor are steps of one. */
const isRestricted = (field: string): boolean => !field.split(',').some((part) => part === '*' || part === '*/1');

interface LocalTime {
  readonly month: number;
  readonly day: number;
  readonly weekday: number;
  readonly hour: number;
}

const isOnDay = (schedule: PrebuildSchedule, { month, day, weekday }: Omit<LocalTime, 'hour'>): boolean => {
  if (!schedule.months.has(month)) return false;
  const [byMonth, byWeek] = [schedule.daysOfMonth.has(day), schedule.daysOfWeek.has(weekday)];
  return schedule.eitherDay ? byMonth || byWeek : byMonth && byWeek;
};

/** Whether two schedules can ever name the same moment. Every combination of date and weekday occurs within 28 years. */
export function schedulesOverlap(a: PrebuildSchedule, b: PrebuildSchedule): boolean {
  if (![...a.hours].some((hour) => b.hours.has(hour))) return false;
  for (let month = 1; month <= 12; month += 1)
    for (let day = 1; day <= longestMonth(month); day += 1)
      for (let weekday = 0; weekday < 7; weekday += 1)
        if (isOnDay(a, { month, day, weekday }) && isOnDay(b, { month, day, weekday })) return true;
  return false;
}

const longestMonth = (month: number): number => (month === 2 ? 29 : [4, 6, 9, 11].includes(month) ? 30 : 31);

/** What is wrong with the schedules of a preset, as sentences for the template's author. */
export function scheduleProblems(timezone: string, expressions: readonly string[]): string[] {
  if (expressions.length === 0) return ['a scheduling block needs at least one schedule'];
  if (timezone === '') return ['a scheduling block needs a time zone'];
  if (!isTimezone(timezone)) return [`"${timezone}" is not a time zone of the IANA database`];
  const parsed = expressions.map(parsePrebuildSchedule);
  const problems = parsed.flatMap(({ problem }) => (problem === undefined ? [] : [problem]));
  if (problems.length > 0) return problems;
  for (const [place, { schedule }] of parsed.entries())
    for (let other = place + 1; other < parsed.length; other += 1)
      if (schedulesOverlap(schedule!, parsed[other]!.schedule!))
        problems.push(`the schedules "${expressions[place]}" and "${expressions[other]}" overlap`);
  return problems;
}

/** A pool's schedules made ready for many questions. */
export interface DesiredSize {
  at(instant: Date): number;
  /** The earliest instant after this one at which the size changes, at most 366 days ahead; null = none. */
  nextBoundary(after: Date): Date | null;
  /** Why the schedules are not used; undefined = they are, or there are none. */
  readonly problem: string | undefined;
}

const longestSearchMs = 366 * dayMs;

/** How many prebuilds a pool wants, by its schedules. Schedules that make no sense are not used, and `problem` says so. */
export function desiredSize(pool: ScheduledPool): DesiredSize {
  const fallback = Math.max(0, pool.desiredInstances);
  if (pool.schedules.length === 0) return { at: () => fallback, nextBoundary: () => null, problem: undefined };
  const expressions = pool.schedules.map(({ cronExpression }) => cronExpression);
  const { parsed, problem } = readSchedules(pool.timezone, expressions);
  if (problem !== undefined) return { at: () => fallback, nextBoundary: () => null, problem };
  const schedules = pool.schedules.map(({ desiredInstances }, place) => ({
    schedule: parsed[place]!,
    desired: Math.max(0, desiredInstances),
  }));
  const wallClock = wallClockOf(pool.timezone);
  const at = (instant: Date): number => {
    const local = localTime(wallClock(instant.getTime()));
    return (
      schedules.find(({ schedule }) => schedule.hours.has(local.hour) && isOnDay(schedule, local))?.desired ?? fallback
    );
  };
  return {
    at,
    problem: undefined,
    nextBoundary(after) {
      const now = at(after);
      for (const { start, end, offset } of clockSpans(wallClock, after.getTime(), after.getTime() + longestSearchMs)) {
        const [from, to] = [start + offset, end + offset];
        for (let day = from - (from % dayMs); day < to; day += dayMs) {
          const today = schedules.filter(({ schedule }) => isOnDay(schedule, localTime(day)));
          for (let hour = 0; hour < 24; hour += 1) {
            // A span may begin within an hour: at `after`, or where the clock jumped to.
            const begin = Math.max(day + hour * hourMs, from);
            if (day + (hour + 1) * hourMs <= from || begin >= to) continue;
            const desired = today.find(({ schedule }) => schedule.hours.has(hour))?.desired ?? fallback;
            if (desired !== now) return new Date(begin - offset);
          }
        }
      }
      return null;
    },
  };
}

/** Schedules with their problem if they have one, kept: thousands of presets are asked for with few different ones. */
const known = new Map<string, { readonly parsed: readonly PrebuildSchedule[]; readonly problem: string | undefined }>();
const maxKnown = 500;

function readSchedules(timezone: string, expressions: readonly string[]) {
  const key = [timezone, ...expressions].join('\n');
  let found = known.get(key);
  if (found === undefined) {
    const [problem] = scheduleProblems(timezone, expressions);
    const parsed = expressions.map((expression) => parsePrebuildSchedule(expression).schedule);
    found = { problem, parsed: parsed.filter((schedule) => schedule !== undefined) };
    // Names and expressions come from templates: without a bound the process would grow with them.
    if (known.size >= maxKnown) known.clear();
    known.set(key, found);
  }
  return found;
}

/** The size a pool wants at an instant. */
export function desiredAt(pool: ScheduledPool, instant: Date): { desired: number; problem?: string } {
  const size = desiredSize(pool);
  return { desired: size.at(instant), ...(size.problem !== undefined && { problem: size.problem }) };
}

function localTime(wall: number): LocalTime {
  const date = new Date(wall);
  return {
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    weekday: date.getUTCDay(),
    hour: date.getUTCHours(),
  };
}
