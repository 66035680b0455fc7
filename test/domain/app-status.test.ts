import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  cleanStatusMessage,
  isSameStatus,
  isStatusActivity,
  statusMessageProblem,
  statusUriProblem,
} from '../../domain/app-status.ts';

const anyCharacter = fc.integer({ min: 0, max: 0x10_ff_ff }).map((code) => String.fromCodePoint(code));
const awkward = fc.constantFrom(
  '<',
  '>',
  '/',
  'b',
  '\u001b',
  '[',
  ']',
  '0',
  'm',
  ' ',
  '\n',
  '\u0000',
  '\u200b',
  '\u200d',
  '\ufeff',
);

describe('A status message', () => {
  test('is one line of plain text', () => {
    expect(cleanStatusMessage('  \u001b[31mred\u001b[0m\n\ttext\u0000 <b onclick="x">bold</b> <script>')).toBe(
      'red text bold',
    );
    expect(cleanStatusMessage('a\u202eb\u200bc')).toBe('abc');
    expect(cleanStatusMessage('a \u200b\u0000 b')).toBe('a b');
    expect(cleanStatusMessage('👩\u200d💻')).toBe('👩\u200d💻');
    expect(cleanStatusMessage('\u001b]0;title\u0007done ✅')).toBe('done ✅');
  });

  test('has no control or markup characters, whatever comes, and does not change when cleaned again', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(awkward, anyCharacter), { maxLength: 60 }), (characters) => {
        const text = characters.join('');
        const clean = cleanStatusMessage(text);
        expect(clean).not.toMatch(/[<>\p{Cc}\p{Cs}]/u);
        expect(cleanStatusMessage(clean)).toBe(clean);
      }),
    );
  });

  test('has at most 160 characters, counted as people count them', () => {
    expect(statusMessageProblem('x'.repeat(160))).toBeUndefined();
    expect(statusMessageProblem('🎉'.repeat(160))).toBeUndefined();
    expect(statusMessageProblem('x'.repeat(161))).toBeDefined();
  });
});

test('an address that would run code is refused, however it is written', () => {
  for (const uri of ['javascript:alert(1)', ' JavaScript:x', 'java\nscript:x', 'data:text/html,x', '\u0001vbscript:x'])
    expect([uri, statusUriProblem(uri)]).not.toEqual([uri, undefined]);
  for (const uri of ['', 'https://example.com/pull/1', 'file:///tmp/x', 'vscode://x', '/javascript:x'])
    expect([uri, statusUriProblem(uri)]).toEqual([uri, undefined]);
  expect(statusUriProblem(`https://e/${'x'.repeat(2_038)}`)).toBeUndefined();
  expect(statusUriProblem(`https://e/${'x'.repeat(2_039)}`)).toBeDefined();
});

test('work that begins or ends is activity; anything after it is not', () => {
  expect(isStatusActivity('working', undefined)).toBe(true);
  expect(isStatusActivity('idle', 'working')).toBe(true);
  expect(isStatusActivity('complete', 'idle')).toBe(false);
  expect(isStatusActivity('failure', undefined)).toBe(false);
});

test('two statuses are the same when state, message and address are', () => {
  const status = { state: 'idle', message: 'm', uri: null } as const;
  expect(isSameStatus(status, { ...status })).toBe(true);
  expect(isSameStatus(status, { ...status, state: 'working' })).toBe(false);
  expect(isSameStatus(status, { ...status, uri: 'https://e' })).toBe(false);
});
