import { describe, expect, test } from 'vitest';
import {
  type ClaimFacts,
  type PoolRow,
  isAtRest,
  judgeChange,
  judgeClaim,
  poolStart,
  startFor,
} from '../../../faults/pool-oracle.ts';
import { createRandom } from '../../../faults/random.ts';
import { drawVictim } from '../../../faults/victims.ts';

const prebuild = (id: string, facts: Partial<PoolRow> = {}): PoolRow => ({
  id,
  isPrebuild: true,
  claimed: false,
  deleted: false,
  transition: 'start',
  versionId: 'v1',
  status: 'succeeded',
  over: true,
  error: '',
  ...facts,
});
const claimed = (id: string) => prebuild(id, { isPrebuild: false, claimed: true });
const removed = (id: string) => prebuild(id, { deleted: true, transition: 'delete' });

describe('a pool', () => {
  const wanted = { versionId: 'v1', size: 1 };
  test('is at rest when it has what it is to have and no build is going on', () => {
    expect(isAtRest([prebuild('a'), removed('b'), claimed('c')], wanted)).toBe(true);
    expect(isAtRest([], { ...wanted, size: 0 })).toBe(true);
  });
  test.for<[string, PoolRow[]]>([
    ['too few', []],
    ['too many', [prebuild('a'), prebuild('b')]],
    ['one of another version', [prebuild('a', { versionId: 'v2' })]],
    ['one that failed', [prebuild('a', { status: 'failed' })]],
    ['one that is being built', [prebuild('a', { status: 'running', over: false })]],
    ['a delete that waits', [prebuild('a'), prebuild('b', { transition: 'delete', status: 'pending', over: false })]],
    ['a claim that waits', [prebuild('a'), { ...claimed('b'), status: 'pending', over: false }]],
  ])('is not at rest with %s', ([, rows]) => {
    expect(isAtRest(rows, wanted)).toBe(false);
  });
});

describe('a change of a pool', () => {
  const kinds = (before: PoolRow[], after: PoolRow[], [created, removals, claims]: [number, number, number]) =>
    judgeChange(before, after, { created, removed: removals, claimed: claims }).map(({ kind }) => kind);

  test('is right when just so many were made, removed and given away', () => {
    expect(kinds([prebuild('a')], [prebuild('a'), prebuild('b')], [1, 0, 0])).toEqual([]);
    expect(kinds([prebuild('a')], [removed('a')], [0, 1, 0])).toEqual([]);
    expect(kinds([prebuild('a')], [claimed('a'), prebuild('b')], [1, 0, 1])).toEqual([]);
    // What was over before does not count.
    expect(kinds([removed('x'), claimed('y')], [removed('x'), claimed('y')], [0, 0, 0])).toEqual([]);
  });
  test('finds one too many although it was removed again', () => {
    expect(kinds([], [prebuild('a'), removed('b')], [1, 0, 0])).toEqual(['duplicate']);
  });
  test('finds one that was removed instead of kept, and a row that is gone', () => {
    expect(kinds([prebuild('a')], [removed('a'), prebuild('b')], [0, 0, 0])).toEqual(['duplicate', 'lost']);
    expect(kinds([prebuild('a')], [], [0, 0, 0])).toEqual(['lost']);
  });
  test('finds a claim that took two, and one that took none', () => {
    const before = [prebuild('a'), prebuild('b')];
    expect(kinds(before, [claimed('a'), claimed('b')], [0, 0, 1])).toEqual(['duplicate']);
    const built = prebuild('c', { isPrebuild: false });
    expect(kinds(before, [...before, built], [1, 0, 1])).toEqual(['lost', 'lost']);
  });
});

describe('a claim', () => {
  const claimant = { id: 'u1', name: 'ann', secret: 'SECRET_ANN=1' };
  const right: ClaimFacts = {
    claimant,
    strangers: ['bob', 'SECRET_BOB'],
    ownerId: 'u1',
    wasPrebuild: true,
    namesakes: 1,
    builds: [
      { number: 1, initiatorIsOwner: false, handedOver: false },
      { number: 2, initiatorIsOwner: true, handedOver: true },
    ],
    handsOver: true,
    starts: [poolStart, startFor(claimant)],
    manifest: { ownerId: 'u1', text: '{"owner_name":"ann"}' },
  };
  const kinds = (facts: Partial<ClaimFacts>) => new Set(judgeClaim({ ...right, ...facts }).map(({ kind }) => kind));

  test('is right when one prebuild went to one owner and its agent began anew once', () => {
    expect(judgeClaim(right)).toEqual([]);
  });
  test.for<[string, string[], Partial<ClaimFacts>]>([
    ['a workspace that was no prebuild', ['lost'], { wasPrebuild: false }],
    ['a second workspace', ['duplicate'], { namesakes: 2 }],
    ['another owner', ['two_owners'], { ownerId: 'u2' }],
    ['an agent that never began anew', ['wrong'], { starts: [poolStart] }],
    ['an agent that began anew twice', ['wrong'], { starts: [poolStart, startFor(claimant), startFor(claimant)] }],
    ['an agent that never ran in the pool', ['wrong'], { starts: [startFor(claimant)] }],
    ['an author who is still the pool', ['two_owners'], { starts: [poolStart, 'ann prebuilds SECRET_ANN=1'] }],
    ['a secret that is not there', ['two_owners'], { starts: [poolStart, 'ann ann '] }],
    ['a secret of somebody else', ['two_owners'], { starts: [poolStart, 'ann ann SECRET_ANN=1,SECRET_BOB=2'] }],
    ['a secret in the pool', ['wrong', 'two_owners'], { starts: [`${poolStart}SECRET_BOB=2`, startFor(claimant)] }],
    ['a secret in the manifest', ['two_owners'], { manifest: { ownerId: 'u1', text: 'SECRET_BOB' } }],
    ['the manifest of somebody else', ['two_owners'], { manifest: { ownerId: 'u2', text: '' } }],
    ['a second claim build', ['wrong'], { builds: [...right.builds, right.builds[1]!] }],
    ['an agent that was to be handed over and was not', ['wrong'], { handsOver: false }],
  ])('is wrong with %s', ([, wanted, facts]) => {
    expect(kinds(facts)).toEqual(new Set(wanted));
  });
});

test('victims are drawn in their shares', () => {
  const random = createRandom(7);
  const shares = { api: 0.25, control: 0.5, provisioner: 0.25, postgres: 0 };
  const drawn = Array.from({ length: 2_000 }, () => drawVictim(random, shares));
  const share = (victim: string) => drawn.filter((each) => each === victim).length / drawn.length;
  expect([share('api'), share('control'), share('provisioner')].map((each) => Math.round(each * 20) / 20)).toEqual([
    0.25, 0.5, 0.25,
  ]);
  expect(share('postgres')).toBe(0);
});
