import { describe, expect, test } from 'vitest';
import { parseAutostartSchedule } from '../../domain/autostart.ts';

describe('an autostart schedule', () => {
  test.each([
    ['CRON_TZ=Europe/Berlin 30 9 * * 1-5', ['Europe/Berlin', 30, 9, '1-5']],
    ['TZ=UTC 0 0 * * *', ['UTC', 0, 0, '*']],
    ['5 23 * * MON,WED', ['UTC', 5, 23, 'MON,WED']],
    ['  0 7 * * 0,6  ', ['UTC', 0, 7, '0,6']],
    ['CRON_TZ=Asia/Kathmandu 59 23 * * sun', ['Asia/Kathmandu', 59, 23, 'sun']],
  ])('reads %s', (text, [timezone, minute, hour, daysOfWeek]) => {
    expect(parseAutostartSchedule(text)).toEqual({ timezone, minute, hour, daysOfWeek });
  });

  test.each([
    '',
    '30 9',
    '30 9 * *',
    '30 9 * * 1-5 2030',
    '60 9 * * *',
    '0 24 * * *',
    '*/5 9 * * *',
    '0,30 9 * * *',
    '0 9-17 * * *',
    '0 9 1 * *',
    '0 9 * 6 *',
    '0 9 * * 8',
    '0 9 * * someday',
    'CRON_TZ=Mars/Base 0 9 * * *',
    'CRON_TZ= 0 9 * * *',
    '@daily',
    '-1 9 * * *',
  ])('refuses %j by its field', (text) => {
    expect(() => parseAutostartSchedule(text)).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', validations: [expect.objectContaining({ field: 'schedule' })] }),
    );
  });
});
