import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkTtl, workspaceTtl } from '../../domain/workspace-settings.ts';

const open = { defaultTtlMs: 3_600_000, allowUserAutostop: true };
const days = 24 * 3_600_000;

describe('the time to live of a workspace', () => {
  test.each([
    [null, open, 3_600_000],
    [0, open, 3_600_000],
    [90_000, open, 60_000],
    [30 * days, open, 30 * days],
    [30 * days + 59_999, open, 30 * days],
    [null, { ...open, defaultTtlMs: 0 }, null],
    [0, { ...open, defaultTtlMs: 0 }, null],
    [120_000, { ...open, allowUserAutostop: false }, 3_600_000],
    [120_000, { defaultTtlMs: 0, allowUserAutostop: false }, null],
  ])('asked for %s with %j is %s', (asked, template, expected) => {
    expect(workspaceTtl(asked, template)).toBe(expected);
  });

  test.each([1, 59_999, -1, -60_000, 30 * days + 60_000])(
    'of %s is refused by its field, also when it would not count',
    (asked) => {
      for (const template of [open, { ...open, allowUserAutostop: false }])
        expect(() => workspaceTtl(asked, template)).toThrow(
          expect.objectContaining({
            code: 'INVALID_INPUT',
            validations: [expect.objectContaining({ field: 'ttl_ms' })],
          }),
        );
    },
  );

  test('is always whole minutes within the limits, and never more than asked', () => {
    fc.assert(
      fc.property(fc.integer({ min: 60_000, max: 30 * days + 59_999 }), (asked) => {
        const ttl = checkTtl(asked);
        expect(ttl % 60_000).toBe(0);
        expect(ttl).toBeGreaterThan(asked - 60_000);
        expect(ttl).toBeLessThanOrEqual(asked);
      }),
    );
  });
});
