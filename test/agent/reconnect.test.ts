import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs, retryAfterMs } from '../../agent/backoff.ts';
import { type ConnectOutcome, initialReconnectState, planReconnect } from '../../agent/reconnect.ts';

const rules = {
  backoff: { minMs: 500, maxMs: 30_000 },
  spreadMs: 30_000,
  supersededWaitMs: 300_000,
  giveUpAfterMs: 600_000,
};
const fresh = initialReconnectState('3.0');
const closed = (code: number, openMs = 60_000): ConnectOutcome => ({ kind: 'closed', code, reason: '', openMs });
const refused = (status: number, more: Partial<Extract<ConnectOutcome, { kind: 'refused' }>> = {}): ConnectOutcome => ({
  kind: 'refused',
  status,
  retryAfterMs: null,
  advertisedVersion: null,
  ...more,
});
const plan = (
  outcome: ConnectOutcome,
  { state = fresh, nowMs = 0, random = 0.5, giveUpAfterMs = 600_000 as number | null } = {},
) => planReconnect(outcome, state, { rules: { ...rules, giveUpAfterMs }, nowMs, random });

describe('back-off', () => {
  test('grows, never leaves its limits, and has jitter', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (failures, random) => {
          const waitMs = backoffMs(rules.backoff, failures, random);
          expect(waitMs).toBeGreaterThanOrEqual(500);
          expect(waitMs).toBeLessThanOrEqual(30_000);
        },
      ),
    );
    expect(backoffMs(rules.backoff, 50, 0)).toBe(15_000);
    expect(backoffMs(rules.backoff, 50, 0.9)).toBeGreaterThan(25_000);
  });
  test('Retry-After is seconds or a date', () => {
    expect(retryAfterMs('2', 0)).toBe(2000);
    expect(retryAfterMs('Thu, 01 Jan 1970 00:00:05 GMT', 1000)).toBe(4000);
    expect([retryAfterMs(undefined, 0), retryAfterMs('soon', 0)]).toEqual([null, null]);
  });
});

describe('after a connection', () => {
  test('that a restart of the server ended, agents come back spread over the time given', () => {
    for (const code of [1001, 1006, 1012])
      expect([0, 0.5, 0.999].map((random) => plan(closed(code), { random }))).toMatchObject(
        [0, 15_000, 29_970].map((waitMs) => ({ kind: 'retry', waitMs })),
      );
  });
  test('that a claim ended, at once', () => {
    expect(plan(closed(4001))).toMatchObject({ waitMs: 0 });
  });
  test('that a newer process took over, much later', () => {
    expect(plan(closed(4000))).toMatchObject({ waitMs: 450_000 });
  });
  test('the failures before it are forgotten', () => {
    const state = { ...fresh, failures: 7, refusedSinceMs: 3, versionTried: true };
    expect(plan(closed(1012), { state })).toMatchObject({
      state: { failures: 1, refusedSinceMs: null, versionTried: false },
    });
  });
  test('that ended at once, ever later, whatever its end says', () => {
    const state = { ...fresh, failures: 20 };
    for (const code of [1006, 1000, 1008, 4001]) {
      const next = plan(closed(code, 10), { state, random: 0 });
      expect(next).toMatchObject({ waitMs: 15_000, state: { failures: 21 } });
    }
    expect(plan(closed(1000), { state, random: 0 })).toMatchObject({ waitMs: 500, state: { failures: 1 } });
  });
});

describe('a refusal', () => {
  test('of the version is retried once with the one that the server names', () => {
    const first = plan(refused(400, { advertisedVersion: '2.9' }));
    expect(first).toMatchObject({ kind: 'retry', waitMs: 0, state: { version: '2.9' } });
    if (first.kind !== 'retry') return;
    const second = plan(refused(400, { advertisedVersion: '3.0' }), { state: first.state });
    expect(second).toMatchObject({ kind: 'retry', state: { version: '2.9' } });
    expect(second.kind === 'retry' && second.waitMs).toBeGreaterThanOrEqual(500);
  });
  test('waits at least as long as the server asks', () => {
    expect(plan(refused(429, { retryAfterMs: 90_000 }))).toMatchObject({ waitMs: 90_000 });
    expect(plan(refused(503, { retryAfterMs: 1 }))).toMatchObject({ waitMs: 500 });
  });
  test('with 401 for ten minutes ends the process with 2, but not with an identity or when told to go on', () => {
    const state = { ...fresh, failures: 40, refusedSinceMs: 1000 };
    expect(plan(refused(401), { state, nowMs: 600_999 })).toMatchObject({ kind: 'retry' });
    expect(plan(refused(401), { state, nowMs: 601_000 })).toEqual({ kind: 'exit', code: 2 });
    expect(plan(refused(401), { state, nowMs: 9e9, giveUpAfterMs: null })).toMatchObject({ kind: 'retry' });
  });
  test('with anything else begins the ten minutes anew', () => {
    const state = { ...fresh, refusedSinceMs: 1000 };
    for (const outcome of [refused(503), { kind: 'unreachable', reason: '' } as const, closed(1008)])
      expect(plan(outcome, { state, nowMs: 700_000 })).toMatchObject({
        kind: 'retry',
        state: { refusedSinceMs: null },
      });
  });
});
