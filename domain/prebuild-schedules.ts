import { isTimezone } from './timezones.ts';

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
const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const fields = [
  { name: 'hour', from: 0, to: 23, names: [] as string[] },
  { name: 'day of month', from: 1, to: 31, names: [] as string[] },
  { name: 'month', from: 1, to: 12, names: monthNames },
  { name: 'day of week', from: 0, to: 7, names: dayNames },
] as const;

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
    const values = parseField(words[place + 1]!.toLowerCase(), field);
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

/** `*`, numbers or names, ranges, steps, lists of these; null = not valid. */
function parseField(text: string, field: (typeof fields)[number]): Set<number> | null {
  const values = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(\*|[a-z\d]+)(?:-([a-z\d]+))?(?:\/(\d+))?$/.exec(part);
    if (match === null || (match[1] === '*' && match[2] !== undefined)) return null;
    const step = match[3] === undefined ? 1 : Number(match[3]);
    const first = match[1] === '*' ? field.from : numberOf(match[1]!, field);
    const open = match[1] === '*' || match[3] !== undefined;
    // Day 7 is only another word for Sunday: `*` ends before it.
    const end = field.names === dayNames ? 6 : field.to;
    const last = match[2] !== undefined ? numberOf(match[2], field) : open ? end : first;
    if (first === null || last === null || first > last || step < 1) return null;
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}

function numberOf(text: string, field: (typeof fields)[number]): number | null {
  const named = (field.names as readonly string[]).indexOf(text);
  const value = named >= 0 ? named + (field.names === monthNames ? 1 : 0) : /^\d{1,2}$/.test(text) ? Number(text) : NaN;
  return value >= field.from && value <= field.to ? value : null;
}

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

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
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
      for (const { start, end, offset } of clockSpans(wallClock, after.getTime())) {
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

/** What a clock shows, in milliseconds as if that were UTC. */
type WallClock = (instant: number) => number;

/** To make a format takes forty times as long as to use it, and text is read faster than parts. */
const clocks = new Map<string, WallClock>();
const maxClocks = 100;

function wallClockOf(timezone: string): WallClock {
  const made = clocks.get(timezone);
  if (made !== undefined) return made;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const clock = (instant: number): number => {
    const numbers = format.format(instant).split(/\D+/).map(Number);
    const [month = 0, day = 0, year = 0, hour = 0, minute = 0, second = 0] = numbers;
    return Date.UTC(year, month - 1, day, hour, minute, second) + (instant - Math.floor(instant / 1000) * 1000);
  };
  if (clocks.size >= maxClocks) clocks.clear();
  clocks.set(timezone, clock);
  return clock;
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

/** Cuts the time to be searched where the clock jumps, and at the midnights of UTC: no zone changes twice within a day. */
function* clockSpans(wallClock: WallClock, from: number) {
  const offsetAt = (instant: number): number => wallClock(instant) - instant;
  const last = from + longestSearchMs;
  let offset = offsetAt(from);
  for (let start = from; start < last;) {
    let end = Math.min(start - (start % dayMs) + dayMs, last);
    let next = offsetAt(end);
    if (next !== offset) {
      // The new offset begins in (low, end].
      for (let low = start; end - low > 1;) {
        const middle = Math.floor((low + end) / 2);
        if (offsetAt(middle) === offset) low = middle;
        else end = middle;
      }
      next = offsetAt(end);
    }
    yield { start, end, offset };
    start = end;
    offset = next;
  }
}
