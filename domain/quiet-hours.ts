import { displayTime, knownSchedule, nextOccurrence, parseAutostartSchedule } from './autostart.ts';
import type { AutostartSchedule } from './autostart.ts';
import { invalidField } from './errors.ts';

/** A user's quiet hours: one start per day. Source: spec/04 §3.1, §6.2. */
export interface QuietHours {
  readonly timezone: string;
  readonly hour: number;
  readonly minute: number;
}

/** Where nobody has set others: default of CODER_QUIET_HOURS_DEFAULT_SCHEDULE. */
export const defaultQuietHours = 'CRON_TZ=UTC 0 0 * * *';

/** Throws INVALID_INPUT (field `schedule`) for anything but a daily cron in an IANA time zone. */
export function parseQuietHours(schedule: string): QuietHours {
  const hours = dailyHours(parseAutostartSchedule(schedule));
  if (hours === null) throw invalidField('schedule', 'must be like "CRON_TZ=Europe/Berlin 30 23 * * *", once a day');
  return hours;
}

/** null = not once on each day: every day must be meant, not listed, and the time be a single one. */
function dailyHours(schedule: AutostartSchedule): QuietHours | null {
  const { timezone, text } = schedule;
  const [hour, minute] = [schedule.hours[0]!, schedule.minutes[0]!];
  const [, minuteText = '', hourText = '', , , days = ''] = text.split(' ');
  const single = /^\d+$/.test(minuteText) && /^\d+$/.test(hourText);
  return single && /^[*?]$/.test(days) ? { timezone, hour, minute } : null;
}

/** How quiet hours are stored. */
export const quietHoursText = ({ timezone, hour, minute }: QuietHours): string =>
  `CRON_TZ=${timezone} ${minute} ${hour} * * *`;

/** Their time of day for people: `2:30AM`. */
export const quietHoursTime = (hours: QuietHours): string => displayTime(parseAutostartSchedule(quietHoursText(hours)));

const allDays: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5, 6]);

/** The next start strictly after `now`; a time that a clock change skips is later by as much. */
export function nextQuietHours({ timezone, hour, minute }: QuietHours, now: Date): Date {
  const daily = { timezone, hours: [hour], minutes: [minute], daysOfWeek: allDays };
  // A daily schedule always has a next start.
  return nextOccurrence(daily, now) ?? now;
}

/** What a deployment says of quiet hours. */
export interface QuietHoursSettings {
  readonly defaultSchedule: string;
  readonly allowCustom: boolean;
}

/** The quiet hours that count for a user: his own where he may have some, else the deployment's. */
export function effectiveQuietHours(settings: QuietHoursSettings & { readonly userSchedule: string }): QuietHours {
  const own = settings.allowCustom && settings.userSchedule !== '' ? knownSchedule(settings.userSchedule) : null;
  const hours = own === null ? null : dailyHours(own);
  return hours ?? parseQuietHours(settings.defaultSchedule);
}
