import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isNewerState, parseState, showStateInstances } from '../../terraform/state.ts';
import { readRecorded } from './support/terraform-runs.ts';

const state = (overrides: Record<string, unknown> = {}) =>
  JSON.stringify({
    version: 4,
    terraform_version: '1.11.4',
    serial: 3,
    lineage: 'l',
    outputs: {},
    resources: [],
    ...overrides,
  });

describe('a raw state', () => {
  test('that is torn anywhere reads as null', async () => {
    const { rawState } = await readRecorded('measured');
    const bytes = Buffer.from(rawState.trimEnd());
    fc.assert(fc.property(fc.nat(bytes.length - 1), (end) => parseState(bytes.subarray(0, end)) === null));
    expect(parseState(bytes)?.instances.length).toBeGreaterThan(10);
  });

  test.each([
    ['another version', state({ version: 3 })],
    ['no lineage', state({ lineage: '' })],
    ['a bad serial', state({ serial: 1.5 })],
    ['no resources', state({ resources: null })],
    ['a list', '[]'],
    ['nothing', ''],
  ])('with %s reads as null', (_title, text) => expect(parseState(text)).toBeNull());

  test('gives serial, lineage, version and instances with their addresses', () => {
    const parsed = parseState(
      state({
        resources: [
          {
            module: 'module.a[0]',
            mode: 'managed',
            type: 'test_disk',
            name: 'd',
            instances: [
              { index_key: 'x"${y}', attributes: { id: '1' } },
              { index_key: 'old', deposed: 'abcd', attributes: { id: '0' } },
            ],
          },
          { mode: 'data', type: 'coder_workspace', name: 'me', instances: [{ attributes: {} }] },
        ],
      }),
    );
    expect(parsed).toMatchObject({ serial: 3, lineage: 'l', terraformVersion: '1.11.4' });
    expect(parsed?.instances.map((one) => [one.address, one.label, one.mode, one.modulePath])).toEqual([
      ['data.coder_workspace.me', 'data.coder_workspace.me', 'data', ''],
      ['module.a[0].test_disk.d["x\\"$${y}"]', 'module.a.test_disk.d', 'managed', 'module.a[0]'],
    ]);
  });

  test('lists what is sensitive, through lists and dynamic types, and no words of the types', async () => {
    const attribute = (value: string) => ({ type: 'get_attr', value });
    const parsed = parseState(
      state({
        outputs: { o: { value: 'output-secret', type: 'string', sensitive: true }, p: { value: 'public-text' } },
        resources: [
          {
            mode: 'managed',
            type: 't',
            name: 'n',
            instances: [
              {
                attributes: {
                  plain: 'plain-text',
                  list: [{ key: 'list-secret' }],
                  dynamic: { value: { inner: 'dynamic-secret' }, type: ['object', { inner: 'string' }] },
                  whole: { value: 'whole-secret', type: 'string' },
                },
                sensitive_attributes: [
                  [attribute('list'), { type: 'index', value: { value: 0, type: 'number' } }, attribute('key')],
                  [attribute('dynamic'), attribute('inner')],
                  [attribute('whole')],
                  [attribute('missing'), attribute('more')],
                ],
              },
            ],
          },
        ],
      }),
    );
    expect(parsed?.sensitive.toSorted()).toEqual(['dynamic-secret', 'list-secret', 'output-secret', 'whole-secret']);
    const measured = parseState((await readRecorded('measured')).rawState);
    expect(measured?.sensitive).toContain('hunter2-hunter2');
    expect(measured?.sensitive).not.toContain('string');
  });
});

test('after a destroy the state is empty in both shapes', () => {
  expect(parseState(state())?.instances).toEqual([]);
  expect(showStateInstances({ format_version: '1.0' })).toEqual([]);
});

describe('a newer state', () => {
  const at = (serial: number, lineage = 'l') => ({ serial, lineage });
  test('has the same lineage and a higher serial', () => {
    expect(isNewerState(at(3), at(4))).toBe(true);
    expect(isNewerState(at(3), at(3))).toBe(false);
    expect(isNewerState(at(3), at(2))).toBe(false);
    expect(isNewerState(at(3), at(9, 'other'))).toBe(false);
  });
  test('is any state when there was none', () => {
    expect(isNewerState(null, at(0))).toBe(true);
  });
});
