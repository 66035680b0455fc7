import { describe, expect, test } from 'vitest';
import { repeatObstacle } from '../../domain/build-repairs.ts';
import type { JobStatus, Transition } from '../../domain/jobs.ts';

const transitions: readonly Transition[] = ['start', 'stop', 'delete'];
const statuses: readonly JobStatus[] = [
  'pending',
  'running',
  'canceling',
  'unknown',
  'succeeded',
  'failed',
  'canceled',
];
const everyBuild = transitions.flatMap((transition) =>
  statuses.flatMap((jobStatus) => [false, true].map((refreshOnly) => ({ transition, jobStatus, refreshOnly }))),
);

describe('the latest build', () => {
  test('is retried after it failed or was canceled, whatever it was, and never otherwise', () => {
    for (const build of everyBuild)
      expect([build, repeatObstacle('retry', build) === null]).toEqual([
        build,
        build.jobStatus === 'failed' || build.jobStatus === 'canceled',
      ]);
  });

  test('is refreshed after a start or stop that succeeded, or after a refresh that did not', () => {
    for (const build of everyBuild) {
      const { transition, jobStatus, refreshOnly } = build;
      const succeeded = jobStatus === 'succeeded' && transition !== 'delete';
      const unsettled = refreshOnly && (jobStatus === 'failed' || jobStatus === 'canceled');
      expect([build, repeatObstacle('refresh', build) === null]).toEqual([build, succeeded || unsettled]);
    }
  });

  test('that does not allow it says why and what to do', () => {
    const failed = repeatObstacle('refresh', { transition: 'start', jobStatus: 'failed', refreshOnly: false });
    expect(failed).toEqual({
      message: 'The latest build, a start, has failed',
      detail: 'Retry it: that reads the world into the state as well, before it changes anything.',
    });
    expect(
      repeatObstacle('retry', { transition: 'stop', jobStatus: 'succeeded', refreshOnly: false })?.message,
    ).toContain('nothing to retry');
  });
});
