import { displayTime, knownSchedule } from '../domain/autostart.ts';
import { relativeTime } from '../domain/notifications.ts';

/** The time zone in which the person at this machine lives. */
export const machineZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** `Mon 18 May 09:00 (in 3 days)` by the clock of that zone; the year only when it is not this one. */
export function whenText(instant: string, now: Date, timeZone: string = machineZone()): string {
  const at = new Date(instant);
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const partsOf = (date: Date) =>
    Object.fromEntries(format.formatToParts(date).map(({ type, value }) => [type, value]));
  const { weekday, day, month, year, hour, minute } = partsOf(at);
  const date = [weekday, day, month, ...(year === partsOf(now)['year'] ? [] : [year])].join(' ');
  return `${date} ${hour}:${minute} (${relativeTime(at.getTime() - now.getTime())})`;
}

const dayNames = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** A stored schedule for people: `9:30AM Mon-Fri (Europe/Berlin)`; what cannot be read is shown as it is. */
export function scheduleText(text: string): string {
  const schedule = knownSchedule(text);
  if (schedule === null) return text;
  const days = schedule.text.split(' ').at(-1)!;
  // Steps count days, so their number is no day.
  const named = /[*?/]/.test(days) ? days : days.replaceAll(/\d/g, (digit) => dayNames[Number(digit)] ?? digit);
  return `${displayTime(schedule)} ${named === '*' || named === '?' ? 'daily' : named} (${schedule.timezone})`;
}
