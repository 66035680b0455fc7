import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createOutputReader, readStderrLine, splitLogLine } from '../../terraform/output.ts';
import { createRedactor } from '../../terraform/secrets.ts';

const at = (second: number) => `2026-01-02T03:04:${String(second).padStart(2, '0')}.123456Z`;
const date = (second: number) => new Date(at(second));
const json = (line: Record<string, unknown>) => JSON.stringify({ '@level': 'info', '@message': 'm', ...line });
const reader = (options: Partial<Parameters<typeof createOutputReader>[0]> = {}) =>
  createOutputReader({ stage: 'apply', logStage: 'Starting workspace', startedAt: date(0), ...options });
const outputs = (lines: readonly { output: string; level: string }[]) =>
  lines.map(({ level, output }) => [level, output]);

const errorLine = json({
  '@level': 'error',
  '@message': 'Error: Bad value',
  '@timestamp': at(1),
  type: 'diagnostic',
  diagnostic: {
    severity: 'error',
    summary: 'Bad value',
    detail: 'It must be\nsmaller.',
    address: 'test_disk.d',
    range: { filename: 'main.tf', start: { line: 12 } },
    snippet: { code: '  size = 9', values: [{ traversal: 'var.x', statement: 'is 9' }] },
  },
});

describe('lines', () => {
  test('become a row each, with level, stage and instant', () => {
    const [row] = reader().push(json({ '@level': 'warn', '@message': 'careful', '@timestamp': at(5) })).lines;
    expect(row).toEqual({
      source: 'provisioner',
      level: 'warn',
      stage: 'Starting workspace',
      output: 'careful',
      createdAt: date(5),
    });
  });
  test('that are no JSON are info text, empty ones are skipped', () => {
    expect(outputs(reader().push('plain text').lines)).toEqual([['info', 'plain text']]);
    expect(outputs(reader().push('{torn').lines)).toEqual([['info', '{torn']]);
    expect(reader().push('   ').lines).toEqual([]);
  });
  test('with several lines in them become several rows', () => {
    expect(outputs(reader().push(json({ '@message': 'a\n\n  b\r\nc' })).lines)).toEqual([
      ['info', 'a'],
      ['info', '  b'],
      ['info', 'c'],
    ]);
  });
  test('of an unknown level are info', () => {
    expect(reader().push(json({ '@level': 'fatal' })).lines[0]?.level).toBe('info');
  });
  test('never run backwards in time', () => {
    const { push } = reader();
    push(json({ '@timestamp': at(9) }));
    expect(push(json({ '@timestamp': at(4) })).lines[0]?.createdAt).toEqual(date(9));
    expect(push('plain').lines[0]?.createdAt).toEqual(date(9));
  });
  test('of init are debug, but its warnings are not', () => {
    const { push } = reader({ stage: 'init' });
    expect(push(json({ type: 'init_output' })).lines[0]?.level).toBe('debug');
    expect(push(json({ '@level': 'warn' })).lines[0]?.level).toBe('warn');
  });
  test('never show values of outputs', () => {
    const line = json({
      type: 'outputs',
      '@message': 'Outputs: 1',
      outputs: { password: { value: 'sesame-open', sensitive: false } },
    });
    expect(outputs(reader().push(line).lines)).toEqual([['info', 'Outputs: 1']]);
  });
  test('are masked, also in the error text', () => {
    const { redact } = createRedactor(['sesame-open', 'Bad value']);
    const masked = reader({ redact });
    expect(masked.push(json({ '@message': 'it is sesame-open' })).lines[0]?.output).toBe('it is [redacted]');
    masked.push(errorLine);
    expect(masked.result().firstError).toContain('[redacted] (test_disk.d)');
  });
});

describe('diagnostics', () => {
  test('an error gives a row for each part at its level', () => {
    expect(outputs(reader().push(errorLine).lines)).toEqual([
      ['error', 'Error: Bad value'],
      ['error', 'with test_disk.d,'],
      ['error', 'on main.tf line 12'],
      ['error', '  size = 9'],
      ['error', '  var.x is 9'],
      ['error', 'It must be'],
      ['error', 'smaller.'],
    ]);
  });
  test('the first error is the text of the job, a warning is not', () => {
    const { push, result } = reader();
    push(json({ type: 'diagnostic', diagnostic: { severity: 'warning', summary: 'Careful' } }));
    expect(result().firstError).toBeNull();
    push(errorLine);
    push(errorLine.replace('Bad value', 'Later'));
    expect(result().firstError).toBe('Bad value (test_disk.d): It must be\nsmaller.');
  });
  test('a warning has the level warn', () => {
    const line = json({
      '@level': 'warn',
      '@message': 'Warning: w',
      type: 'diagnostic',
      diagnostic: { severity: 'warning', summary: 'w' },
    });
    expect(outputs(reader().push(line).lines)).toEqual([['warn', 'Warning: w']]);
  });
  test('the incomplete lock file of a mirror is debug', () => {
    const summary = 'Incomplete lock file information for providers';
    const line = json({
      '@level': 'warn',
      type: 'diagnostic',
      diagnostic: { severity: 'warning', summary, detail: 'd' },
    });
    expect(
      new Set(
        reader({ stage: 'init' })
          .push(line)
          .lines.map((row) => row.level),
      ),
    ).toEqual(new Set(['debug']));
  });
  test('a deprecation is shown once in a job, however many plans repeat it', () => {
    const line = json({
      '@level': 'warn',
      type: 'diagnostic',
      diagnostic: { severity: 'warning', summary: 'Deprecated Resource', address: 'a' },
    });
    const shownOnce = new Set<string>();
    expect(reader({ shownOnce }).push(line).lines).not.toEqual([]);
    expect(reader({ shownOnce }).push(line).lines).toEqual([]);
    expect(reader({ shownOnce }).push(line.replace('"a"', '"b"')).lines).not.toEqual([]);
  });
});

describe('timings', () => {
  const hook = (type: string, second: number | null, addr = 'test_disk.d', action: string | undefined = 'create') =>
    json({
      type,
      ...(second !== null && { '@timestamp': at(second) }),
      hook: { resource: { addr, implied_provider: 'test' }, ...(action !== '' && { action }) },
    });
  const rows = (...lines: string[]) => {
    const { push, result } = reader();
    for (const line of lines) push(line);
    return result(date(50)).timings.filter((timing) => timing.resource !== 'coder_stage_apply');
  };
  const row = { stage: 'apply', source: 'test', resource: 'test_disk.d', action: 'create' };

  test('pair start and end of one resource', () => {
    expect(rows(hook('apply_start', 1), hook('apply_progress', 2), hook('apply_complete', 3))).toEqual([
      { ...row, startedAt: date(1), endedAt: date(3) },
    ]);
  });
  test('name refreshes and provisioners by what they do', () => {
    const actions = rows(
      hook('refresh_start', 1, 'a', ''),
      hook('refresh_complete', 2, 'a', ''),
      hook('provision_start', 3, 'b', ''),
      hook('provision_errored', 4, 'b', ''),
    ).map((timing) => timing.action);
    expect(actions).toEqual(['state refresh', 'provision']);
  });
  test('keep a resource whose creation failed, drop one without end and one without instant', () => {
    expect(
      rows(
        hook('apply_start', 1, 'failed'),
        hook('apply_errored', 2, 'failed'),
        hook('apply_start', 1, 'unfinished'),
        hook('apply_start', null, 'timeless'),
        hook('apply_complete', 2, 'timeless'),
        hook('apply_complete', 2, 'never-started'),
      ).map((timing) => timing.resource),
    ).toEqual(['failed']);
  });
  test('of year 1 and of the epoch count as missing', () => {
    for (const zero of ['0001-01-01T00:00:00Z', '1970-01-01T00:00:00Z', 'nonsense'])
      expect(rows(hook('apply_start', 1).replace(at(1), zero), hook('apply_complete', 2))).toEqual([]);
  });
  test('of one key keep the last pair, and never end before they start', () => {
    expect(
      rows(hook('apply_start', 1), hook('apply_complete', 2), hook('apply_start', 8), hook('apply_complete', 6)),
    ).toEqual([{ ...row, startedAt: date(6), endedAt: date(6) }]);
  });
  test('keep the two halves of a replacement apart', () => {
    const lines = ['delete', 'create'].flatMap((action) => [
      hook('apply_start', 1, 'x', action),
      hook('apply_complete', 2, 'x', action),
    ]);
    expect(rows(...lines).map((timing) => timing.action)).toEqual(['delete', 'create']);
  });
  test('include the command itself', () => {
    expect(reader().result(date(7)).timings).toEqual([
      {
        stage: 'apply',
        source: 'coder',
        action: 'terraform',
        resource: 'coder_stage_apply',
        startedAt: date(0),
        endedAt: date(7),
      },
    ]);
    expect(reader({ stage: 'graph' }).result(date(7)).timings).toMatchObject([
      { source: 'terraform', resource: 'state file', action: 'building terraform dependency graph' },
    ]);
    expect(createOutputReader({ stage: 'plan' }).result().timings).toEqual([]);
  });
});

describe('stderr', () => {
  const options = { logStage: 's', createdAt: date(1) };
  test('text is an error', () => {
    expect(outputs(readStderrLine('panic: x', options))).toEqual([['error', 'panic: x']]);
  });
  test.each([
    ['trace', []],
    ['info', [['debug', 'm']]],
    ['debug', [['debug', 'm']]],
    ['warn', [['warn', 'm']]],
    ['error', [['error', 'm']]],
  ])("an entry of terraform's own log at %s", (level, expected) => {
    expect(outputs(readStderrLine(json({ '@level': level }), options))).toEqual(expected);
  });
});

describe('splitting', () => {
  test('1100 characters become 1024 and 76', () => {
    expect(splitLogLine('x'.repeat(1100)).map((piece) => piece.length)).toEqual([1024, 76]);
  });
  test('counts and keeps whole characters', () => {
    expect(splitLogLine('😀'.repeat(5), 2)).toEqual(['😀😀', '😀😀', '😀']);
  });
  test('loses nothing and makes no piece too long', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.integer({ min: 1, max: 9 }), (text, max) => {
        const pieces = splitLogLine(text, max);
        expect(pieces.join('')).toBe(text);
        for (const piece of pieces) {
          expect(Array.from(piece).length).toBeLessThanOrEqual(max);
          expect(piece.isWellFormed?.() ?? true).toBe(true);
        }
        if (text !== '') expect(pieces).not.toContain('');
      }),
    );
  });
});
