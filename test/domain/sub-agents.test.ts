import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  agentNameProblem,
  appSlugProblem,
  clampSharingLevel,
  effectiveHealthcheck,
  isAgentNameTaken,
  sharingLevels,
  storedAppSlug,
  toBase32Hex,
} from '../../domain/sub-agents.ts';

describe('The name of a sub-agent', () => {
  test('has letters, digits and single hyphens between them', () => {
    for (const name of ['dev', 'Dev', 'a-b', '1', 'a1-b2', 'x'.repeat(64)])
      expect([name, agentNameProblem(name)]).toEqual([name, undefined]);
    for (const name of ['', 'a--b', 'a_b', '-a', 'a-', 'a b', 'ä', 'a\n', 'x'.repeat(65)])
      expect([name, agentNameProblem(name)]).not.toEqual([name, undefined]);
  });

  test('is taken by one that differs in capitals only', () => {
    expect(isAgentNameTaken('dev', ['main', 'Dev'])).toBe(true);
    expect(isAgentNameTaken('dev', ['main', 'dev-2'])).toBe(false);
  });
});

describe('The slug of an app', () => {
  test('is lower-case and used once in a request', () => {
    expect(appSlugProblem('code-server', [])).toBeUndefined();
    expect(appSlugProblem('Code', [])).toBeDefined();
    expect(appSlugProblem('', [])).toBeDefined();
    expect(appSlugProblem('a', ['b', 'a'])).toBe('is already used by an earlier app');
  });

  test('is stored behind eight characters of the hash of agent and slug', () => {
    const digest = createHash('sha256').update('dev/code').digest();
    expect(storedAppSlug(digest, 'code')).toMatch(/^[0-9a-v]{8}-code$/);
    expect(storedAppSlug(digest, 'code')).toBe(`${toBase32Hex(digest).slice(0, 8)}-code`);
    expect(storedAppSlug(createHash('sha256').update('other/code').digest(), 'code')).not.toBe(
      storedAppSlug(digest, 'code'),
    );
  });

  test('is written in base32hex as RFC 4648 shows it', () => {
    const vectors = {
      '': '',
      f: 'co',
      fo: 'cpng',
      foo: 'cpnmu',
      foob: 'cpnmuog',
      fooba: 'cpnmuoj1',
      foobar: 'cpnmuoj1e8',
    };
    for (const [text, encoded] of Object.entries(vectors)) expect(toBase32Hex(Buffer.from(text))).toBe(encoded);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(toBase32Hex(bytes)).toHaveLength(Math.ceil((bytes.length * 8) / 5));
      }),
    );
  });
});

test('an app is shared no further than the template allows', () => {
  expect(clampSharingLevel('public', 'organization')).toBe('organization');
  expect(clampSharingLevel('owner', 'public')).toBe('owner');
  const level = fc.constantFrom(...sharingLevels);
  fc.assert(
    fc.property(level, level, (asked, maximum) => {
      const given = clampSharingLevel(asked, maximum);
      expect(sharingLevels.indexOf(given)).toBeLessThanOrEqual(sharingLevels.indexOf(maximum));
      expect(clampSharingLevel(given, maximum)).toBe(given);
    }),
  );
});

test('a health check without a pace gets one', () => {
  expect(effectiveHealthcheck({ url: 'http://x', interval: 0, threshold: 9 })).toEqual({
    url: 'http://x',
    interval: 5,
    threshold: 3,
  });
  expect(effectiveHealthcheck({ url: 'http://x', interval: 7, threshold: 9 }).interval).toBe(7);
  expect(effectiveHealthcheck({ url: '', interval: 0, threshold: 0 }).interval).toBe(0);
});
