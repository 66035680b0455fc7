import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bumpedDeadline } from '../../domain/activity-bump.ts';
import { planLogLines } from '../../domain/agent-logs.ts';
import { cutAtCharacter, planMetadata } from '../../domain/agent-metadata.ts';
import { type ReportedStats, isActivity, isIdle, planStats } from '../../domain/agent-stats.ts';
import { type ClaimFacts, planReinit } from '../../domain/reinit.ts';

const now = new Date('2026-03-01T12:00:00Z');
const line = (output: string, level = 'info', createdAt: Date | null = now) => ({ output, level, createdAt });

describe('log lines', () => {
  test('lose what no database stores, before anything is counted', () => {
    expect(planLogLines([line('a\0b'), line('x\uD800y')], now).map(({ output }) => output)).toEqual(['ab', 'x\uFFFDy']);
  });

  test('longer than a row become several', () => {
    const rows = planLogLines([line('x'.repeat(2_500))], now).map(({ output }) => output);
    expect(rows.map((row) => row.length)).toEqual([1_024, 1_024, 452]);
    expect(rows.join('')).toBe('x'.repeat(2_500));
    // Characters, not halves of them.
    expect(planLogLines([line('😀'.repeat(1_025))], now).map(({ output }) => Array.from(output).length)).toEqual([
      1_024, 1,
    ]);
  });

  test('keep their order and text, whatever they are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'binary', maxLength: 3_000 }), { minLength: 1, maxLength: 20 }),
        (texts) => {
          const rows = planLogLines(
            texts.map((text) => line(text)),
            now,
          );
          expect(rows.map(({ output }) => output).join('')).toBe(texts.join('').replaceAll('\0', '').toWellFormed());
          expect(rows.every(({ output }) => Array.from(output).length <= 1_024)).toBe(true);
        },
      ),
    );
  });

  test('are of the last hour, and of a known level', () => {
    const times = [null, new Date(now.getTime() - 7_200_000), new Date(now.getTime() + 5_000)];
    expect(
      planLogLines(
        times.map((at) => line('x', '', at)),
        now,
      ).map(({ createdAt }) => createdAt),
    ).toEqual([now, new Date(now.getTime() - 3_600_000), now]);
    expect(() => planLogLines([line('x', 'loud')], now)).toThrow(
      expect.objectContaining({ validations: [expect.objectContaining({ field: 'logs[0].level' })] }),
    );
    expect(() => planLogLines([], now)).toThrow('at least one line');
    expect(
      planLogLines(
        Array.from({ length: 1_000 }, () => line('x')),
        now,
      ),
    ).toHaveLength(1_000);
    expect(() =>
      planLogLines(
        Array.from({ length: 1_001 }, () => line('x')),
        now,
      ),
    ).toThrow('at most 1000');
  });
});

describe('metadata', () => {
  const entry = (key: string, value = '', error = '') => ({ key, value, error });
  const keys = (...names: string[]) => new Set(names);

  test('is cut at a character, and says so', () => {
    const { stored } = planMetadata([entry('a', 'x'.repeat(2_049)), entry('b', 'x'.repeat(2_048))], keys('a', 'b'));
    expect(stored[0]).toEqual(entry('a', 'x'.repeat(2_048), 'value of 2049 bytes exceeded 2048 bytes'));
    expect(stored[1]).toEqual(entry('b', 'x'.repeat(2_048)));
    const [euro] = planMetadata([entry('a', `x${'€'.repeat(700)}`)], keys('a')).stored;
    expect(euro!.value).toBe(`x${'€'.repeat(682)}`);
    expect(planMetadata([entry('a', 'v', 'e'.repeat(2_049))], keys('a')).stored[0]!.error).toBe(
      'error of 2049 bytes exceeded 2048 bytes',
    );
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat({ max: 40 }), (text, bytes) => {
        const cut = cutAtCharacter(text.toWellFormed(), bytes);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(bytes);
        expect(text.toWellFormed().startsWith(cut)).toBe(true);
      }),
    );
  });

  test('that the template does not define is left out; keys that are too long drop the rest', () => {
    expect(planMetadata([entry('a'), entry('b')], keys('b'))).toEqual({ stored: [entry('b')], keysTooLong: false });
    const [long, last] = ['k'.repeat(6_144), 'z'];
    expect(planMetadata([entry(long)], keys(long)).keysTooLong).toBe(false);
    expect(planMetadata([entry(long), entry(last)], keys(long, last))).toEqual({
      stored: [entry(long)],
      keysTooLong: true,
    });
  });
});

describe('statistics', () => {
  const zero: ReportedStats = {
    connectionsByProto: {},
    connectionCount: 0,
    connectionMedianLatencyMs: -1,
    rxPackets: 0,
    rxBytes: 0,
    txPackets: 0,
    txBytes: 0,
    sessionCountVscode: 0,
    sessionCountJetbrains: 0,
    sessionCountReconnectingPty: 0,
    sessionCountSsh: 0,
    sessionCounts: {},
  };

  test('must be numbers that can be', () => {
    for (const bad of [{ rxBytes: -1 }, { connectionMedianLatencyMs: -2 }, { connectionCount: Number.NaN }])
      expect(() => planStats({ ...zero, ...bad })).toThrow('must be a number');
    expect(() => planStats({ ...zero, sessionCounts: { vim: Number.POSITIVE_INFINITY } })).toThrow('must be a number');
  });

  test('by application name override the four counts', () => {
    const planned = planStats({
      ...zero,
      sessionCountSsh: 3,
      sessionCounts: { VSCode: 2, 'reconnecting-pty': 1, vim: 4 },
    });
    expect(planned).toMatchObject({
      sessionCountVscode: 2,
      sessionCountReconnectingPty: 1,
      sessionCountSsh: 0,
      sessionCounts: { vscode: 2, 'reconnecting-pty': 1, vim: 4 },
    });
    const names = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`app-${i}`, 1]));
    expect(() => planStats({ ...zero, sessionCounts: names(51) })).toThrow('at most 50');
  });

  test('tell activity from idling', () => {
    expect([isActivity(zero), isIdle(zero)]).toEqual([false, true]);
    expect([isActivity({ ...zero, connectionCount: 1 }), isIdle({ ...zero, connectionCount: 1 })]).toEqual([
      true,
      false,
    ]);
    expect([isActivity({ ...zero, rxBytes: 1 }), isIdle({ ...zero, rxBytes: 1 })]).toEqual([false, false]);
  });
});

describe('the deadline of a workspace in use', () => {
  const hour = 3_600_000;
  const clock = (text: string) => new Date(`2026-03-01T${text}Z`);
  const row = {
    deadline: clock('12:00:00'),
    maxDeadline: null,
    activityBumpMs: hour,
    nextStartAt: null,
    ttlMs: 8 * hour,
    defaultTtlMs: 0,
    allowUserAutostop: true,
  };
  test.each([
    ['10:30:00', {}, null],
    ['11:02:59', {}, null],
    ['11:03:01', {}, '12:03:01'],
    ['11:30:00', { maxDeadline: clock('12:10:00') }, '12:10:00'],
    ['08:45:00', { deadline: clock('09:30:00'), nextStartAt: clock('09:00:00') }, '17:00:00'],
    ['08:45:00', { deadline: clock('09:30:00'), nextStartAt: clock('09:00:00'), ttlMs: null }, '10:00:00'],
    [
      '08:45:00',
      { deadline: clock('09:30:00'), nextStartAt: clock('09:00:00'), allowUserAutostop: false, defaultTtlMs: 2 * hour },
      '11:00:00',
    ],
    ['11:30:00', { deadline: null }, null],
    ['11:30:00', { activityBumpMs: 0 }, null],
    ['13:00:00', { maxDeadline: clock('12:00:00') }, null],
  ])('at %s with %o becomes %s', (at, change, expected) => {
    expect(bumpedDeadline({ ...row, ...change }, clock(at))).toEqual(expected === null ? null : clock(expected));
  });
});

describe('an agent that asks for a claim', () => {
  const facts: ClaimFacts = {
    deleted: false,
    ownerIsSystem: false,
    firstInitiatorIsSystem: true,
    latestTransition: 'start',
    latestStage: 'claim',
    latestStatus: 'succeeded',
    handedOver: false,
    started: false,
  };
  test.each([
    ['of an unclaimed prebuild waits', { ownerIsSystem: true }, 'wait'],
    ['of a regular workspace is refused', { firstInitiatorIsSystem: false }, 'refuse'],
    ['waits while the claim runs', { latestStatus: 'running' }, 'wait'],
    ['waits when the claim failed: it may be tried again', { latestStatus: 'failed' }, 'wait'],
    ['is told once the claim has succeeded', {}, 'send'],
    ['that has begun for the owner is refused', { started: true }, 'refuse'],
    ['is refused after a later build', { latestStage: 'none' as const }, 'refuse'],
    ['is refused while the workspace stops', { latestTransition: 'stop' as const }, 'refuse'],
    ['handed over is told while the claim runs', { handedOver: true, latestStatus: 'running' }, 'send'],
    ['handed over is told although the claim failed', { handedOver: true, latestStatus: 'failed' }, 'send'],
    ['handed over and begun is refused', { handedOver: true, latestStatus: 'pending', started: true }, 'refuse'],
    ['of a deleted workspace is refused', { deleted: true }, 'refuse'],
  ])('%s', (_name, change, kind) => {
    expect(planReinit({ ...facts, ...change }).kind).toBe(kind);
  });
});
