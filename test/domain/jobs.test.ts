import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type JobStatus,
  type Transition,
  canonicalTags,
  isActiveJob,
  jobStatus,
  normalizeTags,
  poolServes,
  workspaceStatus,
} from '../../domain/jobs.ts';

const now = new Date();

describe('the status of a job', () => {
  // started, canceled, completed → without an error (spec/02 §1.3).
  test.each([
    [null, null, null, 'pending'],
    [now, null, null, 'running'],
    [null, now, null, 'canceling'],
    [now, now, null, 'canceling'],
    [null, null, now, 'succeeded'],
    [now, null, now, 'succeeded'],
    [null, now, now, 'canceled'],
    [now, now, now, 'canceled'],
  ])('started %s, canceled %s, completed %s is %s', (startedAt, canceledAt, completedAt, expected) => {
    const times = { startedAt, canceledAt, completedAt };
    expect(jobStatus({ ...times, error: null })).toBe(expected);
    expect(jobStatus({ ...times, error: '' })).toBe(expected);
    expect(jobStatus({ ...times, error: 'boom' })).toBe('failed');
  });

  test('is active until the job is over', () => {
    const statuses: JobStatus[] = ['pending', 'running', 'canceling', 'succeeded', 'canceled', 'failed', 'unknown'];
    expect(statuses.filter(isActiveJob)).toEqual(['pending', 'running', 'canceling']);
  });
});

describe('the status of a workspace', () => {
  const table: [JobStatus, [string, string, string]][] = [
    ['pending', ['pending', 'pending', 'pending']],
    ['running', ['starting', 'stopping', 'deleting']],
    ['succeeded', ['running', 'stopped', 'deleted']],
    ['canceling', ['canceling', 'canceling', 'canceling']],
    ['canceled', ['canceled', 'canceled', 'canceled']],
    ['failed', ['failed', 'failed', 'failed']],
  ];
  test.each(table)('with a %s job is %j for start, stop and delete', (job, expected) => {
    const transitions: Transition[] = ['start', 'stop', 'delete'];
    expect(transitions.map((transition) => workspaceStatus(job, transition))).toEqual(expected);
  });
});

describe('tags', () => {
  const untagged = normalizeTags({}, '');
  const user = normalizeTags({ scope: 'user', gpu: 'yes' }, 'u-1');

  test('always have a scope, and an owner only in that of a user', () => {
    expect(untagged).toEqual({ scope: 'organization', owner: '' });
    expect(user).toEqual({ scope: 'user', owner: 'u-1', gpu: 'yes' });
    expect(normalizeTags({ scope: 'nonsense', owner: 'me' }, 'u-1')).toEqual(untagged);
  });

  test('are served by a pool that has them all; jobs without any need a pool without any', () => {
    const pool = { ...untagged, gpu: 'yes', region: 'eu' };
    expect(poolServes(pool, { ...untagged, gpu: 'yes' })).toBe(true);
    expect(poolServes(pool, { ...untagged, gpu: 'no' })).toBe(false);
    expect(poolServes({ ...untagged, gpu: 'yes' }, pool)).toBe(false);
    expect(poolServes(pool, untagged)).toBe(false);
    expect(poolServes(untagged, untagged)).toBe(true);
    expect(poolServes(untagged, { ...untagged, gpu: 'yes' })).toBe(false);
    expect(poolServes(pool, user)).toBe(false);
  });

  test('name one queue per set: order does not matter, borders between keys and values do', () => {
    const word = fc.string({ maxLength: 4 }).filter((text) => !text.includes('\0'));
    const sets = fc.dictionary(word, word, { maxKeys: 4 });
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        const shuffled = Object.fromEntries(Object.entries(a).toReversed());
        expect(canonicalTags(shuffled)).toBe(canonicalTags(a));
        const sorted = (set: Record<string, string>) =>
          JSON.stringify(Object.entries(set).toSorted(([left], [right]) => (left < right ? -1 : 1)));
        expect(canonicalTags(a) === canonicalTags(b)).toBe(sorted(a) === sorted(b));
      }),
    );
    expect(canonicalTags({ a: 'bc' })).not.toBe(canonicalTags({ ab: 'c' }));
  });
});
