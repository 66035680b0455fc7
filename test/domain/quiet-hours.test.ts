import { describe, expect, test } from 'vitest';
import {
  defaultQuietHours,
  effectiveQuietHours,
  nextQuietHours,
  parseQuietHours,
  quietHoursText,
  quietHoursTime,
} from '../../domain/quiet-hours.ts';

const berlin = { timezone: 'Europe/Berlin', hour: 2, minute: 30 };

describe('quiet hours', () => {
  test.each([
    '0,30 2 * * *',
    '*/5 2 * * *',
    '0 * * * *',
    '0 2-3 * * *',
    '0 2 * * 1',
    '0 2 * * 0-6',
    '0 2 1 * *',
    'TZ=UTC 0 2 * * *',
    'CRON_TZ=Local 0 2 * * *',
    '@daily',
    '0 24 * * *',
    '',
  ])('are once a day, so not %j', (text) => {
    expect(() => parseQuietHours(text)).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', validations: [expect.objectContaining({ field: 'schedule' })] }),
    );
  });

  test('are stored in one form, and shown on a clock of twelve hours', () => {
    const read = parseQuietHours('  CRON_TZ=Europe/Berlin   30  02 * * ? ');
    expect(read).toEqual(berlin);
    expect(quietHoursText(read)).toBe('CRON_TZ=Europe/Berlin 30 2 * * *');
    expect(quietHoursTime(read)).toBe('2:30AM');
    expect(quietHoursTime(parseQuietHours(defaultQuietHours))).toBe('12:00AM');
  });

  test.each([
    ['2026-03-28T12:00Z', '2026-03-29T01:30Z'],
    ['2026-03-29T01:30Z', '2026-03-30T00:30Z'],
    ['2026-10-24T12:00Z', '2026-10-25T00:30Z'],
    ['2026-10-25T00:30Z', '2026-10-26T01:30Z'],
  ])('after %s begin at %s', (now, next) => {
    expect(nextQuietHours(berlin, new Date(now))).toEqual(new Date(next));
  });

  test('are those of the user where he may have his own', () => {
    const own = { userSchedule: quietHoursText(berlin), defaultSchedule: defaultQuietHours, allowCustom: true };
    const utc = { timezone: 'UTC', hour: 0, minute: 0 };
    expect(effectiveQuietHours(own)).toEqual(berlin);
    expect(effectiveQuietHours({ ...own, allowCustom: false })).toEqual(utc);
    expect(effectiveQuietHours({ ...own, userSchedule: '' })).toEqual(utc);
    // What cannot be read, or is not daily, must not keep a workspace running for ever.
    expect(effectiveQuietHours({ ...own, userSchedule: 'nonsense' })).toEqual(utc);
    expect(effectiveQuietHours({ ...own, userSchedule: '0 2 * * 1' })).toEqual(utc);
  });
});
