import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type LifecycleRow,
  agentLifecycleStates,
  isAgentVersion,
  negotiateVersion,
  planLifecycle,
} from '../../domain/agent-lifecycle.ts';

const now = new Date('2026-03-01T12:00:00Z');
const at = (seconds: number) => new Date(now.getTime() + seconds * 1_000);
const created: LifecycleRow = { state: 'created', changedAt: null, startedAt: null, readyAt: null };
/** Reports one after the other, as the server stores them. */
const after = (...reports: [(typeof agentLifecycleStates)[number], number][]) => {
  let row = created;
  for (const [state, seconds] of reports) row = planLifecycle(row, { state, changedAt: at(seconds) }, now) ?? row;
  return row;
};

describe('the lifecycle of an agent', () => {
  test('keeps when it started and when it was ready', () => {
    expect(after(['starting', -20], ['ready', -10])).toEqual({
      state: 'ready',
      changedAt: at(-10),
      startedAt: at(-20),
      readyAt: at(-10),
    });
    expect(after(['start_error', -10])).toMatchObject({ startedAt: at(-10), readyAt: at(-10) });
    expect(after(['starting', -20], ['ready', -10], ['shutting_down', -5], ['off', -1])).toEqual({
      state: 'off',
      changedAt: at(-1),
      startedAt: at(-20),
      readyAt: at(-10),
    });
  });

  test('begins anew from any state', () => {
    expect(after(['starting', -20], ['ready', -10], ['starting', -5])).toEqual({
      state: 'starting',
      changedAt: at(-5),
      startedAt: at(-5),
      readyAt: null,
    });
  });

  test('ignores what comes late, and repeats', () => {
    const ready = after(['starting', -20], ['ready', -10]);
    expect(planLifecycle(ready, { state: 'starting', changedAt: at(-20) }, now)).toBeNull();
    expect(planLifecycle(ready, { state: 'ready', changedAt: at(-9) }, now)).toBeNull();
  });

  test('takes an implausible or missing time for now', () => {
    for (const changedAt of [null, at(-24 * 3_600 - 1), at(61)])
      expect(planLifecycle(created, { state: 'starting', changedAt }, now)?.startedAt).toEqual(now);
    expect(planLifecycle(created, { state: 'starting', changedAt: at(60) }, now)?.startedAt).toEqual(at(60));
  });

  test('never moves back in time, whatever is reported', () => {
    const report = fc.record({
      state: fc.constantFrom(...agentLifecycleStates),
      changedAt: fc.option(fc.integer({ min: -86_000, max: 60 }).map(at)),
    });
    fc.assert(
      fc.property(fc.array(report, { maxLength: 20 }), (reports) => {
        let row = created;
        for (const each of reports) {
          const next = planLifecycle(row, each, now);
          if (next === null) continue;
          expect(next.changedAt!.getTime()).toBeGreaterThanOrEqual(row.changedAt?.getTime() ?? 0);
          if (next.readyAt !== null) expect(next.startedAt).not.toBeNull();
          row = next;
        }
      }),
    );
  });
});

test('a version is a semantic one with a leading v', () => {
  for (const good of ['v1.2.3', 'v0.0.1-rc.1', 'v2.20.0+abc']) expect(isAgentVersion(good)).toBe(true);
  for (const bad of ['1.2.3', 'v1.2', 'v1.2.3.4', '', `v1.2.3-${'a'.repeat(60)}`])
    expect(isAgentVersion(bad)).toBe(false);
});

test('versions of another major, or newer ones, are refused by name', () => {
  expect(negotiateVersion(undefined)).toBe('3.0');
  expect(negotiateVersion('3.0')).toBe('3.0');
  for (const bad of ['2.9', '3.7', '4.0', 'three', '3', ''])
    expect(() => negotiateVersion(bad)).toThrow(
      expect.objectContaining({ validations: [expect.objectContaining({ field: 'version' })] }),
    );
});
