import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bumpedDeadline } from '../../domain/activity-bump.ts';
import {
  type DeadlineInput,
  deadlinesOf,
  movedDeadlines,
  requiredStop,
  requiredStopLeewayMs,
} from '../../domain/deadlines.ts';
import { parseQuietHours } from '../../domain/quiet-hours.ts';
import { daysToBitmap, everyDay } from '../../domain/weekdays.ts';

const at = (text: string) => new Date(text);
const hourMs = 3_600_000;
const bitmap = (...days: string[]): number => {
  const read = daysToBitmap(days);
  if ('problem' in read) throw new Error(read.problem);
  return read.bitmap;
};
const [saturday, sunday] = [bitmap('saturday'), bitmap('sunday')];
const berlin = parseQuietHours('CRON_TZ=Europe/Berlin 0 2 * * *');

describe('a required stop', () => {
  test.each([
    ['2026-05-12T23:59+02:00', 'Europe/Berlin 0 2', everyDay, 1, '2026-05-13T02:00+02:00'],
    ['2026-05-13T00:00:00+02:00', 'Europe/Berlin 0 2', everyDay, 1, '2026-05-13T02:00+02:00'],
    ['2026-05-13T00:00:01+02:00', 'Europe/Berlin 0 2', everyDay, 1, '2026-05-14T02:00+02:00'],
    ['2026-05-13T10:00Z', 'UTC 0 0', saturday, 1, '2026-05-16T00:00Z'],
    ['2026-05-13T10:00Z', 'UTC 0 0', saturday, 2, '2026-05-23T00:00Z'],
    ['2026-05-24T10:00Z', 'UTC 0 0', saturday, 2, '2026-06-06T00:00Z'],
    ['2026-05-13T10:00Z', 'UTC 50 23', saturday, 1, '2026-05-16T23:50Z'],
    ['2026-03-27T10:00+01:00', 'Europe/Berlin 30 2', sunday, 1, '2026-03-29T01:30Z'],
    ['2026-10-23T10:00+02:00', 'Europe/Berlin 30 2', sunday, 1, '2026-10-25T00:30Z'],
    // 0 weeks are every week, and years before weeks are counted from have weeks too.
    ['2026-05-13T10:00Z', 'UTC 0 0', saturday, 0, '2026-05-16T00:00Z'],
    ['2022-12-20T10:00Z', 'UTC 0 0', saturday, 2, '2022-12-24T00:00Z'],
  ])('after %s with quiet hours %s, days %d, every %d weeks', (now, hours, daysOfWeek, weeks, expected) => {
    const quietHours = parseQuietHours(`CRON_TZ=${hours} * * *`);
    expect(requiredStop({ daysOfWeek, weeks, quietHours }, at(now))).toEqual(at(expected));
  });

  test('does not exist where no day is required', () => {
    expect(requiredStop({ daysOfWeek: 0, weeks: 1, quietHours: berlin }, at('2026-05-13T10:00Z'))).toBeNull();
  });

  const requirement = fc.record({
    daysOfWeek: fc.integer({ min: 1, max: everyDay }),
    weeks: fc.integer({ min: 0, max: 16 }),
    quietHours: fc.record({
      timezone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Nuuk'),
      hour: fc.integer({ min: 0, max: 23 }),
      minute: fc.integer({ min: 0, max: 59 }),
    }),
  });
  const instants = fc.date({ min: at('2024-01-01T00:00Z'), max: at('2029-01-01T00:00Z'), noInvalidDate: true });

  test('is always found, at least two hours away, and never earlier for a later start', () => {
    fc.assert(
      fc.property(requirement, instants, fc.nat({ max: 30 * 24 * hourMs }), (rule, now, laterMs) => {
        const stop = requiredStop(rule, now)!;
        const next = requiredStop(rule, new Date(now.getTime() + laterMs))!;
        expect(stop.getTime() - now.getTime()).toBeGreaterThanOrEqual(requiredStopLeewayMs);
        expect(next.getTime()).toBeGreaterThanOrEqual(stop.getTime());
        // Whoever starts more than the leeway before it is stopped at it.
        if (now.getTime() + laterMs + requiredStopLeewayMs <= stop.getTime()) expect(next).toEqual(stop);
      }),
    );
  });
});

const input: DeadlineInput = {
  ttlMs: null,
  defaultTtlMs: 0,
  allowUserAutostop: true,
  autostopRequirementDaysOfWeek: 0,
  autostopRequirementWeeks: 1,
  autostart: {
    autostartSchedule: null,
    allowUserAutostart: true,
    autostartBlockDaysOfWeek: 0,
    dormantAt: null,
    deleted: false,
    ownerId: '11111111-1111-4111-8111-111111111111',
  },
  ownerIsActive: true,
  quietHours: berlin,
};
const nine = { ...input.autostart, autostartSchedule: 'CRON_TZ=Europe/Berlin 0 9 * * *' };
const evening = at('2026-05-12T21:45+02:00');

describe('the deadlines of a start', () => {
  test('are absent without a time to live and a requirement', () => {
    expect(deadlinesOf({ ...input, defaultTtlMs: 8 * hourMs }, evening)).toEqual({ deadline: null, maxDeadline: null });
    expect(deadlinesOf({ ...input, ttlMs: 0 }, evening)).toEqual({ deadline: null, maxDeadline: null });
  });

  test('follow from the time to live', () => {
    expect(deadlinesOf({ ...input, ttlMs: 8 * hourMs }, evening).deadline).toEqual(at('2026-05-13T05:45+02:00'));
  });

  test('ignore what the user set where the template decides', () => {
    const bound = { ...input, allowUserAutostop: false, ttlMs: hourMs, defaultTtlMs: 8 * hourMs };
    expect(deadlinesOf(bound, evening).deadline).toEqual(at('2026-05-13T05:45+02:00'));
    expect(deadlinesOf({ ...bound, defaultTtlMs: 0 }, evening).deadline).toBeNull();
  });

  test('count from an automatic start that comes before', () => {
    const daily = { ...input, ttlMs: 12 * hourMs, autostart: nine };
    expect(deadlinesOf(daily, evening).deadline).toEqual(at('2026-05-13T21:00+02:00'));
    // A deadline at the start itself lets it stop and start.
    expect(deadlinesOf(daily, at('2026-05-12T21:00+02:00')).deadline).toEqual(at('2026-05-13T09:00+02:00'));
    // No automatic start comes: the owner is not active, the template does not allow it.
    const plain = at('2026-05-13T09:45+02:00');
    expect(deadlinesOf({ ...daily, ownerIsActive: false }, evening).deadline).toEqual(plain);
    const forbidden = { ...nine, allowUserAutostart: false };
    expect(deadlinesOf({ ...daily, autostart: forbidden }, evening).deadline).toEqual(plain);
  });

  test('end at the required stop', () => {
    const daily = { ...input, autostopRequirementDaysOfWeek: everyDay };
    const two = at('2026-05-13T02:00+02:00');
    expect(deadlinesOf(daily, evening)).toEqual({ deadline: two, maxDeadline: two });
    expect(deadlinesOf({ ...daily, ttlMs: 12 * hourMs }, evening)).toEqual({ deadline: two, maxDeadline: two });
    expect(deadlinesOf({ ...daily, ttlMs: 12 * hourMs, autostart: nine }, evening).deadline).toEqual(two);
    const short = deadlinesOf({ ...daily, ttlMs: hourMs }, evening);
    expect(short).toEqual({ deadline: at('2026-05-12T22:45+02:00'), maxDeadline: two });
  });

  test('are never in the past, and say so when they would be', () => {
    const broken = deadlinesOf({ ...input, ttlMs: 0.5 }, evening);
    expect(broken.deadline).toEqual(new Date(evening.getTime() + requiredStopLeewayMs));
    expect(broken.problem).toContain('is not after');
  });

  test('say when no day is found for the stop', () => {
    const none = deadlinesOf({ ...input, ttlMs: hourMs, autostopRequirementDaysOfWeek: 128 }, evening);
    expect(none).toEqual({
      deadline: at('2026-05-12T22:45+02:00'),
      maxDeadline: null,
      problem: 'no day was found for the required stop',
    });
  });

  test('hold what the database demands, for any input', () => {
    const ttl = fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 30 * 24 * hourMs }));
    const inputs = fc.record({
      ttlMs: ttl,
      defaultTtlMs: fc.integer({ min: 0, max: 30 * 24 * hourMs }),
      allowUserAutostop: fc.boolean(),
      autostopRequirementDaysOfWeek: fc.integer({ min: 0, max: everyDay }),
      autostopRequirementWeeks: fc.integer({ min: 0, max: 16 }),
      autostart: fc.constantFrom(input.autostart, nine, { ...nine, autostartBlockDaysOfWeek: everyDay }),
      ownerIsActive: fc.boolean(),
      quietHours: fc.constant(berlin),
    });
    const instants = fc.date({ min: at('2024-01-01T00:00Z'), max: at('2029-01-01T00:00Z'), noInvalidDate: true });
    fc.assert(
      fc.property(inputs, instants, (each, now) => {
        const { deadline, maxDeadline, problem } = deadlinesOf(each, now);
        expect(problem).toBeUndefined();
        expect(maxDeadline !== null).toBe(each.autostopRequirementDaysOfWeek !== 0);
        if (maxDeadline !== null) expect(deadline!.getTime()).toBeLessThanOrEqual(maxDeadline.getTime());
        if (deadline !== null) expect(deadline.getTime()).toBeGreaterThan(now.getTime());
      }),
    );
  });
});

describe('a change of the required stop', () => {
  const now = at('2026-05-13T01:30+02:00');
  const yesterday = at('2026-05-12T10:00+02:00');
  const soonest = new Date(now.getTime() + requiredStopLeewayMs);
  const daily = { ...input, autostopRequirementDaysOfWeek: everyDay };
  const running = (deadline: Date | null, maxDeadline: Date | null = null) => ({
    deadline,
    maxDeadline,
    completedAt: yesterday,
  });
  const evening = at('2026-05-13T20:00+02:00');

  test('counts from the start, but leaves two hours', () => {
    // Since yesterday's start the stop would be due in 30 minutes.
    expect(movedDeadlines(daily, running(evening), now)).toEqual({ deadline: soonest, maxDeadline: soonest });
    expect(movedDeadlines(daily, running(null), now)).toEqual({ deadline: soonest, maxDeadline: soonest });
    const early = at('2026-05-13T02:15+02:00');
    expect(movedDeadlines(daily, running(early), now)).toEqual({ deadline: early, maxDeadline: soonest });
    const weekly = { ...input, autostopRequirementDaysOfWeek: saturday };
    const stop = at('2026-05-16T02:00+02:00');
    expect(movedDeadlines(weekly, running(evening), now)).toEqual({ deadline: evening, maxDeadline: stop });
    expect(movedDeadlines(weekly, running(null), now)).toEqual({ deadline: stop, maxDeadline: stop });
  });

  test('leaves a stop alone that is due within two hours', () => {
    const soon = new Date(soonest.getTime() - 1);
    expect(movedDeadlines({ ...daily, autostopRequirementWeeks: 2 }, running(soon, soon), now)).toBeNull();
    expect(movedDeadlines({ ...daily, autostopRequirementWeeks: 2 }, running(soonest, soonest), now)).not.toBeNull();
  });

  test('that takes it away gives the time to live back', () => {
    const stop = at('2026-05-13T02:00+02:00');
    expect(movedDeadlines(input, running(evening), now)).toBeNull();
    expect(movedDeadlines(input, running(null), now)).toBeNull();
    expect(movedDeadlines(input, running(stop, stop), now)).toEqual({ deadline: null, maxDeadline: null });
    const early = at('2026-05-13T01:45+02:00');
    expect(movedDeadlines(input, running(early, stop), now)).toEqual({ deadline: early, maxDeadline: null });
    const day = { ...input, ttlMs: 24 * hourMs };
    const tomorrow = new Date(yesterday.getTime() + 24 * hourMs);
    expect(movedDeadlines(day, running(stop, stop), now)).toEqual({ deadline: tomorrow, maxDeadline: null });
    // Somebody has worked until now: taking a limit away does not stop him.
    expect(movedDeadlines({ ...input, ttlMs: hourMs }, running(stop, stop), now)).toEqual({
      deadline: stop,
      maxDeadline: null,
    });
  });

  test('for which no day is found says so and limits nothing', () => {
    const never = { ...input, autostopRequirementDaysOfWeek: 128 };
    expect(movedDeadlines(never, running(evening), now)).toEqual({
      deadline: evening,
      maxDeadline: null,
      problem: 'no day was found for the required stop',
    });
  });

  test('holds what the database demands, and stops nobody earlier than in two hours', () => {
    const hours = fc.integer({ min: -48, max: 400 }).map((count) => new Date(now.getTime() + count * hourMs));
    const builds = fc.record({ deadline: fc.option(hours), maxDeadline: fc.option(hours) }).map((build) => {
      const { deadline, maxDeadline } = build;
      if (maxDeadline === null || (deadline !== null && deadline <= maxDeadline))
        return { ...build, completedAt: yesterday };
      return { deadline: maxDeadline, maxDeadline, completedAt: yesterday };
    });
    const days = fc.integer({ min: 0, max: everyDay });
    const ttl = fc.constantFrom(null, 60_000, 8 * hourMs, 100 * hourMs);
    fc.assert(
      fc.property(builds, days, fc.integer({ min: 1, max: 16 }), ttl, (build, daysOfWeek, weeks, ttlMs) => {
        const rule = { autostopRequirementDaysOfWeek: daysOfWeek, autostopRequirementWeeks: weeks };
        const moved = movedDeadlines({ ...input, ...rule, ttlMs }, build, now);
        if (moved === null) return;
        const { deadline, maxDeadline } = moved;
        expect(moved.problem).toBeUndefined();
        expect(maxDeadline === null).toBe(daysOfWeek === 0);
        if (maxDeadline !== null) expect(deadline!.getTime()).toBeLessThanOrEqual(maxDeadline.getTime());
        if (maxDeadline !== null) expect(maxDeadline.getTime()).toBeGreaterThanOrEqual(soonest.getTime());
        const asBefore = deadline?.getTime() === build.deadline?.getTime();
        if (deadline !== null && !asBefore)
          expect(deadline.getTime()).toBeGreaterThanOrEqual(
            Math.min(soonest.getTime(), build.deadline?.getTime() ?? Infinity),
          );
      }),
    );
  });
});

describe('a bump by activity', () => {
  const day = (time: string | null) => (time === null ? null : at(`2026-05-12T${time}Z`));
  test.each<[string | null, string, Partial<Parameters<typeof bumpedDeadline>[0]>, string | null]>([
    ['12:00', '10:30', {}, null],
    ['12:00', '11:02:59', {}, null],
    ['12:00', '11:03:00', {}, null],
    ['12:00', '11:03:01', {}, '12:03:01'],
    ['12:00', '11:30', { maxDeadline: day('12:10') }, '12:10'],
    ['09:30', '08:45', { nextStartAt: day('09:00'), ttlMs: 8 * hourMs }, '17:00'],
    [
      '09:30',
      '08:45',
      { nextStartAt: day('09:00'), ttlMs: hourMs, allowUserAutostop: false, defaultTtlMs: 8 * hourMs },
      '17:00',
    ],
    // Without a time to live the bump itself counts from the start.
    ['09:00', '08:45', { nextStartAt: day('09:00') }, '10:00'],
    ['09:00', '08:45', { nextStartAt: day('08:45') }, '09:45'],
    ['09:00', '08:45', { nextStartAt: day('09:45') }, '09:45'],
    [null, '10:00', {}, null],
    ['12:00', '11:30', { activityBumpMs: 0 }, null],
    ['12:00', '11:30', { maxDeadline: day('12:00') }, null],
  ])('of a deadline %s at %s', (deadline, now, difference, expected) => {
    const facts = {
      deadline: day(deadline),
      maxDeadline: null,
      activityBumpMs: hourMs,
      nextStartAt: null,
      ttlMs: null,
      defaultTtlMs: 0,
      allowUserAutostop: true,
    };
    expect(bumpedDeadline({ ...facts, ...difference }, day(now)!)).toEqual(day(expected));
  });
});
