import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type MonitorState,
  type PointState,
  monitorRules,
  nextMonitor,
  nextMonitorState,
  pointState,
} from '../../domain/resource-monitors.ts';

const points = (full: number, of = 20): PointState[] =>
  Array.from({ length: of }, (_, index) => (index < full ? 'NOK' : 'OK'));
const anyPoints = fc.array(fc.constantFrom<PointState>('OK', 'NOK', 'unknown'), { maxLength: 20 });
const anyState = fc.constantFrom<MonitorState>('OK', 'NOK');

describe('A point', () => {
  test('is full from its threshold on, in whole percent', () => {
    expect(pointState({ used: 79.99, total: 100 }, 80)).toBe('OK');
    expect(pointState({ used: 80, total: 100 }, 80)).toBe('NOK');
    // 0.29 * 100 is 28.999999999999996.
    expect(pointState({ used: 29, total: 100 }, 29)).toBe('NOK');
    expect(pointState({ used: 0, total: 1 }, 0)).toBe('NOK');
  });

  test('says nothing without a total or a measurement', () => {
    for (const usage of [undefined, null, {}, { used: 1, total: 0 }, { used: 1, total: -1 }, { used: 1 }, { total: 1 }])
      expect(pointState(usage, 80)).toBe('unknown');
  });
});

describe('A monitor', () => {
  test('is full at four of twenty points, and not at three', () => {
    expect(nextMonitorState('OK', points(4))).toBe('NOK');
    expect(nextMonitorState('OK', points(3))).toBe('OK');
    // 1 of 5 is 20 %, 3 of 16 rounds to 19 %, 1 of 6 to 17 %.
    expect(nextMonitorState('OK', points(1, 5))).toBe('NOK');
    expect(nextMonitorState('OK', points(3, 16))).toBe('OK');
  });

  test('is full by the longest run alone when the share of all is set high', () => {
    const rules = { ...monitorRules, minimumPercent: 100 };
    expect(nextMonitorState('OK', ['OK', 'NOK', 'NOK', 'OK'], rules)).toBe('NOK');
    expect(nextMonitorState('OK', ['NOK', 'OK', 'NOK', 'OK'], rules)).toBe('OK');
  });

  test('is well again only when every point is', () => {
    expect(nextMonitorState('NOK', points(0))).toBe('OK');
    expect(nextMonitorState('NOK', points(1))).toBe('NOK');
    expect(nextMonitorState('NOK', [...points(0, 19), 'unknown'])).toBe('NOK');
  });

  test('keeps its state when nothing is known', () => {
    fc.assert(
      fc.property(anyState, fc.integer({ min: 0, max: 20 }), (state, count) => {
        expect(nextMonitorState(state, Array<PointState>(count).fill('unknown'))).toBe(state);
      }),
    );
  });

  test('decides the same for the same points again, and in any order', () => {
    fc.assert(
      fc.property(anyState, anyPoints, (state, given) => {
        const next = nextMonitorState(state, given);
        expect(nextMonitorState(next, given)).toBe(next);
        // With the usual rules the run is subsumed by the share, so that order does not matter.
        expect(nextMonitorState(state, given.toReversed())).toBe(next);
      }),
    );
  });
});

describe('Its owner', () => {
  const now = new Date('2026-01-01T00:00:00Z');
  const later = (ms: number) => new Date(now.getTime() + ms);

  test('hears of it once, and not again within 30 minutes', () => {
    const first = nextMonitor({ state: 'OK', debouncedUntil: null }, points(4), now);
    expect(first).toEqual({ state: 'NOK', debouncedUntil: later(30 * 60_000), notify: true });
    expect(nextMonitor(first, points(20), later(60_000)).notify).toBe(false);
    const well = nextMonitor(first, points(0), later(60_000));
    expect(well).toEqual({ state: 'OK', debouncedUntil: first.debouncedUntil, notify: false });
    expect(nextMonitor(well, points(4), later(30 * 60_000))).toMatchObject({ state: 'NOK', notify: false });
    expect(nextMonitor(well, points(4), later(30 * 60_000 + 1)).notify).toBe(true);
  });

  test('hears only when it turns full', () => {
    fc.assert(
      fc.property(anyState, anyPoints, (state, given) => {
        const step = nextMonitor({ state, debouncedUntil: null }, given, now);
        expect(step.notify).toBe(state === 'OK' && step.state === 'NOK');
        expect(step.debouncedUntil === null).toBe(!step.notify);
      }),
    );
  });
});
