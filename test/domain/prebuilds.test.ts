import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type PoolFacts,
  type PoolPreset,
  type PrebuildAction,
  type PrebuildRules,
  type RunningPrebuild,
  calculateActions,
  canSkip,
  claimableSince,
  poolState,
} from '../../domain/prebuilds.ts';

const now = new Date('2026-03-02T12:00:00Z');
const ago = (seconds: number): Date => new Date(now.getTime() - seconds * 1000);

const preset = (changes: Partial<PoolPreset> = {}): PoolPreset => ({
  id: 'p',
  name: 'pool',
  templateId: 't',
  templateName: 'template',
  versionId: 'v',
  versionName: 'version',
  organizationId: 'o',
  organizationName: 'organization',
  active: true,
  desiredInstances: 1,
  invalidateAfterSecs: null,
  timezone: '',
  schedules: [],
  status: 'normal',
  lastInvalidatedAt: null,
  ...changes,
});
const facts = (changes: Partial<PoolFacts> = {}): PoolFacts => ({
  running: [],
  starting: 0,
  stopping: 0,
  deleting: 0,
  pendingNonActive: 0,
  backoff: null,
  hardLimited: false,
  quotaBlocked: false,
  failed: [],
  ...changes,
});
const rules: PrebuildRules = {
  backoffIntervalMs: 60_000,
  failureHardLimit: 3,
  failedRetentionMs: 0,
  maxCreatesPerCycle: 0,
  maxInFlight: null,
};
/** Ready prebuilds by their age in seconds. */
const running = (ages: Readonly<Record<string, number>>, changes: Partial<RunningPrebuild> = {}): RunningPrebuild[] =>
  Object.entries(ages).map(([id, age]) => ({
    id,
    name: `prebuild-${id}`,
    presetId: 'p',
    ready: true,
    createdAt: ago(age),
    ...changes,
  }));

interface Given {
  readonly of?: Partial<PoolPreset>;
  readonly wanted?: number;
  readonly at?: Date;
  readonly rules?: Partial<PrebuildRules>;
}
const actions = (known: Partial<PoolFacts>, { of = {}, wanted = 1, at = now, rules: changed = {} }: Given = {}) =>
  calculateActions(preset(of), facts(known), { now: at, wanted, rules: { ...rules, ...changed } });
const create = (count: number): PrebuildAction => ({ kind: 'create', count });
const remove = (
  reason: 'expired' | 'extraneous' | 'outdated' | 'failed-retention',
  ...ids: string[]
): PrebuildAction => ({
  kind: 'delete',
  workspaces: ids.map((id) => ({ id, reason })),
});

describe('an active pool', () => {
  test('gets what neither runs nor starts yet', () => {
    expect(actions({ running: running({ a: 1 }), starting: 1 }, { wanted: 3 })).toEqual([create(1)]);
    expect(actions({ running: running({ a: 1 }), starting: 2 }, { wanted: 2 })).toEqual([]);
    expect(actions({ running: running({ a: 1, b: 1 }) }, { wanted: 2 })).toEqual([]);
  });

  test('loses its oldest, ready or not, when it is too large; of the same age the lower id', () => {
    const [old, older] = [running({ old: 8 }, { ready: false }), running({ older: 9 })];
    const three = [...running({ young: 7 }), ...old, ...older];
    expect(actions({ running: three }, { wanted: 1 })).toEqual([remove('extraneous', 'older', 'old')]);
    expect(actions({ running: running({ c: 1, a: 1, b: 1 }) }, { wanted: 1 })).toEqual([
      remove('extraneous', 'a', 'b'),
    ]);
    expect(actions({ running: running({ a: 1 }) }, { wanted: 0 })).toEqual([remove('extraneous', 'a')]);
  });

  test('is not made smaller for what starts, nor does it wait for what stops or is deleted', () => {
    expect(actions({ running: running({ a: 1 }), starting: 9 }, { wanted: 1 })).toEqual([]);
    expect(actions({ stopping: 5, deleting: 5 }, { wanted: 2 })).toEqual([create(2)]);
  });

  test('is filled when what was in it was stopped or has failed: neither runs', () => {
    expect(actions({ failed: [{ id: 'f', createdAt: ago(9) }] })).toEqual([create(1)]);
  });
});

describe('a prebuild', () => {
  const hour = { invalidateAfterSecs: 3600 };
  test('expires after its time, not at it, and is replaced in the same cycle', () => {
    expect(actions({ running: running({ a: 3599 }) }, { of: hour })).toEqual([]);
    expect(actions({ running: running({ a: 3600 }) }, { of: hour })).toEqual([]);
    expect(actions({ running: running({ a: 3600.001 }) }, { of: hour })).toEqual([remove('expired', 'a'), create(1)]);
    expect(actions({ running: running({ a: 3601 }) }, { of: hour })).toEqual([remove('expired', 'a'), create(1)]);
  });
  test('never expires without a ttl', () => {
    const tenYears = running({ a: 10 * 365 * 86_400 });
    for (const invalidateAfterSecs of [null, 0, -1])
      expect(actions({ running: tenYears }, { of: { invalidateAfterSecs } })).toEqual([]);
  });
  test('that expires is not replaced when enough others are left', () => {
    const three = running({ a: 3601, b: 2, c: 1 });
    expect(actions({ running: three }, { of: hour, wanted: 2 })).toEqual([remove('expired', 'a')]);
    expect(actions({ running: running({ a: 3601, b: 1 }) }, { of: hour, wanted: 2 })).toEqual([
      remove('expired', 'a'),
      create(1),
    ]);
  });
  test('that is older than an invalidation counts as expired', () => {
    const of = { lastInvalidatedAt: ago(10) };
    const pool = running({ a: 11, b: 12, c: 13 });
    expect(actions({ running: pool }, { of, wanted: 3 })).toEqual([remove('expired', 'c', 'b', 'a'), create(3)]);
    expect(actions({ running: running({ a: 10 }) }, { of })).toEqual([]);
    expect(claimableSince(preset({ ...of, ...hour }), now)).toEqual(ago(10));
    expect(claimableSince(preset({ lastInvalidatedAt: ago(4000), ...hour }), now)).toEqual(ago(3600));
  });
});

describe('a pool that is no longer active', () => {
  const of = { active: false, invalidateAfterSecs: 3600 };
  test('is taken down, expired ones included, and gets nothing', () => {
    const two = running({ fresh: 1, expired: 3601 });
    expect(actions({ running: two, pendingNonActive: 3 }, { of, wanted: 9 })).toEqual([
      { kind: 'cancel-pending' },
      remove('outdated', 'expired', 'fresh'),
    ]);
    expect(actions({ running: two }, { of, wanted: 9 })).toEqual([remove('outdated', 'expired', 'fresh')]);
  });
  test('lets builds that run end, and is done when nothing is left', () => {
    expect(actions({ starting: 2 }, { of, wanted: 9 })).toEqual([]);
  });
});

describe('failures', () => {
  const backoff = { failed: 2, lastBuildAt: now };
  const until = new Date(now.getTime() + 120_000);
  test('hold creation back until so many intervals after the last one, that instant included', () => {
    const at = (ms: number) => actions({ backoff }, { at: new Date(until.getTime() + ms) });
    expect(at(-1)).toEqual([{ kind: 'backoff', until }]);
    expect(at(0)).toEqual([{ kind: 'backoff', until }]);
    expect(at(1)).toEqual([create(1)]);
  });
  test('hold back neither deletions nor a pool that is full', () => {
    const of = { invalidateAfterSecs: 3600 };
    expect(actions({ backoff, running: running({ a: 3601 }) }, { of })).toEqual([
      remove('expired', 'a'),
      { kind: 'backoff', until },
    ]);
    expect(actions({ backoff, running: running({ a: 1, b: 2 }) })).toEqual([remove('extraneous', 'b')]);
    expect(actions({ backoff, running: running({ a: 1 }) })).toEqual([]);
  });
  test.each([
    ['the hard limit', { hardLimited: true }, {}],
    ['quota', { quotaBlocked: true }, {}],
    ['validation', {}, { status: 'validation_failed' }],
  ] as const)('of %s end creation, not deletion', (_title, known, of) => {
    const expiring = { ...of, invalidateAfterSecs: 3600 };
    expect(actions(known, { of, wanted: 3 })).toEqual([]);
    expect(actions({ ...known, backoff }, { of, wanted: 3 })).toEqual([]);
    expect(actions({ ...known, running: running({ a: 3601, b: 1 }) }, { of: expiring, wanted: 3 })).toEqual([
      remove('expired', 'a'),
    ]);
    expect(actions({ ...known, running: running({ a: 1, b: 2 }) }, { of })).toEqual([remove('extraneous', 'b')]);
  });
  test('of the past end nothing: a status whose reason is gone does not count', () => {
    expect(actions({}, { of: { status: 'hard_limited' } })).toEqual([create(1)]);
  });
});

describe('failed prebuilds', () => {
  const failed = [5000, 4000, 3000, 2000, 10].map((age) => ({ id: `f${age}`, createdAt: ago(age) }));
  const retention = { failedRetentionMs: 1_000_000 };
  test('are kept for ever unless a retention is set', () => {
    expect(actions({ failed }, { wanted: 0 })).toEqual([]);
  });
  test('are deleted when they are older than it; the newest stay as evidence of the limit', () => {
    expect(actions({ failed }, { wanted: 0, rules: retention })).toEqual([
      remove('failed-retention', 'f5000', 'f4000'),
    ]);
    expect(
      actions({ failed: failed.toReversed() }, { wanted: 0, rules: { ...retention, failureHardLimit: 0 } }),
    ).toEqual([remove('failed-retention', 'f5000', 'f4000', 'f3000', 'f2000')]);
  });
  test('of a pool that is no longer active are no evidence', () => {
    expect(actions({ failed }, { of: { active: false }, rules: retention })).toEqual([
      remove('failed-retention', 'f5000', 'f4000', 'f3000', 'f2000'),
    ]);
  });
});

describe('the state of a pool', () => {
  const pool = facts({
    running: [...running({ a: 1, b: 2 }), ...running({ c: 3 }, { ready: false }), ...running({ d: 3601 })],
    starting: 4,
    stopping: 5,
    deleting: 6,
  });
  const of = { invalidateAfterSecs: 3600 };
  const counts = { actual: 4, expired: 1, starting: 4, stopping: 5, deleting: 6 };
  test('counts what runs; only ready ones that have not expired can be claimed', () => {
    const state = poolState(preset(of), pool, { now, wanted: 2 });
    expect(state).toEqual({ ...counts, eligible: 2, desired: 2, extraneous: 1 });
  });
  test('has nothing to claim and no wish when it is not active', () => {
    const state = poolState(preset({ ...of, active: false }), pool, { now, wanted: 2 });
    expect(state).toEqual({ ...counts, eligible: 0, desired: 0, extraneous: 0 });
  });
});

describe('a pool is skipped', () => {
  const flags = [false, true];
  const table = flags.flatMap((active) =>
    flags.flatMap((runs) =>
      flags.flatMap((expired) =>
        flags.flatMap((pending) => flags.map((backoff) => ({ active, runs, expired, pending, backoff }))),
      ),
    ),
  );
  test('only when it is not active and nothing of it runs, has expired, waits or failed lately', () => {
    expect(table).toHaveLength(32);
    const skipped = table.filter(({ active, runs, expired, pending, backoff }) =>
      canSkip(
        preset({ active, invalidateAfterSecs: 3600 }),
        facts({
          running: [...(runs ? running({ a: 1 }) : []), ...(expired ? running({ b: 3601 }) : [])],
          pendingNonActive: pending ? 1 : 0,
          backoff: backoff ? { failed: 1, lastBuildAt: now } : null,
        }),
      ),
    );
    expect(skipped).toEqual([{ active: false, runs: false, expired: false, pending: false, backoff: false }]);
  });
  test('not while failed ones are left that a retention may end', () => {
    expect(canSkip(preset({ active: false }), facts({ failed: [{ id: 'f', createdAt: now }] }))).toBe(false);
  });
});

describe('whatever the snapshot', () => {
  const small = fc.nat(6);
  const prebuilds = fc.uniqueArray(
    fc.record({
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'),
      age: fc.constantFrom(1, 2, 3599, 3600, 3601, 9000),
      ready: fc.boolean(),
    }),
    { selector: ({ id }) => id },
  );
  const pools = fc.record({ prebuilds, starting: small, stopping: small, deleting: small, wanted: small });
  const built = (rows: { id: string; age: number; ready: boolean }[]) =>
    rows.flatMap(({ id, age, ready }) => running({ [id]: age }, { ready }));
  const of = { invalidateAfterSecs: 3600 };
  const deletedBy = (list: readonly PrebuildAction[]) =>
    list.flatMap((action) => (action.kind === 'delete' ? action.workspaces.map(({ id }) => id) : []));
  const createdBy = (list: readonly PrebuildAction[]) =>
    list.reduce((sum, action) => sum + (action.kind === 'create' ? action.count : 0), 0);

  test('a pool reaches its size, loses no more than it must, and is at rest once that is done', () => {
    fc.assert(
      fc.property(pools, fc.nat(3), ({ prebuilds: rows, wanted, ...counts }, rotation) => {
        const known = facts({ running: built(rows), ...counts });
        const options = { now, wanted, rules };
        const found = calculateActions(preset(of), known, options);
        const { expired, extraneous, actual } = poolState(preset(of), known, options);
        const [created, deleted] = [createdBy(found), deletedBy(found)];
        const kept = Math.min(actual - expired, wanted);
        expect(kept + known.starting + created).toBe(Math.max(wanted, kept + known.starting));
        expect(created).toBeLessThanOrEqual(wanted);
        expect(new Set(deleted).size).toBe(deleted.length);
        expect(deleted).toHaveLength(extraneous + expired);
        const after = {
          ...known,
          running: known.running.filter(({ id }) => !deleted.includes(id)),
          starting: known.starting + created,
          deleting: known.deleting + deleted.length,
        };
        expect(calculateActions(preset(of), after, options)).toEqual([]);
        const shuffled = [...known.running.slice(rotation), ...known.running.slice(0, rotation)].toReversed();
        expect(calculateActions(preset(of), { ...known, running: shuffled }, options)).toEqual(found);
      }),
    );
  });

  test('what holds creation back changes nothing about deletions', () => {
    const held = fc.record({ hardLimited: fc.boolean(), quotaBlocked: fc.boolean(), failed: fc.nat(3) });
    fc.assert(
      fc.property(pools, held, ({ prebuilds: rows, wanted, ...counts }, { failed, ...suppressed }) => {
        const known = facts({ running: built(rows), ...counts });
        const backoff = failed === 0 ? null : { failed, lastBuildAt: ago(61) };
        const options = { now, wanted, rules };
        const free = calculateActions(preset(of), known, options);
        const found = calculateActions(preset(of), { ...known, ...suppressed, backoff }, options);
        expect(deletedBy(found)).toEqual(deletedBy(free));
        // One failure a minute ago is over, two are not.
        const suppresses = suppressed.hardLimited || suppressed.quotaBlocked || failed > 1;
        expect(createdBy(found)).toBe(suppresses ? 0 : createdBy(free));
      }),
    );
  });
});
