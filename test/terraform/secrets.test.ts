import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRedactor, sensitiveValues } from '../../terraform/secrets.ts';

describe('the redactor', () => {
  test('masks every occurrence', () => {
    expect(createRedactor(['hunter2x']).redact('a hunter2x b hunter2xhunter2x')).toBe('a [redacted] b [redacted]');
  });
  test('leaves short strings alone, they would be ordinary words', () => {
    expect(createRedactor(['true', 'small', '']).redact('true small')).toBe('true small');
  });
  test('masks overlapping secrets as one, leaving no half', () => {
    expect(createRedactor(['abcdef', 'defghi', 'abcdefgh']).redact('-abcdefghi-')).toBe('-[redacted]-');
  });
  test('masks the longest of several with one beginning', () => {
    expect(createRedactor(['secret', 'secret-and-more']).redact('secret-and-more')).toBe('[redacted]');
  });
  test('masks each line of a secret with several lines', () => {
    const key = '-----BEGIN KEY-----\n  bGluZSBvbmU\nbGluZSB0d28\n-----END KEY-----\n';
    const { redact } = createRedactor([key]);
    expect(redact('out: bGluZSBvbmU')).toBe('out: [redacted]');
    expect(redact(`whole ${key}`)).toBe('whole [redacted]');
  });
  test('masks a secret inside JSON, as JavaScript and as Go write it', () => {
    const secret = 'a"b\\c<d>&e\n--more--';
    const { redact } = createRedactor([secret]);
    expect(redact(JSON.stringify({ secret }))).toBe('{"secret":"[redacted]"}');
    const go = JSON.stringify({ secret }).replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026');
    expect(redact(go)).toBe('{"secret":"[redacted]"}');
  });
  test('learns secrets later', () => {
    const redactor = createRedactor();
    expect(redactor.redact('late-secret')).toBe('late-secret');
    redactor.add(['late-secret']);
    expect(redactor.redact('late-secret')).toBe('[redacted]');
  });

  const secret = fc.string({ unit: fc.constantFrom('x', 'y', 'z', '"', '\\', 'é', '😀'), minLength: 6, maxLength: 12 });
  test('never lets one through, wherever it stands', () => {
    fc.assert(
      fc.property(fc.array(secret, { minLength: 1 }), fc.array(fc.string()), (secrets, texts) => {
        const { redact } = createRedactor(secrets);
        const masked = redact(texts.flatMap((text, i) => [text, secrets[i % secrets.length] ?? '']).join(''));
        for (const one of secrets) expect(masked).not.toContain(one);
      }),
    );
  });
  test('changes nothing when no secret is there, and nothing more the second time', () => {
    fc.assert(
      fc.property(fc.array(secret), fc.string(), (secrets, text) => {
        const { redact } = createRedactor(secrets);
        expect(redact(redact(text))).toBe(redact(text));
        if (!secrets.some((one) => text.includes(one))) expect(redact(text)).toBe(text);
      }),
    );
  });
  test('stays fast with thousands of secrets and lines', () => {
    const secrets = Array.from({ length: 5_000 }, (_, i) => `secret-number-${i}`);
    const { redact } = createRedactor(secrets);
    const began = performance.now();
    for (let i = 0; i < 10_000; i++)
      redact(`terraform_data.x[${i}]: Creation complete after 0s [id=3c36e9dd-7868-b04f]`);
    expect(performance.now() - began).toBeLessThan(3_000);
  });
});

describe('sensitive values', () => {
  const of = (values: unknown, mask: unknown) => [...sensitiveValues(values, mask)];
  test('are the texts that the mask marks, at any depth', () => {
    const values = { a: 'one', b: { c: ['two', 'three'], d: 'four' }, e: [{ f: 'five' }, { f: 'six' }], g: 7 };
    const mask = { b: { c: true }, e: [{}, { f: true }], g: true };
    expect(of(values, mask)).toEqual(['two', 'three', 'six']);
  });
  test('a mask of another shape marks nothing', () => {
    expect(of('text', { a: true })).toEqual([]);
    expect(of({ a: 'x' }, [true])).toEqual([]);
    expect(of({ a: 'x' }, false)).toEqual([]);
    expect(of(undefined, true)).toEqual([]);
  });
});
