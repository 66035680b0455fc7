import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ScheduledPool,
  desiredAt,
  desiredSize,
  parsePrebuildSchedule,
  scheduleProblems,
  schedulesOverlap,
} from '../../domain/prebuild-schedules.ts';

const pool = (timezone: string, ...schedules: [cron: string, desired: number][]): ScheduledPool => ({
  desiredInstances: 0,
  timezone,
  schedules: schedules.map(([cronExpression, desiredInstances]) => ({ cronExpression, desiredInstances })),
});
const read = (expression: string) => {
  const { schedule, problem } = parsePrebuildSchedule(expression);
  if (schedule === undefined) throw new Error(problem);
  return schedule;
};
const sizes = (size: ScheduledPool, ...instants: string[]) =>
  instants.map((instant) => desiredAt(size, new Date(instant)).desired);
const sorted = (values: ReadonlySet<number>) => [...values].toSorted((a, b) => a - b);

describe('an expression', () => {
  test.each([
    ['* 9-11 * * 1-5', { hours: [9, 10, 11], daysOfWeek: [1, 2, 3, 4, 5], eitherDay: false }],
    ['  *  0,22-23 * * *  ', { hours: [0, 22, 23], eitherDay: false }],
    ['* 8-18/4 * * *', { hours: [8, 12, 16] }],
    ['* */6 * * *', { hours: [0, 6, 12, 18] }],
    ['* 20/2 * * *', { hours: [20, 22] }],
    ['* 9 1,15-16 * *', { daysOfMonth: [1, 15, 16], eitherDay: false }],
    ['* 9 * jan-mar,DEC *', { months: [1, 2, 3, 12] }],
    ['* 9 * * MON-Fri', { daysOfWeek: [1, 2, 3, 4, 5] }],
    ['* 9 * * 7', { daysOfWeek: [0] }],
    ['* 9 * * 5-7', { daysOfWeek: [0, 5, 6] }],
    ['* 9 * * */3', { daysOfWeek: [0, 3, 6] }],
    ['* 9 1 * 1', { daysOfMonth: [1], daysOfWeek: [1], eitherDay: true }],
    ['* 9 */1 * 1', { daysOfWeek: [1], eitherDay: false }],
    ['* 9 */2 * 1', { daysOfWeek: [1], eitherDay: true }],
  ])('like %j is read', (expression, expected) => {
    const { eitherDay, ...sets } = read(expression);
    const lists = Object.fromEntries(Object.entries(sets).map(([name, values]) => [name, sorted(values)]));
    expect({ ...lists, eitherDay }).toMatchObject(expected);
  });

  test.each([
    ['', /five fields/],
    ['* 9 * *', /five fields/],
    ['* 9 * * * *', /five fields/],
    ['0 9 * * *', /five fields, the first/],
    ['*/5 9 * * *', /five fields, the first/],
    ['@daily', /five fields/],
    ['TZ=UTC * 9 * * *', /five fields/],
    ['* 24 * * *', /hour/],
    ['* -1 * * *', /hour/],
    ['* 18-9 * * *', /hour/],
    ['* 9-18/0 * * *', /hour/],
    ['* 9, * * *', /hour/],
    ['* 9-10-11 * * *', /hour/],
    ['* *-10 * * *', /hour/],
    ['* mon * * *', /hour/],
    ['* 9 0 * *', /day of month/],
    ['* 9 32 * *', /day of month/],
    ['* 9 * 0 *', /month/],
    ['* 9 * 13 *', /month/],
    ['* 9 * smarch *', /month/],
    ['* 9 * * 8', /day of week/],
    ['* 9 * * jan', /day of week/],
    ['* 9 * * 1.5', /day of week/],
  ])('like %j is refused with its reason', (expression, reason) => {
    expect(parsePrebuildSchedule(expression).problem).toMatch(reason);
  });
});

describe('the size of a pool', () => {
  test('changes with the first and after the last instant of a range', () => {
    const office = pool('UTC', ['* 9-18 * * 1-5', 3]);
    const monday = ['08:59:59.999', '09:00:00.000', '18:59:59.999', '19:00:00.000'];
    expect(sizes(office, ...monday.map((time) => `2026-03-02T${time}Z`))).toEqual([0, 3, 3, 0]);
    expect(sizes(office, '2026-03-07T12:00:00Z')).toEqual([0]);
  });

  test('is that of the schedule whose range it is, and the usual one outside of all', () => {
    const two = { ...pool('UTC', ['* 8-18 * * 1-5', 3], ['* 8-14 * * 6', 1]), desiredInstances: 2 };
    const instants = ['2026-03-06T18:30:00Z', '2026-03-07T14:59:59Z', '2026-03-07T15:00:00Z', '2026-03-08T10:00:00Z'];
    expect(sizes(two, ...instants)).toEqual([3, 1, 2, 2]);
  });

  test('follows the clock of zones that are not whole hours away', () => {
    const size = pool('Asia/Kolkata', ['* 9-9 * * *', 1]);
    const instants = ['03:29:59.999', '03:30:00', '04:29:59.999', '04:30:00'];
    expect(sizes(size, ...instants.map((time) => `2026-03-02T${time}Z`))).toEqual([0, 1, 1, 0]);
  });

  const matchedMinutes = (size: ScheduledPool, from: string, hours: number) =>
    Array.from({ length: hours * 60 }, (_, i) => new Date(Date.parse(from) + i * 60_000)).filter(
      (instant) => desiredAt(size, instant).desired > 0,
    ).length;
  test('knows no hour that the clock skips, and has a repeated hour twice', () => {
    const newYork = (cron: string) => pool('America/New_York', [cron, 1]);
    expect(matchedMinutes(newYork('* 2-2 * * *'), '2026-03-08T05:00:00Z', 23)).toBe(0);
    expect(matchedMinutes(newYork('* 2-2 * * *'), '2026-03-09T04:00:00Z', 24)).toBe(60);
    expect(matchedMinutes(newYork('* 1-1 * * *'), '2026-11-01T04:00:00Z', 25)).toBe(120);
  });

  test.each([
    ['an unknown time zone', pool('InvalidLocation', ['* 9 * * *', 5]), /InvalidLocation/],
    ['no time zone', pool('', ['* 9 * * *', 5]), /time zone/],
    ['an invalid expression', pool('UTC', ['* 9 * * *', 5], ['* 25 * * *', 6]), /25/],
    ['an overlap', pool('UTC', ['* 9 * * *', 5], ['* 9 * * 1', 6]), /overlap/],
  ])('is the usual one with %s, which is told', (_title, broken, problem) => {
    const size = { ...broken, desiredInstances: 2 };
    expect(desiredAt(size, new Date('2026-03-02T09:30:00Z'))).toEqual({
      desired: 2,
      problem: expect.stringMatching(problem),
    });
    expect(desiredSize(size).nextBoundary(new Date('2026-03-02T08:30:00Z'))).toBeNull();
  });

  test('needs no time zone without schedules, and is never negative', () => {
    expect(desiredAt({ desiredInstances: 4, timezone: '', schedules: [] }, new Date(0))).toEqual({ desired: 4 });
    expect(desiredAt({ desiredInstances: -4, timezone: '', schedules: [] }, new Date(0))).toEqual({ desired: 0 });
    expect(sizes(pool('UTC', ['* * * * *', -3]), '2026-03-02T09:30:00Z')).toEqual([0]);
  });
});

describe('two schedules', () => {
  test.each([
    ['share an hour on Friday', '* 8-18 * * 1-5', '* 18-19 * * 5-6', true],
    ['are adjacent', '* 8-17 * * *', '* 18-23 * * *', false],
    ['have their own days', '* 8-18 * * 1-5', '* 8-18 * * 6,0', false],
    ['have their own months', '* 8 * 1-6 *', '* 8 * 7-12 *', false],
    ['meet on a 15th that is a Tuesday', '* 8 15 * 1', '* 8 * * 2', true],
    ['meet on a 15th, whatever day it is', '* 8 15 2 *', '* 8 * 2 3', true],
    ['meet on the 29th of February', '* 8 29 2 *', '* 8 * 2 0', true],
    ['would only meet on days that do not exist', '* 8 30-31 2 *', '* 8 * 2 0', false],
    ['have different days of the month, one of them by weekday too', '* 8 1 * 1', '* 8 1-2 * *', true],
    ['have lists without a common hour', '* 8,10,12 * * *', '* 9,11 * * *', false],
    ['have steps with a common hour', '* */4 * * *', '* 2/3 * * *', true],
  ])('that %s', (_title, a, b, expected) => {
    expect(schedulesOverlap(read(a), read(b))).toBe(expected);
    expect(schedulesOverlap(read(b), read(a))).toBe(expected);
  });

  /** Each date of the 400 years after which the calendar repeats, as what an expression can see of it. */
  const dates = new Map<string, { month: number; day: number; weekday: number }>();
  for (let at = Date.UTC(2000, 0, 1); at < Date.UTC(2400, 0, 1); at += 86_400_000) {
    const date = new Date(at);
    const [month, day, weekday] = [date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCDay()];
    dates.set(`${month}/${day}/${weekday}`, { month, day, weekday });
  }

  test('overlap exactly when some date of the calendar has an hour in both', () => {
    const field = (min: number, max: number) =>
      fc.oneof(
        fc.constant('*'),
        fc.integer({ min, max }).map(String),
        fc
          .tuple(fc.integer({ min, max }), fc.integer({ min, max }))
          .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
      );
    const expression = fc
      .tuple(field(0, 23), field(1, 31), field(1, 12), field(0, 6))
      .map((fields) => `* ${fields.join(' ')}`);
    fc.assert(
      fc.property(expression, expression, (first, second) => {
        const [a, b] = [read(first), read(second)];
        const on = (s: typeof a, { month, day, weekday }: { month: number; day: number; weekday: number }) =>
          s.months.has(month) &&
          (s.eitherDay
            ? s.daysOfMonth.has(day) || s.daysOfWeek.has(weekday)
            : s.daysOfMonth.has(day) && s.daysOfWeek.has(weekday));
        const meet =
          [...a.hours].some((hour) => b.hours.has(hour)) &&
          [...dates.values()].some((date) => on(a, date) && on(b, date));
        expect(schedulesOverlap(a, b)).toBe(meet);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a scheduling block', () => {
  test('that is well formed has no problems', () => {
    expect(scheduleProblems('Europe/Berlin', ['* 8-17 * * 1-5', '* 18-23 * * 1-5', '* 8-14 * * 6'])).toEqual([]);
  });
  test.each([
    ['no schedule', 'UTC', [], [/at least one schedule/]],
    ['no time zone', '', ['* 8 * * *'], [/needs a time zone/]],
    ['an unknown time zone', 'Mars/Olympus', ['* 8 * * *'], [/"Mars\/Olympus".*IANA/]],
    ['invalid expressions', 'UTC', ['* 8 * * *', '* 25 * * *', '1 8 * * *'], [/25/, /five fields/]],
    ['an overlap', 'UTC', ['* 8 * * *', '* 9 * * *', '* 8-9 * * 1'], [/"\* 8 \* \* \*".*overlap/, /"\* 9 .*overlap/]],
  ])('with %s is told', (_title, timezone, expressions, problems) => {
    expect(scheduleProblems(timezone, expressions)).toEqual(problems.map((text) => expect.stringMatching(text)));
  });
});

/** Days on which clocks change, if they do, and zones that are not whole hours away from UTC. */
const changes: [zone: string, day: string][] = [
  ['America/New_York', '2026-03-08'],
  ['America/New_York', '2026-11-01'],
  ['Europe/Berlin', '2026-03-29'],
  ['Europe/Berlin', '2026-10-25'],
  ['Australia/Lord_Howe', '2026-04-05'],
  ['Australia/Lord_Howe', '2026-10-04'],
  ['Pacific/Chatham', '2026-04-05'],
  ['Pacific/Chatham', '2026-09-27'],
  ['Asia/Kolkata', '2026-03-08'],
  ['Asia/Kathmandu', '2026-03-08'],
  // Its clocks once changed a minute past midnight.
  ['America/St_Johns', '2010-03-14'],
];

describe('on days when clocks change', () => {
  test.each(changes)('each minute counts by what the clock shows: %s, %s', (timezone, day) => {
    const size = desiredSize(pool(timezone, ['* 0,2,5-6,23 * * 0', 1], ['* 1-2 * * 1,6', 2]));
    const clock = new Intl.DateTimeFormat('en-GB', { timeZone: timezone, weekday: 'short', hour: '2-digit' });
    const noon = Date.parse(`${day}T12:00:00Z`);
    for (let at = noon - 36 * 3_600_000; at < noon + 36 * 3_600_000; at += 60_000) {
      const parts = new Map(clock.formatToParts(at).map(({ type, value }) => [type, value]));
      const [weekday, hour] = [parts.get('weekday'), Number(parts.get('hour'))];
      const first = weekday === 'Sun' && [0, 2, 5, 6, 23].includes(hour);
      const second = (weekday === 'Mon' || weekday === 'Sat') && [1, 2].includes(hour);
      const expected = first ? 1 : second ? 2 : 0;
      if (size.at(new Date(at)) !== expected) expect([new Date(at), size.at(new Date(at))]).toEqual([at, expected]);
    }
  });

  test.each([
    [
      'a skipped hour begins and ends nothing',
      'America/New_York',
      '* 2 * * *',
      '2026-03-08T06:00Z',
      '2026-03-09T06:00Z',
    ],
    [
      'a skipped first hour begins with the next one',
      'America/New_York',
      '* 2-4 * * *',
      '2026-03-08T06:00Z',
      '2026-03-08T07:00Z',
    ],
    ['a repeated hour ends once', 'America/New_York', '* 1 * * *', '2026-11-01T05:30Z', '2026-11-01T07:00Z'],
    ['half an hour is skipped', 'Australia/Lord_Howe', '* 2 * * *', '2026-10-03T15:00Z', '2026-10-03T15:30Z'],
    ['a clock that jumps within an hour', 'Pacific/Chatham', '* 3 * * *', '2026-09-26T13:50Z', '2026-09-26T14:00Z'],
    [
      'a clock that jumps a minute past an hour',
      'America/St_Johns',
      '* 1 * * *',
      '2010-03-14T03:00Z',
      '2010-03-14T03:31Z',
    ],
  ])('%s', (_title, timezone, cron, after, boundary) => {
    const next = desiredSize(pool(timezone, [cron, 1])).nextBoundary(new Date(after));
    expect(next).toEqual(new Date(boundary));
  });
});

describe('the next boundary', () => {
  test('is the end of the range that holds, or the beginning of the next', () => {
    const { nextBoundary } = desiredSize(pool('UTC', ['* 9-18 * * 1-5', 3], ['* 19-20 * * 5', 3]));
    const next = (after: string) => nextBoundary(new Date(after))?.toISOString();
    expect(next('2026-03-02T08:59:59.999Z')).toBe('2026-03-02T09:00:00.000Z');
    expect(next('2026-03-02T09:00:00Z')).toBe('2026-03-02T19:00:00.000Z');
    // The size does not change where one range goes on as another of the same size.
    expect(next('2026-03-06T12:00:00Z')).toBe('2026-03-06T21:00:00.000Z');
    expect(next('2026-03-06T21:00:00Z')).toBe('2026-03-09T09:00:00.000Z');
  });

  test('does not exist without a change within 366 days', () => {
    const next = (size: ScheduledPool) => desiredSize(size).nextBoundary(new Date('2026-03-02T00:00:00Z'));
    expect(next({ desiredInstances: 3, timezone: '', schedules: [] })).toBeNull();
    expect(next(pool('UTC', ['* 9 * * *', 0]))).toBeNull();
    expect(next(pool('UTC', ['* * * * *', 3]))).toBeNull();
    expect(next(pool('UTC', ['* 9 29 2 *', 3]))).toBeNull();
    expect(next(pool('UTC', ['* 9 1 3 *', 3]))).toEqual(new Date('2027-03-01T09:00:00Z'));
  });

  const hour = 3_600_000;
  const zoned = fc.constantFrom(...changes).chain(([timezone, day]) =>
    fc.record({
      timezone: fc.constant(timezone),
      // Half of them close to the change of clocks.
      after: fc
        .oneof(fc.integer({ min: -48 * hour, max: 48 * hour }), fc.integer({ min: 0, max: 300 * 24 * hour }))
        .map((ms) => new Date(Date.parse(`${day}T00:00:00Z`) + ms)),
    }),
  );
  const days = fc.constantFrom('* * *', '* * 0', '* * 1-5', '*/2 * *', '1,15 * *', '* 3,10 *', '13 * 5');
  const split = fc
    .tuple(fc.nat(22), days, days, fc.nat(3), fc.nat(3))
    .map(([last, first, second, one, two]): [string, number][] => [
      [`* 0-${last} ${first}`, one],
      [`* ${last + 1}-23 ${second}`, two],
    ]);
  test('is where the size differs from just before, and up to there it stays', () => {
    fc.assert(
      fc.property(zoned, split, fc.nat(3), ({ timezone, after }, schedules, desiredInstances) => {
        const size = desiredSize({ ...pool(timezone, ...schedules), desiredInstances });
        const found = size.nextBoundary(after);
        const end = found?.getTime() ?? after.getTime() + 366 * 24 * hour;
        expect(end).toBeGreaterThan(after.getTime());
        const now = size.at(after);
        expect(size.at(new Date(end - 1))).toBe(now);
        if (found !== null) expect(size.at(found)).not.toBe(now);
        // Every quarter of an hour near the beginning, then at distances that no time of day keeps.
        for (let at = after.getTime(), step = hour / 4; at < end; at += step) {
          if (at - after.getTime() > 72 * hour) step = 7.3 * hour;
          if (size.at(new Date(at)) !== now) expect([after, new Date(at)]).toBe('the same size');
        }
      }),
      { numRuns: 150 },
    );
  });
});
