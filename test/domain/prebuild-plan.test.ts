import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planPrebuilds } from '../../domain/prebuild-plan.ts';
import type { PoolPreset, PrebuildRules, PrebuildSnapshot } from '../../domain/prebuilds.ts';

const now = new Date('2026-03-02T12:00:00Z');
const ago = (seconds: number): Date => new Date(now.getTime() - seconds * 1000);
const later = (seconds: number): Date => ago(-seconds);

const preset = (id: string, desiredInstances = 1, changes: Partial<PoolPreset> = {}): PoolPreset => ({
  id,
  name: `preset-${id}`,
  templateId: 't',
  templateName: 'template',
  versionId: 'v',
  versionName: 'version',
  organizationId: 'o',
  organizationName: 'organization',
  active: true,
  desiredInstances,
  invalidateAfterSecs: null,
  timezone: '',
  schedules: [],
  status: 'normal',
  lastInvalidatedAt: null,
  ...changes,
});
const prebuild = (id: string, presetId: string | null, createdAt = ago(1)) => ({
  id,
  name: `prebuild-${id}`,
  presetId,
  ready: true,
  createdAt,
});
const nothing: PrebuildSnapshot = {
  presets: [],
  running: [],
  inProgress: [],
  pendingNonActive: [],
  backoff: [],
  hardLimited: [],
  quotaBlocked: [],
  failed: [],
  inFlight: 0,
};
const unlimited: PrebuildRules = {
  backoffIntervalMs: 60_000,
  failureHardLimit: 3,
  failedRetentionMs: 0,
  maxCreatesPerCycle: 0,
  maxInFlight: null,
};
const plan = (snapshot: Partial<PrebuildSnapshot>, rules: Partial<PrebuildRules> = {}, at = now) =>
  planPrebuilds({ ...nothing, ...snapshot }, at, { ...unlimited, ...rules });
const creates = ({ items }: ReturnType<typeof planPrebuilds>): Record<string, number> =>
  Object.fromEntries(
    items.flatMap(({ preset: { id }, actions }) =>
      actions.flatMap((action) => (action.kind === 'create' ? [[id, action.count]] : [])),
    ),
  );
const starting = (presetId: string, count: number) => ({ presetId, transition: 'start' as const, count });

describe('a cycle', () => {
  test('names the pools that need something, and counts those that it left out', () => {
    const found = plan({
      presets: [
        preset('full'),
        preset('empty'),
        preset('dead', 3, { active: false }),
        preset('old', 3, { active: false }),
      ],
      running: [prebuild('a', 'full'), prebuild('b', 'old')],
    });
    expect(found.items.map(({ preset: { id }, actions }) => [id, actions])).toEqual([
      ['empty', [{ kind: 'create', count: 1 }]],
      ['old', [{ kind: 'delete', workspaces: [{ id: 'b', reason: 'outdated' }] }]],
    ]);
    expect(found.stats).toMatchObject({ presetsTotal: 4, presetsReconciled: 3, presetsSkipped: 1 });
  });

  test('looks at each pool by its own rows only', () => {
    const found = plan({
      presets: [preset('a', 2), preset('b', 2), preset('c', 2)],
      inProgress: [starting('a', 1), starting('a', 1), { presetId: 'b', transition: 'delete', count: 2 }],
      backoff: [{ presetId: 'c', failed: 1, lastBuildAt: now }],
    });
    expect(creates(found)).toEqual({ b: 2 });
  });

  test('leaves alone what belongs to no pool, and says so', () => {
    const found = plan({ presets: [preset('a', 0)], running: [prebuild('lost', null)] });
    expect(found.items).toEqual([]);
    expect(found.warnings).toEqual([expect.stringContaining('prebuild-lost')]);
  });

  test('uses the schedules, and says once when it cannot', () => {
    const schedules = [{ cronExpression: '* 12 * * *', desiredInstances: 4 }];
    const found = plan({
      presets: [
        preset('good', 1, { timezone: 'UTC', schedules }),
        preset('bad', 1, { timezone: 'Mars/Base', schedules }),
      ],
    });
    expect(creates(found)).toEqual({ bad: 1, good: 4 });
    expect(found.warnings).toEqual([expect.stringMatching(/preset-bad.*Mars\/Base/)]);
  });

  test('says what people have to cure, in every cycle', () => {
    const found = plan({
      presets: [preset('a'), preset('b'), preset('c', 1, { active: false })],
      running: [prebuild('x', 'c')],
      hardLimited: [{ presetId: 'a', newestBuildId: 'f' }],
      quotaBlocked: ['b'],
    });
    expect(creates(found)).toEqual({});
    expect(found.warnings).toEqual([
      expect.stringMatching(/preset-a.*failed/),
      expect.stringMatching(/preset-b.*quota/),
    ]);
  });
});

describe('the status of a preset', () => {
  const hardLimited = [{ presetId: 'a', newestBuildId: 'f3' }];
  const limited = { presetId: 'a', from: 'normal', to: 'hard_limited', newestBuildId: 'f3' };
  test('changes once when its newest builds all failed', () => {
    expect(plan({ presets: [preset('a')], hardLimited }).statusChanges).toEqual([limited]);
    const written = plan({ presets: [preset('a', 1, { status: 'hard_limited' })], hardLimited });
    expect([written.statusChanges, creates(written)]).toEqual([[], {}]);
  });
  test('goes back when that is no longer so, and creation goes on in that cycle', () => {
    const found = plan({ presets: [preset('a', 1, { status: 'hard_limited' })] });
    expect(found.statusChanges).toEqual([{ presetId: 'a', from: 'hard_limited', to: 'normal', newestBuildId: null }]);
    expect(creates(found)).toEqual({ a: 1 });
  });
  test('does not change by itself after failed validation, nor when the preset is not active', () => {
    const found = plan({
      presets: [
        preset('a', 1, { status: 'validation_failed' }),
        preset('b', 1, { status: 'hard_limited', active: false }),
        preset('c', 1, { active: false }),
      ],
      running: [prebuild('x', 'b'), prebuild('y', 'c')],
      hardLimited: [...hardLimited, { presetId: 'c', newestBuildId: 'f3' }],
    });
    expect(found.statusChanges).toEqual([]);
  });
});

describe('the caps', () => {
  const presets = [preset('a', 4), preset('b', 4), preset('c', 4)];
  test('are shared fairly: first to those with the fewest, then by turns, of equals the lower id', () => {
    const inProgress = [starting('a', 2)];
    expect(creates(plan({ presets, inProgress }, { maxCreatesPerCycle: 3 }))).toEqual({ b: 2, c: 1 });
    expect(creates(plan({ presets, inProgress }, { maxCreatesPerCycle: 5 }))).toEqual({ a: 1, b: 2, c: 2 });
    expect(creates(plan({ presets, inProgress }, { maxCreatesPerCycle: 99 }))).toEqual({ a: 2, b: 4, c: 4 });
  });
  test('an expired prebuild makes no pool richer', () => {
    const old = { invalidateAfterSecs: 3600 };
    const expired = ['x', 'y'].map((id) => prebuild(id, 'a', ago(3601)));
    const found = plan({ presets: [preset('a', 2, old), preset('b', 2)], running: expired }, { maxCreatesPerCycle: 1 });
    expect(creates(found)).toEqual({ a: 1 });
  });
  test('leave room for what is under way, and hold no deletion back', () => {
    expect(creates(plan({ presets, inFlight: 8 }, { maxInFlight: 10 }))).toEqual({ a: 1, b: 1 });
    const over = plan(
      { presets: [preset('a', 0), preset('b')], running: [prebuild('x', 'a')], inFlight: 99 },
      { maxInFlight: 10 },
    );
    expect(over.items.map(({ preset: { id }, actions }) => [id, actions.map(({ kind }) => kind)])).toEqual([
      ['a', ['delete']],
    ]);
  });
  test('the lower of both holds, and pools that get nothing need nothing', () => {
    const both = plan({ presets, inFlight: 9 }, { maxInFlight: 10, maxCreatesPerCycle: 2 });
    expect(both.items.map(({ preset: { id } }) => id)).toEqual(['a']);
    expect(creates(plan({ presets }, { maxInFlight: 0 }))).toEqual({});
  });
  test('let every pool come to its size after some cycles', () => {
    const have = new Map<string, number>();
    for (let cycle = 0; cycle < 4; cycle += 1) {
      const inProgress = [...have].map(([id, count]) => starting(id, count));
      for (const [id, count] of Object.entries(creates(plan({ presets, inProgress }, { maxCreatesPerCycle: 3 }))))
        have.set(id, (have.get(id) ?? 0) + count);
      expect([...have.values()]).toEqual([cycle + 1, cycle + 1, cycle + 1]);
    }
  });
});

describe('the next wake-up', () => {
  const nextWakeAt = (snapshot: Partial<PrebuildSnapshot>, at = now) => plan(snapshot, {}, at).nextWakeAt;
  const hour = { invalidateAfterSecs: 3600 };
  test('is none when the clock alone changes nothing', () => {
    expect(nextWakeAt({ presets: [preset('a')], running: [prebuild('x', 'a')] })).toBeNull();
  });
  test('is the first whole second at which a prebuild has expired', () => {
    const running = [prebuild('x', 'a', new Date(ago(3590).getTime() + 400)), prebuild('y', 'a', ago(1))];
    const wakeAt = nextWakeAt({ presets: [preset('a', 2, hour)], running });
    expect(wakeAt).toEqual(later(11));
    expect(plan({ presets: [preset('a', 2, hour)], running }, {}, wakeAt!).items).toHaveLength(1);
    expect(plan({ presets: [preset('a', 2, hour)], running }, {}, later(10)).items).toHaveLength(0);
  });
  test('is not for what has expired already', () => {
    expect(nextWakeAt({ presets: [preset('a', 1, hour)], running: [prebuild('x', 'a', ago(9999))] })).toBeNull();
  });
  test('is when failures stop to hold back, and creation is then allowed', () => {
    const snapshot = { presets: [preset('a')], backoff: [{ presetId: 'a', failed: 2, lastBuildAt: ago(30) }] };
    const wakeAt = nextWakeAt(snapshot);
    expect(wakeAt!.getTime() - later(90).getTime()).toBeGreaterThan(0);
    expect(wakeAt!.getTime() - later(90).getTime()).toBeLessThanOrEqual(1000);
    expect(creates(plan(snapshot, {}, wakeAt!))).toEqual({ a: 1 });
  });
  test('is the boundary of a schedule of an active preset', () => {
    const scheduled = (hours: string) => ({
      timezone: 'UTC',
      schedules: [{ cronExpression: `* ${hours} * * *`, desiredInstances: 4 }],
    });
    const presets = [preset('a', 1, scheduled('15-17')), preset('b', 1, scheduled('14-16'))];
    expect(nextWakeAt({ presets })).toEqual(new Date('2026-03-02T14:00:00Z'));
    const dead = preset('c', 1, { ...scheduled('13'), active: false });
    expect(nextWakeAt({ presets: [...presets, dead], running: [prebuild('x', 'c')] })).toEqual(
      new Date('2026-03-02T14:00:00Z'),
    );
  });
  test('is the earliest of all', () => {
    const snapshot = {
      presets: [preset('a', 1, hour), preset('b')],
      running: [prebuild('x', 'a', ago(3000))],
      backoff: [{ presetId: 'b', failed: 1, lastBuildAt: now }],
    };
    expect(nextWakeAt(snapshot)!.getTime()).toBeLessThanOrEqual(later(61).getTime());
  });
});

describe('whatever the snapshot', () => {
  const ids = ['a', 'b', 'c', 'd'];
  const presetId = fc.constantFrom(...ids, 'gone');
  const count = fc.nat(5);
  const age = fc.constantFrom(1, 2, 100, 3600, 3601).map(ago);
  const presets = fc.tuple(
    ...ids.map((id) =>
      fc
        .record({
          desired: fc.nat(8),
          active: fc.boolean(),
          invalidateAfterSecs: fc.constantFrom(null, 3600),
          status: fc.constantFrom<PoolPreset['status']>('normal', 'hard_limited', 'validation_failed'),
        })
        .map(({ desired, ...changes }) => preset(id, desired, changes)),
    ),
  );
  const snapshots = fc.record<PrebuildSnapshot>({
    presets,
    running: fc.uniqueArray(
      fc.record({
        id: fc.nat(99).map((n) => `w${n}`),
        name: fc.constant('prebuild'),
        presetId: fc.option(presetId),
        ready: fc.boolean(),
        createdAt: age,
      }),
      { selector: ({ id }) => id, maxLength: 20 },
    ),
    inProgress: fc.array(
      fc.record({ presetId, transition: fc.constantFrom('start' as const, 'stop' as const, 'delete' as const), count }),
      { maxLength: 6 },
    ),
    pendingNonActive: fc.array(fc.record({ presetId, count }), { maxLength: 3 }),
    backoff: fc.uniqueArray(fc.record({ presetId, failed: count, lastBuildAt: age }), {
      selector: (row) => row.presetId,
      maxLength: 2,
    }),
    hardLimited: fc.uniqueArray(fc.record({ presetId, newestBuildId: fc.constant('f') }), {
      selector: (row) => row.presetId,
      maxLength: 2,
    }),
    quotaBlocked: fc.uniqueArray(presetId, { maxLength: 1 }),
    failed: fc.uniqueArray(fc.record({ id: fc.nat(99).map((n) => `f${n}`), presetId, createdAt: age }), {
      selector: ({ id }) => id,
      maxLength: 6,
    }),
    inFlight: fc.nat(12),
  });
  const caps = fc.record({
    maxCreatesPerCycle: fc.nat(6),
    maxInFlight: fc.option(fc.nat(15)),
    failedRetentionMs: fc.constantFrom(0, 50_000),
    failureHardLimit: fc.constant(3),
    backoffIntervalMs: fc.constant(60_000),
  });
  const total = (found: ReturnType<typeof planPrebuilds>) => Object.values(creates(found)).reduce((a, b) => a + b, 0);

  test('the order of its rows does not matter', () => {
    fc.assert(
      fc.property(
        snapshots,
        caps,
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        (snapshot, rules, keys) => {
          const shuffle = <T>(rows: readonly T[]): T[] =>
            rows
              .map((row) => ({ row, key: keys.next().value as number }))
              .toSorted((a, b) => a.key - b.key)
              .map(({ row }) => row);
          const shuffled: PrebuildSnapshot = {
            presets: shuffle(snapshot.presets),
            running: shuffle(snapshot.running),
            inProgress: shuffle(snapshot.inProgress),
            pendingNonActive: shuffle(snapshot.pendingNonActive),
            backoff: shuffle(snapshot.backoff),
            hardLimited: shuffle(snapshot.hardLimited),
            quotaBlocked: shuffle(snapshot.quotaBlocked),
            failed: shuffle(snapshot.failed),
            inFlight: snapshot.inFlight,
          };
          expect(planPrebuilds(shuffled, now, rules)).toEqual(planPrebuilds(snapshot, now, rules));
        },
      ),
    );
  });

  test('never more is made than the caps leave, and no less than they and the pools allow', () => {
    fc.assert(
      fc.property(snapshots, caps, (snapshot, rules) => {
        const found = planPrebuilds(snapshot, now, rules);
        const missing = creates(planPrebuilds(snapshot, now, { ...rules, maxCreatesPerCycle: 0, maxInFlight: null }));
        const budget = Math.min(
          rules.maxCreatesPerCycle || Infinity,
          rules.maxInFlight === null ? Infinity : Math.max(0, rules.maxInFlight - snapshot.inFlight),
        );
        const wanted = Object.values(missing).reduce((a, b) => a + b, 0);
        expect(total(found)).toBe(Math.min(budget, wanted));
        for (const [id, made] of Object.entries(creates(found))) expect(made).toBeLessThanOrEqual(missing[id] ?? 0);
        for (const { actions } of found.items) expect(actions).not.toHaveLength(0);
      }),
    );
  });

  test('only what runs or has failed in a pool is deleted, each once, and then nothing more', () => {
    fc.assert(
      fc.property(snapshots, caps, (snapshot, given) => {
        const rules = { ...given, maxCreatesPerCycle: 0 };
        const { items } = planPrebuilds(snapshot, now, rules);
        const deleted = items.flatMap(({ actions }) =>
          actions.flatMap((action) => (action.kind === 'delete' ? action.workspaces.map(({ id }) => id) : [])),
        );
        expect(new Set(deleted).size).toBe(deleted.length);
        const pooled = [...snapshot.running, ...snapshot.failed].filter((row) => ids.includes(row.presetId ?? ''));
        expect(pooled.map(({ id }) => id)).toEqual(expect.arrayContaining(deleted));
        const made = Object.entries(creates({ ...planPrebuilds(snapshot, now, rules) }));
        const after: PrebuildSnapshot = {
          ...snapshot,
          running: snapshot.running.filter(({ id }) => !deleted.includes(id)),
          failed: snapshot.failed.filter(({ id }) => !deleted.includes(id)),
          pendingNonActive: [],
          inProgress: [...snapshot.inProgress, ...made.map(([id, started]) => starting(id, started))],
          inFlight: snapshot.inFlight + made.reduce((sum, [, started]) => sum + started, 0),
        };
        const again = planPrebuilds(after, now, rules).items.flatMap(({ actions }) => actions);
        expect(again.filter(({ kind }) => kind !== 'backoff')).toEqual([]);
      }),
    );
  });

  test('the next wake-up lies ahead', () => {
    fc.assert(
      fc.property(snapshots, caps, (snapshot, rules) => {
        const { nextWakeAt } = planPrebuilds(snapshot, now, rules);
        expect(nextWakeAt === null || nextWakeAt > now).toBe(true);
      }),
    );
  });
});
