import { Cron } from 'croner';
import { invalidField } from './errors.ts';
import { isTimezone } from './timezones.ts';

/** A user's quiet hours: one start per day. Source: spec/06 §3, spec/01 §1.2. */
export interface QuietHours {
  readonly timezone: string;
  readonly hour: number;
  readonly minute: number;
}

export const defaultQuietHours = 'CRON_TZ=UTC 0 0 * * *';
const pattern = /^(?:CRON_TZ=(\S+)\s+)?(\d{1,2})\s+(\d{1,2})\s+\*\s+\*\s+\*$/;

/** Throws INVALID_INPUT (field `schedule`) for anything but a daily cron in an IANA time zone. */
export function parseQuietHours(schedule: string): QuietHours {
  const match = pattern.exec(schedule.trim());
  if (match === null) throw invalidField('schedule', 'must be like "CRON_TZ=Europe/Berlin 30 23 * * *", once a day');
  const [, timezone = 'UTC', minute = '', hour = ''] = match;
  if (!isTimezone(timezone)) throw invalidField('schedule', `"${timezone}" is not a known time zone`);
  if (Number(minute) > 59 || Number(hour) > 23) throw invalidField('schedule', 'the time of day is out of range');
  return { timezone, hour: Number(hour), minute: Number(minute) };
}

/** The next start after `now`; in the hour that a clock change skips it is an hour later. */
export function nextQuietHours(hours: QuietHours, now: Date): Date {
  const next = new Cron(`${hours.minute} ${hours.hour} * * *`, { timezone: hours.timezone, paused: true }).nextRun(now);
  // A daily schedule always has a next run.
  return next ?? now;
}
