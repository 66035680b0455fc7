import { Cron } from 'croner';
import { invalidField } from './errors.ts';

export interface AutostartSchedule {
  readonly timezone: string;
  readonly minute: number;
  readonly hour: number;
  /** Day-of-week field as written. */
  readonly daysOfWeek: string;
}

const pattern = /^(?:(?:CRON_TZ|TZ)=(\S+) +)?(\S+) +(\S+) +(\S+) +(\S+) +(\S+)$/;

/**
 * Reads `CRON_TZ=<IANA zone> <min> <hour> * * <dow>`: minute and hour are single values, zone defaults to UTC. Throws
 * INVALID_INPUT for field `schedule`. Source: spec/06 §8.1, spec/04 §3.
 */
export function parseAutostartSchedule(text: string): AutostartSchedule {
  const match = pattern.exec(text.trim());
  if (match === null) throw invalidField('schedule', 'must be "CRON_TZ=<zone> <minute> <hour> * * <days of week>"');
  const [, timezone = 'UTC', minute = '', hour = '', dayOfMonth, month, daysOfWeek = ''] = match;
  if (dayOfMonth !== '*' || month !== '*') throw invalidField('schedule', 'day of month and month must be *');
  if (!/^\d{1,2}$/.test(minute) || Number(minute) > 59)
    throw invalidField('schedule', 'minute must be a number from 0 to 59');
  if (!/^\d{1,2}$/.test(hour) || Number(hour) > 23)
    throw invalidField('schedule', 'hour must be a number from 0 to 23');
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
  } catch {
    throw invalidField('schedule', `unknown time zone ${timezone}`);
  }
  try {
    new Cron(`${minute} ${hour} * * ${daysOfWeek}`, { timezone, paused: true });
  } catch {
    throw invalidField('schedule', `days of week "${daysOfWeek}" are not valid`);
  }
  return { timezone, minute: Number(minute), hour: Number(hour), daysOfWeek };
}
