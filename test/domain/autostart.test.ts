import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AutostartInput,
  displayTime,
  isOnAllowedDay,
  knownSchedule,
  nextOccurrence,
  nextStartAt,
  parseAutostartSchedule,
} from '../../domain/autostart.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { everyDay } from '../../domain/weekdays.ts';

const at = (text: string) => new Date(text);
/** Occurrences after an instant, as text. */
function following(schedule: string, after: string, count: number): string[] {
  const parsed = parseAutostartSchedule(schedule);
  const found: Date[] = [];
  while (found.length < count) found.push(nextOccurrence(parsed, found.at(-1) ?? at(after))!);
  return found.map((each) => each.toISOString().replace(':00.000Z', 'Z'));
}
const sorted = (values: ReadonlySet<number>) => [...values].toSorted((a, b) => a - b);
const monday = 1;

describe('an autostart schedule', () => {
  test.each([
    ['CRON_TZ=Europe/Berlin 30 9 * * 1-5', { timezone: 'Europe/Berlin', minutes: [30], hours: [9] }, [1, 2, 3, 4, 5]],
    ['5 23 * * MON,WED', { timezone: 'UTC', minutes: [5], hours: [23] }, [1, 3]],
    ['0 9 * * mon-FRI', { hours: [9] }, [1, 2, 3, 4, 5]],
    ['CRON_TZ=Asia/Kathmandu 59 23 * * sun', { timezone: 'Asia/Kathmandu', minutes: [59], hours: [23] }, [0]],
    ['*/20 8-18/5 * * ?', { minutes: [0, 20, 40], hours: [8, 13, 18] }, [0, 1, 2, 3, 4, 5, 6]],
    ['0,30,0 ? * * */3', { minutes: [0, 30], hours: Array.from({ length: 24 }, (_, hour) => hour) }, [0, 3, 6]],
    ['50/3 20/2 * * 0-6', { minutes: [50, 53, 56, 59], hours: [20, 22] }, [0, 1, 2, 3, 4, 5, 6]],
  ])('reads %s', (text, expected, days) => {
    const read = parseAutostartSchedule(text);
    expect(read).toMatchObject(expected);
    expect(sorted(read.daysOfWeek)).toEqual(days);
  });

  test('is stored with its zone and single spaces, and read from that as the same', () => {
    expect(parseAutostartSchedule('  0\t7  * *   0,6  ').text).toBe('CRON_TZ=UTC 0 7 * * 0,6');
    const berlin = parseAutostartSchedule('CRON_TZ=Europe/Berlin   30 9 * * MON-FRI');
    expect(berlin.text).toBe('CRON_TZ=Europe/Berlin 30 9 * * MON-FRI');
    expect(parseAutostartSchedule(berlin.text)).toEqual(berlin);
  });

  test.each([
    '',
    ' ',
    '* * *',
    '30 9 * *',
    '30 9 * * 1-5 2030',
    'CRON_TZ=UTC CRON_TZ=UTC 0 9 * * 1',
    '60 9 * * *',
    '0 24 * * *',
    '-1 9 * * *',
    '0 9 1 * *',
    '0 9 ? * *',
    '0 9 */1 * *',
    '0 9 * 6 *',
    '0 9 * JAN *',
    '0 9 * * 7',
    '0 9 * * 8',
    '0 9 * * FRI-MON',
    '0 9 * * monday',
    '0 9 * * someday',
    '0 17-9 * * *',
    '*/0 9 * * *',
    '0 *-5 * * *',
    '0 1? * * *',
    '0, 9 * * *',
    '0 9.5 * * *',
    '+0 9 * * *',
    'CRON_TZ=Mars/X 0 9 * * *',
    'CRON_TZ=Local 0 9 * * *',
    'CRON_TZ=+01:00 0 9 * * *',
    'CRON_TZ= 0 9 * * *',
    'TZ=UTC 0 9 * * 1',
    'TZ=UTC 9 * * 1',
    '@daily',
    '@every 1h',
    `0 9 * * ${'1,'.repeat(130)}1`,
  ])('refuses %j by its field', (text) => {
    expect(() => parseAutostartSchedule(text)).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', validations: [expect.objectContaining({ field: 'schedule' })] }),
    );
  });

  test('is refused beyond 256 bytes only', () => {
    const list = (length: number) => `0 9 * * 1${',1'.repeat((length - 9) / 2)}`;
    expect(list(255)).toHaveLength(255);
    expect(sorted(parseAutostartSchedule(list(255)).daysOfWeek)).toEqual([1]);
    expect(() => parseAutostartSchedule(list(257))).toThrow('256 bytes');
  });

  test('is read or refused, whatever the text', () => {
    const words = fc.constantFrom('*', '0', '9', '1-5', 'MON', '?', '*/5', '59', 'CRON_TZ=Europe/Berlin', 'x', '');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(words, { maxLength: 8 }).map((list) => list.join(' ')),
        ),
        (text) => {
          const schedule = knownSchedule(text);
          if (schedule === null)
            expect(() => parseAutostartSchedule(text)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
          else expect(parseAutostartSchedule(schedule.text)).toEqual(schedule);
        },
      ),
    );
  });

  test.each([
    ['30 2 * * *', '2:30AM'],
    ['5 0 * * 1', '12:05AM'],
    ['00 12 * * *', '12:00PM'],
    ['59 23 * * *', '11:59PM'],
    ['*/30 9 * * *', 'cron(*/30 9)'],
    ['0 9,10 * * *', 'cron(0 9,10)'],
  ])('%s is shown as %s', (text, shown) => {
    expect(displayTime(parseAutostartSchedule(text))).toBe(shown);
  });
});

describe('the next start', () => {
  test.each([
    ['Europe/Berlin 0 9 * * *', '2026-03-28T00:00Z', ['2026-03-28T08:00Z', '2026-03-29T07:00Z', '2026-03-30T07:00Z']],
    ['Europe/Berlin 30 2 * * *', '2026-03-28T12:00Z', ['2026-03-29T01:30Z', '2026-03-30T00:30Z']],
    ['Europe/Berlin 30 2 * * *', '2026-10-24T12:00Z', ['2026-10-25T00:30Z', '2026-10-26T01:30Z']],
    ['Europe/Berlin 0 9 * * *', '2026-10-23T12:00Z', ['2026-10-24T07:00Z', '2026-10-25T08:00Z']],
    ['America/New_York 0 2 * * *', '2026-03-08T00:00-05:00', ['2026-03-08T07:00Z']],
    ['America/New_York 30 2 * * 0', '2026-03-07T12:00Z', ['2026-03-08T07:30Z', '2026-03-15T06:30Z']],
    ['America/New_York 30 1 * * *', '2026-11-01T00:00-04:00', ['2026-11-01T05:30Z', '2026-11-02T06:30Z']],
    ['America/New_York 0 2 * * *', '2026-11-01T00:00-04:00', ['2026-11-01T07:00Z', '2026-11-02T07:00Z']],
    ['America/New_York 0 9 * * 1-5', '2026-10-30T00:00Z', ['2026-10-30T13:00Z', '2026-11-02T14:00Z']],
    ['America/New_York 0 9 * * 1-5', '2026-03-06T00:00Z', ['2026-03-06T14:00Z', '2026-03-09T13:00Z']],
    [
      'America/New_York */30 1 * * *',
      '2026-11-01T04:00Z',
      ['2026-11-01T05:00Z', '2026-11-01T05:30Z', '2026-11-02T06:00Z'],
    ],
    // A gap that begins at 23:00 on Saturday: its times are on Sunday, once.
    ['America/Nuuk 30 23 * * *', '2026-03-28T12:00Z', ['2026-03-29T01:30Z', '2026-03-30T00:30Z']],
    // Half an hour of change: 02:15 is 02:45.
    ['Australia/Lord_Howe 15,45 2 * * *', '2026-10-03T12:00Z', ['2026-10-03T15:45Z', '2026-10-04T15:15Z']],
    // The day that Samoa left out.
    ['Pacific/Apia 0 8 * * *', '2011-12-29T19:00Z', ['2011-12-30T18:00Z', '2011-12-31T18:00Z']],
    ['Pacific/Apia 0 8 * * 5', '2011-12-26T19:00Z', ['2011-12-30T18:00Z', '2012-01-05T18:00Z']],
    ['UTC 0 12 * * *', '2028-02-28T12:00Z', ['2028-02-29T12:00Z', '2028-03-01T12:00Z']],
  ])('of %s after %s', (schedule, after, expected) => {
    expect(following(`CRON_TZ=${schedule}`, after, expected.length)).toEqual(expected);
  });

  test('is strictly later, to the millisecond', () => {
    expect(following('0 9 * * *', '2026-05-12T09:00:00Z', 1)).toEqual(['2026-05-13T09:00Z']);
    expect(following('0 9 * * *', '2026-05-12T08:59:59.999Z', 1)).toEqual(['2026-05-12T09:00Z']);
    expect(following('0 9 * * *', '2026-05-12T09:00:00.001Z', 1)).toEqual(['2026-05-13T09:00Z']);
  });

  test('counts for the weekday where it happens, not for that of UTC', () => {
    const friday = parseAutostartSchedule('CRON_TZ=America/New_York 30 23 * * FRI');
    const next = nextOccurrence(friday, at('2026-05-15T12:00Z'), 1 << 4);
    expect(next).toEqual(at('2026-05-16T03:30Z'));
    expect(nextOccurrence(friday, at('2026-05-15T12:00Z'), 1 << 5)).toBeNull();
  });

  test('is on an allowed day, or never', () => {
    const week = parseAutostartSchedule('CRON_TZ=Europe/Berlin 0 9 * * 1-5');
    const friday = at('2026-05-15T18:00+02:00');
    expect(nextOccurrence(week, friday)).toEqual(at('2026-05-18T09:00+02:00'));
    expect(nextOccurrence(week, friday, everyDay & ~monday)).toEqual(at('2026-05-19T09:00+02:00'));
    expect(nextOccurrence(week, friday, 0)).toBeNull();
    expect(nextOccurrence(week, friday, 0b1100000)).toBeNull();
  });
});

describe('next_start_at', () => {
  const input: AutostartInput = {
    autostartSchedule: 'CRON_TZ=Europe/Berlin 0 9 * * 1-5',
    allowUserAutostart: true,
    autostartBlockDaysOfWeek: 0,
    dormantAt: null,
    deleted: false,
    ownerId: '11111111-1111-4111-8111-111111111111',
  };
  const friday = at('2026-05-15T18:00+02:00');

  test('is the next allowed time of the schedule', () => {
    expect(nextStartAt(input, friday)).toEqual(at('2026-05-18T09:00+02:00'));
    expect(nextStartAt({ ...input, autostartBlockDaysOfWeek: monday }, friday)).toEqual(at('2026-05-19T09:00+02:00'));
  });

  test.each<[string, Partial<AutostartInput>]>([
    ['without a schedule', { autostartSchedule: null }],
    ['with an empty one', { autostartSchedule: '' }],
    ['with one that cannot be read', { autostartSchedule: 'CRON_TZ=Mars/X 0 9 * * *' }],
    ['where the template forbids it', { allowUserAutostart: false }],
    ['where every day is blocked', { autostartBlockDaysOfWeek: everyDay }],
    ['of a dormant workspace', { dormantAt: friday }],
    ['of a deleted one', { deleted: true }],
    ['of a prebuild', { ownerId: PREBUILDS_SYSTEM_USER_ID }],
  ])('is absent %s', (_, difference) => {
    expect(nextStartAt({ ...input, ...difference }, friday)).toBeNull();
  });

  test('is checked again by the weekday of its zone', () => {
    const sunday = {
      ...input,
      autostartSchedule: 'CRON_TZ=America/New_York 30 23 * * *',
      autostartBlockDaysOfWeek: 0b1011111,
    };
    expect(isOnAllowedDay(sunday, at('2026-05-17T03:30Z'))).toBe(true);
    expect(isOnAllowedDay(sunday, at('2026-05-18T03:30Z'))).toBe(false);
    // Saturday's 23:30 in the gap happens on Sunday.
    const nuuk = { ...sunday, autostartSchedule: 'CRON_TZ=America/Nuuk 30 23 * * *' };
    expect(isOnAllowedDay(nuuk, at('2026-03-29T01:30Z'))).toBe(true);
    expect(isOnAllowedDay({ ...sunday, autostartSchedule: 'x' }, at('2026-05-17T03:30Z'))).toBe(false);
  });
});

/** The date that a clock shows, asked of the runtime directly. */
const dateIn = (timezone: string) => {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone: timezone, dateStyle: 'short' });
  return (instant: Date) => format.format(instant);
};

describe('400 days over a leap day, minute by minute', () => {
  test.each([
    ['UTC', '30 2'],
    ['Europe/Berlin', '30 2'],
    ['America/New_York', '30 2'],
    ['America/New_York', '30 1'],
    ['Australia/Lord_Howe', '15 2'],
    ['Australia/Lord_Howe', '45 1'],
    ['America/Santiago', '30 0'],
    ['America/Santiago', '30 23'],
    ['Pacific/Auckland', '30 2'],
    ['Asia/Kolkata', '0 9'],
    ['America/St_Johns', '15 2'],
    ['Africa/Casablanca', '30 2'],
    ['Africa/Cairo', '0 0'],
    ['Asia/Kathmandu', '0 0'],
    ['Pacific/Apia', '59 23'],
    ['Pacific/Chatham', '0 3'],
    ['Antarctica/Troll', '30 1'],
  ])('%s at %s: each day has one start, none is missed or doubled', (timezone, time) => {
    const schedule = parseAutostartSchedule(`CRON_TZ=${timezone} ${time} * * *`);
    const dateOf = dateIn(timezone);
    const [from, to] = [at('2028-01-01T12:00Z').getTime(), at('2029-02-04T12:00Z').getTime()];
    const starts: string[] = [];
    let next = nextOccurrence(schedule, new Date(from));
    for (let tick = from; tick < to; tick += 60_000)
      if (next !== null && next.getTime() <= tick) {
        starts.push(dateOf(next));
        expect(next.getTime()).toBe(tick);
        next = nextOccurrence(schedule, new Date(tick));
      }
    // All dates of the time between, counted without a clock.
    const expected = Array.from({ length: starts.length }, (_, day) =>
      new Date(Date.parse(starts[0]!) + day * 86_400_000).toISOString().slice(0, 10),
    );
    expect(starts).toEqual(expected);
    expect(starts).toHaveLength(400);
    expect(starts).toContain('2028-02-29');
  });
});
