import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { parseSearch, searchTerms } from '../../domain/query-language.ts';

const keys = ['owner', 'name', 'status', 'dormant', 'after', 'from', 'to'];
const parse = (query: string) => parseSearch(query, keys, { multiple: ['status'], prefixes: ['param'] });
const fieldOf = (work: () => unknown): string | undefined => {
  try {
    work();
    return undefined;
  } catch (err) {
    if (!(err instanceof DomainError) || err.code !== 'INVALID_INPUT') throw err;
    return err.validations[0]?.field;
  }
};

describe('the search language', () => {
  test('splits keys from free text and lower-cases both', () => {
    const { terms, free } = parse('Owner:Alice  Dev box name:X');
    expect(terms.get('owner')).toEqual(['alice']);
    expect(terms.get('name')).toEqual(['x']);
    expect(free).toBe('dev box');
  });

  test('keeps spaces and colons inside quotes', () => {
    expect(parse('name:"a b:c" "free: text"')).toEqual({ terms: new Map([['name', ['a b:c']]]), free: 'free: text' });
    expect(parse('"name:x"').free).toBe('name:x');
  });

  test.each(['a:b:c', ':a', 'name:', 'x "open', ':'])('refuses %s naming q', (query) => {
    expect(fieldOf(() => parse(query))).toBe('q');
  });

  test('refuses an unknown key naming it', () => {
    expect(fieldOf(() => parse('foo:1'))).toBe('foo');
    expect(fieldOf(() => parse('__proto__:1'))).toBe('__proto__');
  });

  test('refuses a key given twice where one value is expected', () => {
    expect(fieldOf(() => parse('name:a name:b'))).toBe('name');
    expect(parse('status:a status:b').terms.get('status')).toEqual(['a', 'b']);
    expect(parse('param:a=1 param:b').terms.get('param')).toEqual(['a=1', 'b']);
  });

  test('reads booleans, lists, times and days, and names the key of a bad one', () => {
    const terms = searchTerms(
      parse('dormant:T status:a,b status:c after:"2024-01-02T03:04:05Z" from:2024-01-02 to:2024-01-02'),
    );
    expect(terms.boolean('dormant')).toBe(true);
    expect(terms.list('status')).toEqual(['a', 'b', 'c']);
    expect(terms.oneOf('status', ['A', 'b', 'c'])).toEqual(['A', 'b', 'c']);
    expect(terms.instant('after')).toEqual(new Date('2024-01-02T03:04:05Z'));
    expect(terms.day('from', 'start')).toEqual(new Date('2024-01-02T00:00:00.000Z'));
    expect(terms.day('to', 'end')).toEqual(new Date('2024-01-02T23:59:59.999Z'));
    expect(terms.boolean('owner')).toBeUndefined();
    const bad = searchTerms(parse('dormant:yes status:z after:soon from:2024-02-30 to:2024-1-2'));
    expect(fieldOf(() => bad.boolean('dormant'))).toBe('dormant');
    expect(fieldOf(() => bad.oneOf('status', ['a']))).toBe('status');
    expect(fieldOf(() => bad.instant('after'))).toBe('after');
    expect(fieldOf(() => bad.day('from', 'start'))).toBe('from');
    expect(fieldOf(() => bad.day('to', 'end'))).toBe('to');
  });

  test('finds every quoted value again, whatever it is', () => {
    const value = fc.string({ minLength: 1 }).filter((text) => !text.includes('"') && !text.endsWith(':'));
    fc.assert(
      fc.property(value, fc.array(fc.stringMatching(/^[a-z]{1,6}$/), { maxLength: 4 }), (text, words) => {
        const { terms, free } = parse(`${words.join(' ')} name:"${text}"`);
        expect(terms.get('name')).toEqual([text.toLowerCase()]);
        expect(free).toBe(words.join(' '));
      }),
    );
  });

  test('answers any text with a result or an INVALID_INPUT', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        fieldOf(() => parse(text));
      }),
      { numRuns: 1000 },
    );
  });
});
