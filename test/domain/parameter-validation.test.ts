import { describe, expect, test } from 'vitest';
import { checkParameterDefinition, validateParameterValue } from '../../domain/parameter-validation.ts';
import type { TemplateParameter } from '../../domain/provisioned.ts';
import { option, parameter } from './parameter-builder.ts';

const problem = (definition: Partial<TemplateParameter>, value: string, previous?: string) =>
  validateParameterValue(parameter('p', definition), value, previous);

describe('texts', () => {
  const regex = { validationRegex: '^[a-z]+$', validationError: '{value} must be lower case' } as const;
  test('a regular expression is searched, not anchored', () => {
    expect(problem({ validationRegex: 'b', validationError: 'no' }, 'abc')).toBeNull();
    expect(problem(regex, 'abc')).toBeNull();
  });
  test("the author's text is used, with its placeholders filled literally", () => {
    expect(problem(regex, '$&')).toBe('$& must be lower case');
  });
  test('an empty default is judged like any other text', () => {
    expect(problem(regex, '')).toBe(' must be lower case');
  });
});

describe('numbers', () => {
  const bounded = { type: 'number', validationMin: 1, validationMax: 8 } as const;
  test.each(['1', '8', '+3', '007'])('%s is inside 1 to 8', (value) => expect(problem(bounded, value)).toBeNull());
  test.each(['0', '9', '1.5', 'x', '-1', '99999999999999999999'])('%s is not', (value) =>
    expect(problem(bounded, value)).not.toBeNull(),
  );
  test('bounds fill the placeholders', () => {
    expect(problem({ ...bounded, validationError: '{value}: {min} to {max}' }, '9')).toBe('9: 1 to 8');
  });
  test('without bounds any decimal number is fine', () => {
    for (const value of ['1.5', '-2e3', '.5', '5.']) expect(problem({ type: 'number' }, value)).toBeNull();
    for (const value of ['abc', '1,5', '0x', '.']) expect(problem({ type: 'number' }, value)).not.toBeNull();
  });
  test.each([
    ['increasing', '3', '4'],
    ['decreasing', '5', '4'],
  ] as const)('%s refuses %s after %s', (validationMonotonic, value, previous) => {
    expect(problem({ type: 'number', validationMonotonic }, value, previous)).toMatch(/may only/);
    expect(problem({ type: 'number', validationMonotonic }, '4', '4')).toBeNull();
  });
  test('a previous value that is no whole number is ignored', () => {
    expect(problem({ type: 'number', validationMonotonic: 'increasing' }, '1', 'large')).toBeNull();
  });
});

test.each(['1', 't', 'T', 'TRUE', 'true', 'True', '0', 'f', 'F', 'FALSE', 'false', 'False'])('%s is a bool', (value) =>
  expect(problem({ type: 'bool' }, value)).toBeNull(),
);
test.each(['yes', 'tRue', '2', ' true'])('%j is no bool', (value) =>
  expect(problem({ type: 'bool' }, value)).not.toBeNull(),
);

test('a list is a JSON array of texts', () => {
  expect(problem({ type: 'list(string)' }, '["a","b"]')).toBeNull();
  for (const value of ['a,b', '[1]', '{}', '["a"', 'null'])
    expect(problem({ type: 'list(string)' }, value)).not.toBeNull();
});

describe('options', () => {
  const options = [option('small'), option('large')];
  test('the value must be one of them', () => {
    expect(problem({ options }, 'small')).toBeNull();
    expect(problem({ options }, 'huge')).toMatch(/huge/);
  });
  test('every item of a multi-select must be one of them', () => {
    const multi = { options, type: 'list(string)', formType: 'multi-select' } as const;
    expect(problem(multi, '["small","large"]')).toBeNull();
    expect(problem(multi, '[]')).toBeNull();
    expect(problem(multi, '["small","huge"]')).toMatch(/"huge"/);
  });
});

describe('definitions that an import refuses', () => {
  const check = (definition: Partial<TemplateParameter>) => checkParameterDefinition(parameter('p', definition));
  test.each([
    ['bounds on a text', { validationMin: 1 }, /min, max and monotonic/],
    ['monotonic on a bool', { type: 'bool', validationMonotonic: 'increasing' }, /min, max and monotonic/],
    ['a regex on a number', { type: 'number', validationRegex: '1', validationError: 'x' }, /type string/],
    ['a regex without error text', { validationRegex: 'a' }, /error text/],
    ['look-ahead, which RE2 does not know', { validationRegex: '(?=a)', validationError: 'x' }, /RE2/],
    ['a back-reference', { validationRegex: '(a)\\1', validationError: 'x' }, /RE2/],
    ['two options of one name', { options: [option('1', 'n'), option('2', 'n')] }, /name "n" is used twice/],
    ['two options of one value', { options: [option('1', 'a'), option('1', 'b')] }, /value "1" is used twice/],
    ['an option that is no number', { type: 'number', options: [option('x')] }, /bad value/],
  ] as const)('%s', (_title, definition, text) => expect(check(definition)).toMatch(text));

  test('an ordinary definition passes', () => {
    expect(check({ type: 'number', validationMin: 1, validationMax: 8, validationMonotonic: 'increasing' })).toBeNull();
    expect(check({ options: [option('a'), option('b')], validationRegex: '[ab]', validationError: 'x' })).toBeNull();
  });
});
