import { expect, test } from 'vitest';
import { defaultLease, drainLeaseMs, heartbeat, leaseFaults, resumeWithinMs } from '../../domain/lease.ts';

test('the numbers of the lease fit together', () => {
  expect(leaseFaults(defaultLease)).toEqual([]);
  expect(heartbeat.everyMs).toBeLessThan(heartbeat.timeoutMs / 2);
  expect(drainLeaseMs).toBeGreaterThan(defaultLease.durationMs);
});

test('times that would let two hosts run one job are refused by name', () => {
  expect(leaseFaults({ ...defaultLease, killGraceMs: 75_000 })).toEqual([
    'the take-over must come after the kill grace',
  ]);
  expect(leaseFaults({ ...defaultLease, renewEveryMs: 30_000 })).toEqual([
    'a lease must last longer than two renewals',
  ]);
});

test('a lost run is its own host’s until another one may take it', () => {
  const { durationMs, takeOverAfterMs } = defaultLease;
  expect(resumeWithinMs(defaultLease)).toBe(durationMs - heartbeat.timeoutMs + takeOverAfterMs);
  expect(resumeWithinMs({ renewEveryMs: 500, durationMs: 2_000, killGraceMs: 1_000, takeOverAfterMs: 2_000 })).toBe(
    1_000,
  );
});
