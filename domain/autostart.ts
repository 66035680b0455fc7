import { type CronField, dayNames, parseCronField } from './cron-fields.ts';
import { DomainError, invalidField } from './errors.ts';
import { PREBUILDS_SYSTEM_USER_ID } from './ids.ts';
import { isTimezone } from './timezones.ts';
import { instantsOfDate, localDateOf, wallClockOf, weekdayOf } from './wall-clock.ts';
import { everyDay, hasDay } from './weekdays.ts';

/** Times of day on days of the week, in a time zone. Source: spec/04 §3. */
export interface AutostartSchedule {
  readonly timezone: string;
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** 0 = Sunday. */
  readonly daysOfWeek: ReadonlySet<number>;
  /** As it is stored: `CRON_TZ=<zone> <minute> <hour> * * <days of week>`. */
  readonly text: string;
}

const minuteField: CronField = { name: 'minute', from: 0, to: 59 };
const hourField: CronField = { name: 'hour', from: 0, to: 23 };
const dayField: CronField = { name: 'day of week', from: 0, to: 6, names: dayNames };
const maxBytes = 256;
const zonePrefix = 'CRON_TZ=';

/** Reads `[CRON_TZ=<IANA zone> ]<minute> <hour> * * <days of week>`. Throws INVALID_INPUT for `schedule`. Source: spec/04 §3.1. */
export function parseAutostartSchedule(text: string): AutostartSchedule {
  const wrong = (detail: string) => invalidField('schedule', detail);
  if (Buffer.byteLength(text) > maxBytes) throw wrong(`must have at most ${maxBytes} bytes`);
  const words = text.trim().split(/\s+/);
  const timezone = words[0]!.startsWith(zonePrefix) ? words.shift()!.slice(zonePrefix.length) : 'UTC';
  const [minute = '', hour = '', dayOfMonth, month, daysOfWeek = ''] = words;
  if (words.length !== 5 || minute.startsWith('TZ='))
    throw wrong(
      'must be like "CRON_TZ=Europe/Berlin 30 9 * * 1-5": a time zone, minute, hour, *, * and days of the week',
    );
  // Offsets are no zones, though some versions of Node take them for such.
  if (!/^[A-Za-z]/.test(timezone) || !isTimezone(timezone)) throw wrong(`"${timezone}" is not a known time zone`);
  if (dayOfMonth !== '*' || month !== '*') throw wrong('day of month and month must be *');
  const valuesOf = (field: CronField, given: string): Set<number> => {
    const values = parseCronField(given.replaceAll('?', '*'), field);
    if (values === null)
      throw wrong(
        `"${given}" is not a valid ${field.name}: use numbers from ${field.from} to ${field.to}, *, a-b, a,b, */n`,
      );
    return values;
  };
  const sorted = (values: Set<number>) => [...values].toSorted((a, b) => a - b);
  return {
    timezone,
    minutes: sorted(valuesOf(minuteField, minute)),
    hours: sorted(valuesOf(hourField, hour)),
    daysOfWeek: valuesOf(dayField, daysOfWeek),
    text: `${zonePrefix}${timezone} ${words.join(' ')}`,
  };
}

/** Schedules by their text, kept: thousands of workspaces are asked for with few different ones. */
const known = new Map<string, AutostartSchedule | null>();
const maxKnown = 2_000;

/** A stored schedule; null = it cannot be read. */
export function knownSchedule(text: string): AutostartSchedule | null {
  const found = known.get(text);
  if (found !== undefined) return found;
  // Texts come from users: without a bound the process would grow with them.
  if (known.size >= maxKnown) known.clear();
  const schedule = readSchedule(text);
  known.set(text, schedule);
  return schedule;
}

function readSchedule(text: string): AutostartSchedule | null {
  try {
    return parseAutostartSchedule(text);
  } catch (err) {
    if (err instanceof DomainError) return null;
    throw err;
  }
}

/** A schedule repeats after a week; one day more for a date that a zone leaves out. */
const horizonDays = 8;
const minuteMs = 60_000;

/**
 * The first instant strictly after this one; null = none. Only days of the bitmap count. Local dates are stepped, never
 * 24 hours; the weekday is that of the date in the schedule's zone. Source: spec/04 §3.2.
 */
export function nextOccurrence(
  schedule: Omit<AutostartSchedule, 'text'>,
  after: Date,
  allowedDays: number = everyDay,
): Date | null {
  const clock = wallClockOf(schedule.timezone);
  const today = localDateOf(clock, after.getTime());
  let next = Infinity;
  // From yesterday, and to the day after the first that has one: a jump of the clock may move a time across midnight.
  for (let date = today - 1, last = today + horizonDays; date <= last; date += 1) {
    const weekday = weekdayOf(date);
    if (!schedule.daysOfWeek.has(weekday) || !hasDay(allowedDays, weekday)) continue;
    const instantOf = instantsOfDate(clock, date);
    for (const hour of schedule.hours)
      for (const minute of schedule.minutes) {
        const instant = instantOf((hour * 60 + minute) * minuteMs);
        if (instant > after.getTime() && instant < next) next = instant;
      }
    if (next !== Infinity) last = Math.min(last, date + 1);
  }
  return next === Infinity ? null : new Date(next);
}

/** `2:30AM` where the schedule has one time of day, else its fields. Source: spec/04 §3.1. */
export function displayTime(schedule: AutostartSchedule): string {
  const [, minute = '', hour = ''] = schedule.text.split(' ');
  if (!/^\d+$/.test(minute) || !/^\d+$/.test(hour)) return `cron(${minute} ${hour})`;
  const [h, m] = [Number(hour), Number(minute)];
  return `${h % 12 === 0 ? 12 : h % 12}:${String(m).padStart(2, '0')}${h < 12 ? 'AM' : 'PM'}`;
}

/** What decides whether a workspace starts by itself, of the workspace and its template. */
export interface AutostartInput {
  readonly autostartSchedule: string | null;
  readonly allowUserAutostart: boolean;
  readonly autostartBlockDaysOfWeek: number;
  readonly dormantAt: Date | null;
  readonly deleted: boolean;
  readonly ownerId: string;
}

/** `next_start_at` as it is defined: null = the workspace never starts by itself. Source: spec/04 §4.3. */
export function nextStartAt(input: AutostartInput, base: Date): Date | null {
  const { autostartSchedule: text, dormantAt, deleted, ownerId } = input;
  if (text === null || text === '' || !input.allowUserAutostart) return null;
  if (dormantAt !== null || deleted || ownerId === PREBUILDS_SYSTEM_USER_ID) return null;
  const schedule = knownSchedule(text);
  return schedule === null ? null : nextOccurrence(schedule, base, everyDay & ~input.autostartBlockDaysOfWeek);
}

/**
 * Whether the template allows an automatic start at this instant: the weekday is that of the schedule's zone. A time that a jump
 * of the clock moved across midnight still counts for its own date.
 */
export function isOnAllowedDay(input: AutostartInput, instant: Date): boolean {
  const schedule = knownSchedule(input.autostartSchedule ?? '');
  if (schedule === null) return false;
  const allowed = everyDay & ~input.autostartBlockDaysOfWeek;
  if (hasDay(allowed, weekdayOf(localDateOf(wallClockOf(schedule.timezone), instant.getTime())))) return true;
  return nextOccurrence(schedule, new Date(instant.getTime() - 1), allowed)?.getTime() === instant.getTime();
}
