/**
 * Clocks of time zones. A wall time is what a clock shows, in milliseconds as if that were UTC; a local date is a count of days
 * since 1970-01-01. Depends on Node's time-zone data, so never used in workflow code.
 */
export type WallClock = (instant: number) => number;

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** To make a format takes forty times as long as to use it, and text is read faster than parts. */
const clocks = new Map<string, WallClock>();
const maxClocks = 100;

export function wallClockOf(timezone: string): WallClock {
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

export const localDateOf = (clock: WallClock, instant: number): number => Math.floor(clock(instant) / dayMs);

/** Day of the week of a local date, 0 = Sunday. */
export const weekdayOf = (date: number): number => (((date + 4) % 7) + 7) % 7;

/** First instant with another offset than `low` has, where `high` is known to have another one. */
function jumpBetween(clock: WallClock, low: number, high: number): number {
  const before = clock(low) - low;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (clock(middle) - middle === before) low = middle;
    else high = middle;
  }
  return high;
}

/** How far clocks are from UTC at most, with room. */
const widestOffsetMs = 16 * hourMs;

/** Of each clock the dates that were asked for: workspaces that share a zone ask for the same few, and formats are slow. */
const dates = new WeakMap<WallClock, Map<number, InstantOf>>();
const maxDates = 500;
type InstantOf = (timeOfDay: number) => number;

/**
 * Instants of the times of a local date, given in milliseconds after its midnight. A time that the clock jumps over is later by
 * the length of the jump, one that it shows twice is the earlier one. Supposes that no zone changes twice within three days.
 * Source: spec/04 §3.2.
 */
export function instantsOfDate(clock: WallClock, date: number): InstantOf {
  const known = dates.get(clock) ?? new Map<number, InstantOf>();
  dates.set(clock, known);
  const found = known.get(date);
  if (found !== undefined) return found;
  if (known.size >= maxDates) known.clear();
  const made = readDate(clock, date);
  known.set(date, made);
  return made;
}

function readDate(clock: WallClock, date: number): InstantOf {
  const midnight = date * dayMs;
  const from = midnight - widestOffsetMs;
  const to = midnight + dayMs + widestOffsetMs;
  const before = clock(from) - from;
  if (clock(to) - to === before) return (timeOfDay) => midnight + timeOfDay - before;
  const jump = jumpBetween(clock, from, to);
  const after = clock(jump) - jump;
  return (timeOfDay) => {
    const early = midnight + timeOfDay - before;
    const late = midnight + timeOfDay - after;
    // Before the jump; or within its gap, where no clock shows the label and the old offset gives the shifted instant.
    return early < jump || late < jump ? early : late;
  };
}

/** Cuts the time to be searched where the clock jumps, and at the midnights of UTC: no zone changes twice within a day. */
export function* clockSpans(clock: WallClock, from: number, to: number) {
  let offset = clock(from) - from;
  for (let start = from; start < to;) {
    let end = Math.min(start - (start % dayMs) + dayMs, to);
    let next = clock(end) - end;
    if (next !== offset) {
      end = jumpBetween(clock, start, end);
      next = clock(end) - end;
    }
    yield { start, end, offset };
    start = end;
    offset = next;
  }
}
