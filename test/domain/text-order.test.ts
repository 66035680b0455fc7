import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareBytes } from '../../domain/text-order.ts';

test('texts are ordered like their UTF-8 bytes', () => {
  const wellFormed = fc.string({ unit: 'grapheme' });
  fc.assert(
    fc.property(wellFormed, wellFormed, (a, b) => {
      expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});

test('a character outside the basic plane comes after every other one', () => {
  expect(['\u{1F600}', '\uFB01', 'a'].toSorted(compareBytes)).toEqual(['a', '\uFB01', '\u{1F600}']);
});
