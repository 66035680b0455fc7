import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { evaluateParameters } from '../../domain/evaluated-parameters.ts';
import { nameProblem } from '../../domain/names.ts';
import type { TemplateParameter } from '../../domain/provisioned.ts';
import { parseTemplateSearch } from '../../domain/template-search.ts';
import { generateVersionName } from '../../domain/version-names.ts';

const parameter = (over: Partial<TemplateParameter> = {}): TemplateParameter => ({
  name: 'size',
  displayName: '',
  description: '',
  icon: '',
  type: 'number',
  formType: 'input',
  mutable: true,
  defaultValue: '2',
  required: false,
  options: [],
  validationRegex: '',
  validationError: '',
  validationMonotonic: '',
  validationMin: 1,
  validationMax: 8,
  displayOrder: 0,
  ephemeral: false,
  ...over,
});

test('a generated version name is always a valid one', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 3 }),
      (numbers) => {
        let at = 0;
        const name = generateVersionName(() => numbers[at++ % numbers.length]!);
        expect(nameProblem('templateVersion', name)).toBeUndefined();
        expect(name).toMatch(/^[a-z]+_[a-z]+\d$/);
      },
    ),
  );
});

describe('the search of templates', () => {
  test('reads `me` as the caller and leaves deleted templates out by default', () => {
    expect(parseTemplateSearch('author:me', 'caller')).toMatchObject({ authorId: 'caller', deleted: false });
    expect(parseTemplateSearch('author:me', 'caller').author).toBeUndefined();
  });

  test('joins words without a key and keeps quoted spaces', () => {
    expect(parseTemplateSearch('Docker  Dev exact_display_name:"A B"', 'x')).toMatchObject({
      free: 'docker dev',
      exactDisplayName: 'a b',
    });
  });

  test('names the key of a bad value', () => {
    const field = (q: string) => {
      try {
        parseTemplateSearch(q, 'x');
      } catch (err) {
        return err instanceof DomainError ? err.validations[0]?.field : undefined;
      }
      return undefined;
    };
    expect(field('ids:1')).toBe('ids');
    expect(field('author_id:bob')).toBe('author_id');
    expect(field('deleted:perhaps')).toBe('deleted');
    expect(field('nothing:1')).toBe('nothing');
    expect(field('a:')).toBe('q');
  });
});

describe('a form of parameters', () => {
  test('shows the default where there is no input and judges each input', () => {
    const [shown] = evaluateParameters([parameter()], {}).parameters;
    expect(shown).toMatchObject({ value: '2', valid: true, diagnostics: [] });
    const [judged] = evaluateParameters([parameter()], { size: '9' }).parameters;
    expect(judged).toMatchObject({ value: '9', valid: false, diagnostics: [{ code: 'invalid_value' }] });
  });

  test('asks for what is required and tells of inputs without a parameter', () => {
    const { parameters, diagnostics } = evaluateParameters(
      [parameter({ required: true, defaultValue: '', validationMin: null, validationMax: null })],
      { zeta: '1', alpha: '1' },
    );
    expect(parameters[0]?.diagnostics).toMatchObject([{ code: 'required', severity: 'error' }]);
    expect(diagnostics.map(({ detail }) => detail)).toEqual([
      'The template has no parameter "alpha".',
      'The template has no parameter "zeta".',
    ]);
  });

  test('is not fooled by inputs named like what every object has', () => {
    const [shown] = evaluateParameters([parameter({ name: 'constructor' })], {}).parameters;
    expect(shown).toMatchObject({ value: '2', valid: true });
  });
});
