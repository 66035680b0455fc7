import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type EnvironmentEntry, type MergeStrategy, mergeEnvironment } from '../../domain/environment-merge.ts';

const entry = (
  address: string,
  value: string,
  strategy: MergeStrategy = 'replace',
  name = 'PATH',
): EnvironmentEntry => ({
  address,
  name,
  value,
  strategy,
});

describe('merge strategies', () => {
  test.each([
    ['replace', 'new'],
    ['append', 'old:new'],
    ['prepend', 'new:old'],
  ] as const)('%s over a name that is set', (strategy, expected) => {
    const merged = mergeEnvironment([entry('coder_env.a', 'old'), entry('coder_env.b', 'new', strategy)]);
    expect(merged).toEqual({ PATH: expected });
  });

  test.each(['replace', 'append', 'prepend', 'error'] as const)('%s of a name that is not set sets it', (strategy) => {
    expect(mergeEnvironment([entry('coder_env.a', 'new', strategy)])).toEqual({ PATH: 'new' });
  });

  test.each(['append', 'prepend'] as const)('%s leaves no separator beside an empty value', (strategy) => {
    const first = entry('coder_env.a', '');
    expect(mergeEnvironment([first, entry('coder_env.b', 'new', strategy)])).toEqual({ PATH: 'new' });
    expect(mergeEnvironment([entry('coder_env.a', 'old'), entry('coder_env.b', '', strategy)])).toEqual({
      PATH: 'old',
    });
    expect(mergeEnvironment([first, entry('coder_env.b', '', strategy)])).toEqual({ PATH: '' });
  });

  test('error refuses a name that is set, naming variable and address', () => {
    const entries = [entry('coder_env.a', 'old'), entry('module.m.coder_env.b', 'new', 'error')];
    expect(() => mergeEnvironment(entries)).toThrow(/module\.m\.coder_env\.b.*PATH/);
  });

  test('a later entry may not touch a name that an error entry has set', () => {
    const entries = [entry('coder_env.a', 'old', 'error'), entry('coder_env.b', 'new', 'append')];
    expect(() => mergeEnvironment(entries)).toThrow(/coder_env\.b.*PATH.*coder_env\.a/);
  });
});

test('entries are taken in byte order of their full addresses, not in the order given', () => {
  const entries = [
    entry('module.inner.coder_env.path', '/inner', 'prepend'),
    entry('coder_env.z', '/z', 'append'),
    entry('coder_env.a', '/a', 'append'),
  ];
  expect(mergeEnvironment(entries)).toEqual({ PATH: '/inner:/a:/z' });
  expect(mergeEnvironment(entries.toReversed())).toEqual({ PATH: '/inner:/a:/z' });
});

test("the agent's own environment always wins and is never joined", () => {
  const merged = mergeEnvironment(
    [entry('coder_env.a', '/a', 'append'), entry('coder_env.t', 'shh', 'error', 'TOKEN')],
    new Map([
      ['PATH', '/base'],
      ['FOO', 'bar'],
    ]),
  );
  expect(merged).toEqual({ PATH: '/base', FOO: 'bar', TOKEN: 'shh' });
});

test('nothing set is null, so that the column stays empty', () => {
  expect(mergeEnvironment([])).toBeNull();
});

test.each(['', '1A', 'A-B', 'A B', 'ä'])('%j is no name of a variable', (name) => {
  expect(() => mergeEnvironment([entry('coder_env.a', 'v', 'replace', name)])).toThrow(/not a name/);
});

test('the answer never depends on the order of the resources', () => {
  const entries = fc.uniqueArray(
    fc.record({
      address: fc.stringMatching(/^coder_env\.[a-z]{1,4}$/),
      name: fc.constantFrom('A', 'B', 'C'),
      value: fc.constantFrom('', '1', '2', '3'),
      strategy: fc.constantFrom<MergeStrategy>('replace', 'append', 'prepend', 'error'),
    }),
    { selector: (one) => one.address, maxLength: 8 },
  );
  const outcome = (list: readonly EnvironmentEntry[]) => {
    try {
      return mergeEnvironment(list);
    } catch (err) {
      return (err as Error).message;
    }
  };
  fc.assert(
    fc.property(entries, fc.infiniteStream(fc.nat()), (list, order) => {
      const shuffled = list.map((one) => ({ one, at: order.next().value ?? 0 })).toSorted((a, b) => a.at - b.at);
      expect(outcome(shuffled.map(({ one }) => one))).toEqual(outcome(list));
    }),
  );
});
