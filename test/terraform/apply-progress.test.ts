import { expect, test } from 'vitest';
import { createApplyTracker, cutShort } from '../../terraform/apply-progress.ts';

const planned = (addr: string, action: string) => ({ type: 'planned_change', change: { resource: { addr }, action } });
const hook = (type: string, addr: string, action = 'create') => ({ type, hook: { resource: { addr }, action } });
const summary = (operation: string) => ({ type: 'change_summary', changes: { operation } });

test('announced is what will be made, begun what may have been, created what was', () => {
  const { push, progress } = createApplyTracker();
  for (const line of [
    planned('a', 'create'),
    planned('b', 'replace'),
    planned('c', 'update'),
    planned('d', 'delete'),
    summary('plan'),
    hook('apply_start', 'b', 'delete'),
    hook('apply_complete', 'b', 'delete'),
    hook('apply_start', 'data.x', 'read'),
    hook('apply_start', 'b'),
    hook('apply_start', 'a'),
    hook('apply_start', 'failed'),
    hook('apply_errored', 'failed'),
    hook('apply_complete', 'a'),
    { type: 'log' },
    {},
  ])
    push(line);
  expect(progress()).toEqual({
    announced: ['a', 'b'],
    begun: ['a', 'b'],
    created: ['a'],
    failed: ['failed'],
    complete: false,
  });
  // Killed before it could write the state: what failed may have left something as well.
  expect(cutShort(progress()).begun).toEqual(['a', 'b', 'failed']);
});

test.each([
  ['apply', true],
  ['destroy', true],
  ['plan', false],
])('the summary of a %s says that it is complete: %s', (operation, complete) => {
  const { push, progress } = createApplyTracker();
  push(summary(operation));
  expect(progress().complete).toBe(complete);
});
