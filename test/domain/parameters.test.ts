import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { type ResolveParametersInput, matchPreset, resolveParameters } from '../../domain/parameters.ts';
import { parameter } from './parameter-builder.ts';

const base: ResolveParametersInput = {
  parameters: [],
  requested: [],
  preset: null,
  previous: [],
  transition: 'start',
  isFirstBuild: false,
  isClaim: false,
  mode: 'build',
};
const resolve = (input: Partial<ResolveParametersInput>) => resolveParameters({ ...base, ...input });
const value = (name: string, text: string) => ({ name, value: text });

function offences(input: Partial<ResolveParametersInput>) {
  try {
    resolve(input);
  } catch (err) {
    if (err instanceof DomainError && err.code === 'INVALID_INPUT')
      return Object.fromEntries(err.validations.map(({ field, detail }) => [field, detail]));
    throw err;
  }
  throw new Error('nothing was refused');
}

describe('source of a value', () => {
  const cpu = parameter('cpu', { defaultValue: '1' });
  test.each([
    [
      'preset before everything',
      { preset: [value('cpu', '4')], requested: [value('cpu', '3')], previous: [value('cpu', '2')] },
      '4',
    ],
    ['request before the previous build', { requested: [value('cpu', '3')], previous: [value('cpu', '2')] }, '3'],
    ['previous build before the default', { previous: [value('cpu', '2')] }, '2'],
    ['default at last', {}, '1'],
    [
      'a preset that says nothing of it does not matter',
      { preset: [value('ram', '9')], requested: [value('cpu', '3')] },
      '3',
    ],
    ['an empty request asks for the default', { requested: [value('cpu', '')], previous: [value('cpu', '2')] }, '1'],
  ] as const)('%s', (_title, input, expected) => {
    expect(resolve({ parameters: [cpu], ...input }).values).toEqual([value('cpu', expected)]);
  });

  test('an ephemeral value is not carried into the next build', () => {
    const debug = parameter('debug', { type: 'bool', ephemeral: true, defaultValue: 'false' });
    expect(resolve({ parameters: [debug], requested: [value('debug', 'true')] }).values).toEqual([
      value('debug', 'true'),
    ]);
    expect(resolve({ parameters: [debug], previous: [value('debug', 'true')] }).values).toEqual([
      value('debug', 'false'),
    ]);
  });

  test('every parameter of the version is stored, defaults too, and nothing else', () => {
    const { values } = resolve({
      parameters: [parameter('a', { defaultValue: 'x' }), parameter('b', { defaultValue: 'y' })],
      previous: [value('gone', '1')],
      preset: [value('stale', '2')],
    });
    expect(values).toEqual([value('a', 'x'), value('b', 'y')]);
  });
});

describe('names', () => {
  const parameters = [parameter('cpu', { defaultValue: '1' })];
  test('an unknown name is refused when a workspace is created', () => {
    expect(Object.keys(offences({ parameters, requested: [value('stale', '1')], mode: 'create' }))).toEqual(['stale']);
  });
  test('an unknown name is ignored and reported on a later build', () => {
    expect(resolve({ parameters, requested: [value('stale', '1')] })).toEqual({
      values: [value('cpu', '1')],
      ignored: ['stale'],
    });
  });
  test('a name that is given twice is refused', () => {
    expect(offences({ parameters, requested: [value('cpu', '1'), value('cpu', '2')] })).toHaveProperty('cpu');
  });
});

describe('immutable parameters', () => {
  const parameters = [parameter('region', { mutable: false, defaultValue: 'eu' })];
  const previous = [value('region', 'us')];
  test('a changed value is refused', () => {
    expect(offences({ parameters, previous, requested: [value('region', 'eu')] }).region).toMatch(/cannot be changed/);
  });
  test('a changed value from a preset is refused, too', () => {
    expect(offences({ parameters, previous, preset: [value('region', 'eu')] })).toHaveProperty('region');
  });
  test('the same value is accepted', () => {
    expect(resolve({ parameters, previous, requested: [value('region', 'us')] }).values).toEqual(previous);
  });
  test('the first build and a claim may set them', () => {
    for (const exception of [{ isFirstBuild: true }, { isClaim: true }])
      expect(resolve({ parameters, previous, requested: [value('region', 'eu')], ...exception }).values).toEqual([
        value('region', 'eu'),
      ]);
  });
});

describe('required parameters', () => {
  const parameters = [parameter('key', { required: true })];
  test('without any value the name is reported', () => {
    expect(offences({ parameters, isFirstBuild: true, mode: 'create' })).toEqual({ key: 'A value is required.' });
  });
  test('an empty value does not count', () => {
    expect(offences({ parameters, requested: [value('key', '')] })).toHaveProperty('key');
  });
  test('the value of the previous build counts', () => {
    expect(resolve({ parameters, previous: [value('key', 'k')] }).values).toEqual([value('key', 'k')]);
  });
});

test('a monotonic parameter may stay or grow but not shrink', () => {
  const parameters = [parameter('disk', { type: 'number', defaultValue: '1', validationMonotonic: 'increasing' })];
  const previous = [value('disk', '4')];
  expect(offences({ parameters, previous, requested: [value('disk', '3')] })).toHaveProperty('disk');
  expect(resolve({ parameters, previous, requested: [value('disk', '4')] }).values).toEqual(previous);
  expect(resolve({ parameters, previous, requested: [value('disk', '5')] }).values).toEqual([value('disk', '5')]);
});

test('all offences are reported at once, each under the name of its parameter', () => {
  const fields = offences({
    parameters: [
      parameter('cpu', { type: 'number', validationMax: 8, defaultValue: '1' }),
      parameter('key', { required: true }),
      parameter('region', { mutable: false }),
    ],
    requested: [value('cpu', '9'), value('region', 'x'), value('nonsense', '1')],
    previous: [value('region', 'y')],
    mode: 'create',
  });
  expect(Object.keys(fields).toSorted()).toEqual(['cpu', 'key', 'nonsense', 'region']);
});

test.each(['stop', 'delete'] as const)('%s takes over what there is without judging it', (transition) => {
  const result = resolve({
    transition,
    parameters: [
      parameter('cpu', { type: 'number', validationMax: 8, defaultValue: '1' }),
      parameter('key', { required: true }),
      parameter('once', { ephemeral: true, defaultValue: 'no' }),
    ],
    previous: [value('cpu', '99'), value('once', 'yes')],
    requested: [value('cpu', '2')],
  });
  expect(result).toEqual({ values: [value('cpu', '99'), value('key', ''), value('once', 'no')], ignored: ['cpu'] });
});

test('resolving the resolved values again changes nothing', () => {
  const parameters = fc.uniqueArray(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      mutable: fc.boolean(),
      ephemeral: fc.boolean(),
      required: fc.boolean(),
      defaultValue: fc.constantFrom('', '1', '2'),
    }),
    { selector: (one) => one.name },
  );
  const values = fc.uniqueArray(
    fc.record({ name: fc.constantFrom('a', 'b', 'c'), value: fc.constantFrom('1', '2', '3') }),
    {
      selector: (one) => one.name,
    },
  );
  fc.assert(
    fc.property(parameters, values, values, (definitions, requested, previous) => {
      const input = {
        parameters: definitions.map(({ name, ...rest }) => parameter(name, rest)),
        requested,
        previous,
        isFirstBuild: true,
      };
      let first;
      try {
        first = resolve(input);
      } catch (err) {
        expect(err).toBeInstanceOf(DomainError);
        return;
      }
      const again = resolve({ ...input, isFirstBuild: false, requested: first.values, previous: first.values });
      expect(again.values).toEqual(first.values);
      expect(again.ignored).toEqual([]);
    }),
  );
});

describe('matching a preset', () => {
  const parameters = [
    parameter('cpu', { defaultValue: '2' }),
    parameter('region', { defaultValue: 'us' }),
    parameter('disk', { defaultValue: '10' }),
  ];
  const preset = (name: string, values: Record<string, string>, isDefault = false) => ({
    name,
    isDefault,
    parameters: Object.entries(values).map(([key, text]) => value(key, text)),
  });
  const four = preset('four', { cpu: '4' });
  const fourInEurope = preset('four-eu', { cpu: '4', region: 'eu' });
  const match = (presets: (typeof four)[], requested: Record<string, string>) =>
    matchPreset(
      presets,
      parameters,
      Object.entries(requested).map(([key, text]) => value(key, text)),
    )?.name ?? null;

  test('the one with the most parameters wins', () => {
    expect(match([four, fourInEurope], { cpu: '4', region: 'eu', disk: '20' })).toBe('four-eu');
    expect(match([four, fourInEurope], { cpu: '4' })).toBe('four');
  });
  test('none fits when a value differs', () => {
    expect(match([four, fourInEurope], { cpu: '8' })).toBeNull();
  });
  test('a default counts as the value of a name that was not requested', () => {
    expect(match([preset('small', { cpu: '2', region: 'us' })], {})).toBe('small');
  });
  test('among equals the default preset wins, then the name', () => {
    const named = ['b', 'a', 'c'].map((name) => preset(name, { cpu: '4' }));
    expect(match(named, { cpu: '4' })).toBe('a');
    expect(match([...named, preset('z', { cpu: '4' }, true)], { cpu: '4' })).toBe('z');
  });
  test('a preset without parameters fits everything, but weakest', () => {
    expect(match([preset('any', {}), four], { cpu: '8' })).toBe('any');
    expect(match([preset('any', {}, true), four], { cpu: '4' })).toBe('four');
  });
  test('a preset that names an unknown parameter fits nothing', () => {
    expect(match([preset('stale', { cpu: '2', gone: '1' })], {})).toBeNull();
  });
});
