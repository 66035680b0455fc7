import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fitLogLines, jobLogLimitBytes } from '../../domain/job-logs.ts';
import type { JobLogLine } from '../../domain/provisioned.ts';

const line = (output: string): JobLogLine => ({
  source: 'provisioner',
  level: 'info',
  stage: 'Starting workspace',
  output,
  createdAt: new Date(0),
});
const empty = { length: 0, overflowed: false };

describe('a log with a limit', () => {
  test('counts bytes, not characters', () => {
    expect(fitLogLines(empty, [line('ü'), line('🙂')])).toMatchObject({ length: 6, overflowed: false });
  });

  test('is full to the byte before it overflows', () => {
    const almost = { length: jobLogLimitBytes - 3, overflowed: false };
    expect(fitLogLines(almost, [line('abc')])).toMatchObject({ length: jobLogLimitBytes, overflowed: false });
    const over = fitLogLines(almost, [line('ab'), line('cd'), line('e')]);
    expect(over).toMatchObject({ length: jobLogLimitBytes - 1, overflowed: true });
    expect(over.kept.map(({ level, source }) => [level, source])).toEqual([
      ['info', 'provisioner'],
      ['warn', 'provisioner_daemon'],
    ]);
  });

  test('never passes its limit and warns once, however the lines come in batches', () => {
    const limit = jobLogLimitBytes;
    const outputs = fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 30 });
    fc.assert(
      fc.property(outputs, fc.integer({ min: 1, max: 7 }), (sizes, batch) => {
        const lines = sizes.map((size) => line('x'.repeat(size)));
        let state: { length: number; overflowed: boolean } = empty;
        const kept: JobLogLine[] = [];
        for (let i = 0; i < lines.length; i += batch) {
          const fitted = fitLogLines(state, lines.slice(i, i + batch));
          kept.push(...fitted.kept);
          state = fitted;
        }
        const whole = fitLogLines(empty, lines);
        expect(state).toMatchObject({ length: whole.length, overflowed: whole.overflowed });
        expect(kept.map(({ output }) => output.length)).toEqual(whole.kept.map(({ output }) => output.length));
        const own = kept.filter(({ source }) => source === 'provisioner');
        expect(own.reduce((sum, { output }) => sum + output.length, 0)).toBe(state.length);
        expect(state.length).toBeLessThanOrEqual(limit);
        expect(kept.length - own.length).toBe(state.overflowed ? 1 : 0);
        expect(own).toEqual(lines.slice(0, own.length));
      }),
    );
  });
});
