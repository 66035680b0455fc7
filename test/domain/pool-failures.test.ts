import { describe, expect, test } from 'vitest';
import { type PoolStart, poolFailures } from '../../domain/pool-failures.ts';

const now = new Date('2026-05-04T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;
const rules = { now, lookbackMs: hour, hardLimit: 3, desired: () => 2 };

let builds = 0;
const start = (minutesAgo: number, of: Partial<PoolStart> = {}): PoolStart => ({
  presetId: 'p',
  buildId: `b${(builds += 1)}`,
  createdAt: new Date(now.getTime() - minutesAgo * minute),
  failed: true,
  refused: false,
  blocked: false,
  ...of,
});
const good = (minutesAgo: number) => start(minutesAgo, { failed: false });

describe('Failures of a pool', () => {
  test('make it wait while one is among its newest starts, as many as are desired', () => {
    const last = start(2);
    expect(poolFailures([good(1), last, start(3)], rules).backoff).toEqual([
      { presetId: 'p', failed: 2, lastBuildAt: last.createdAt },
    ]);
    expect(poolFailures([good(1), good(2), start(3)], rules).backoff).toEqual([]);
    expect(poolFailures([start(1)], { ...rules, desired: () => 0 }).backoff).toHaveLength(1);
    expect(poolFailures([good(1), start(2)], { ...rules, desired: () => 0 }).backoff).toEqual([]);
    expect(poolFailures([start(1)], { ...rules, desired: () => undefined }).backoff).toEqual([]);
  });

  test('are forgotten by the back-off after its look-back, and counted up to it', () => {
    expect(poolFailures([start(60), start(61)], rules).backoff).toMatchObject([{ failed: 1 }]);
    expect(poolFailures([start(61)], rules).backoff).toEqual([]);
  });

  test('end it when as many in a row as the limit says have failed, however long ago', () => {
    const newest = start(1);
    const far = [newest, start(10_000), start(20_000)];
    expect(poolFailures(far, rules).hardLimited).toEqual([{ presetId: 'p', newestBuildId: newest.buildId }]);
    expect(poolFailures(far.slice(0, 2), rules).hardLimited).toEqual([]);
    expect(poolFailures([...far.slice(0, 2), good(30_000), start(40_000)], rules).hardLimited).toEqual([]);
    expect(poolFailures(far, { ...rules, hardLimit: 0 }).hardLimited).toEqual([]);
  });

  test('do not end it for want of quota, which holds it back as long as it lasts', () => {
    const refused = start(1, { refused: true, blocked: true });
    const starts = [refused, start(2), start(3), start(4)];
    expect(poolFailures(starts, rules)).toMatchObject({
      hardLimited: [{ newestBuildId: starts[1]!.buildId }],
      quotaBlocked: ['p'],
    });
    expect(poolFailures([refused, start(2), start(3)], rules).hardLimited).toEqual([]);
  });

  test('are those of each pool by itself', () => {
    const other = { presetId: 'q' };
    expect(poolFailures([start(1), start(2, other), start(3, other), start(4, other)], rules)).toMatchObject({
      backoff: [
        { presetId: 'p', failed: 1 },
        { presetId: 'q', failed: 3 },
      ],
      hardLimited: [{ presetId: 'q' }],
    });
  });
});
