import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planContinuation, unsettledCreations } from '../../domain/continuation.ts';

const plan = (changes: Partial<Parameters<typeof planContinuation>[0]>) =>
  planContinuation({
    suspects: [],
    finished: [],
    state: new Map(),
    before: new Map(),
    hasProvisioners: () => true,
    ...changes,
  });

describe('after a Terraform that was cut off', () => {
  test.each([
    ['a creation that the state does not know may exist', {}, { possibleOrphans: ['a'], replace: [] }],
    [
      'one that ended, but is not in the saved state, exists outside of it',
      { finished: ['a'] },
      { possibleOrphans: ['a'], replace: [] },
    ],
    [
      'one that the state knows without a sign of its end is made anew',
      { state: new Map([['a', 'new']]) },
      { possibleOrphans: [], replace: ['a'] },
    ],
    [
      'not, when it has no provisioners: the provider was done with it',
      { state: new Map([['a', 'new']]), hasProvisioners: () => false },
      { possibleOrphans: [], replace: [] },
    ],
    [
      'one that ended and is saved is whole',
      { state: new Map([['a', 'new']]), finished: ['a'] },
      { possibleOrphans: [], replace: [] },
    ],
    [
      'a replacement whose old object still stands in the state may exist beside it',
      { state: new Map([['a', 'old']]), before: new Map([['a', 'old']]) },
      { possibleOrphans: ['a'], replace: [] },
    ],
  ])('%s', (_title, changes, expected) => {
    expect(plan({ suspects: ['a'], ...changes })).toEqual(expected);
  });

  const addresses = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'));
  const stateOf = (names: readonly string[], id: string) => new Map(names.map((name) => [name, id]));

  test('nothing is forgotten: each suspect is saved whole, replaced, or reported; the order does not matter', () => {
    fc.assert(
      fc.property(addresses, addresses, addresses, addresses, (suspects, finished, saved, old) => {
        const input = { suspects, finished, state: stateOf(saved, 'new'), before: stateOf(old, 'old') };
        const { possibleOrphans, replace } = plan(input);
        const whole = suspects.filter((address) => saved.includes(address) && finished.includes(address));
        expect([...possibleOrphans, ...replace, ...whole].toSorted()).toEqual(suspects.toSorted());
        expect(plan({ ...input, suspects: suspects.toReversed() })).toEqual({ possibleOrphans, replace });
      }),
    );
  });

  test('a creation is settled only when it has ended and stands in a stored state', () => {
    fc.assert(
      fc.property(addresses, addresses, addresses, (announced, created, stored) => {
        const unsettled = unsettledCreations(announced, new Set(created), new Set(stored));
        for (const address of announced)
          expect(unsettled.includes(address)).toBe(!(created.includes(address) && stored.includes(address)));
        expect(unsettledCreations([], new Set(created), new Set(stored))).toEqual([]);
      }),
    );
  });
});
