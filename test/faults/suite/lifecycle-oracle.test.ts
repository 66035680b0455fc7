import { describe, expect, test } from 'vitest';
import {
  type BuildRow,
  type LifecycleFacts,
  type LifecycleWorkspaceRow,
  type WantedBuild,
  isSettled,
  judgeLifecycle,
} from '../../../faults/lifecycle-oracle.ts';
import { drawMoment } from '../../../faults/lifecycle-round.ts';
import { minuteOf, scheduleAt } from '../../../faults/lifecycle-storm.ts';
import { createRandom } from '../../../faults/random.ts';

const at = Date.parse('2026-05-13T09:00:30Z');
const start: WantedBuild = { transition: 'start', reasons: ['autostart'] };

const build = (number: number, facts: Partial<BuildRow> = {}): BuildRow => ({
  id: `b${number}`,
  number,
  transition: 'start',
  reason: 'autostart',
  active: false,
  isLatest: false,
  status: 'succeeded',
  over: true,
  tracked: true,
  workflowId: `build/b${number}`,
  audits: 1,
  parameters: 3,
  ...facts,
});
const stop = build(1, { transition: 'stop', reason: 'initiator', isLatest: true });
const waiting = (number: number, facts: Partial<BuildRow> = {}) =>
  build(number, { active: true, isLatest: true, status: 'pending', over: false, ...facts });
const workspace = (builds: readonly BuildRow[], facts: Partial<LifecycleWorkspaceRow> = {}): LifecycleWorkspaceRow => ({
  id: 'w',
  name: 'w',
  scheduled: true,
  nextStartAtMs: at + 24 * 3_600_000,
  latestBuildId: builds.at(-1)!.id,
  failureMessages: 0,
  builds,
  ...facts,
});
const before = workspace([stop]);
const old = { ...stop, isLatest: false };
const started = workspace([old, waiting(2)]);
const workflows = new Map([
  ['build/b2', { runs: 1, open: true }],
  ['build/b3', { runs: 1, open: true }],
]);
const kinds = (after: readonly LifecycleWorkspaceRow[], facts: Partial<LifecycleFacts> = {}): string[] =>
  judgeLifecycle({ before: [before], after, wanted: () => start, atMs: at, workflows, ...facts }).map(
    ({ kind }) => kind,
  );

describe('a storm', () => {
  test('is right when each workspace that was due has one build with its workflow, and the others have none', () => {
    expect(kinds([started])).toEqual([]);
    expect(kinds([workspace([old, build(2, { isLatest: true })])], { workflows: new Map() })).toEqual([]);
    expect(kinds([before], { wanted: () => null })).toEqual([]);
  });

  test.for<[string, string[], LifecycleWorkspaceRow[]]>([
    ['a workspace that was not started', ['lost'], [before]],
    ['a row that is gone', ['lost'], []],
    ['a build of before that is gone', ['lost', 'wrong'], [workspace([waiting(2)])]],
    ['two builds', ['duplicate'], [workspace([old, build(2), waiting(3)])]],
    ['two active builds', ['duplicate', 'duplicate'], [workspace([old, waiting(2, { isLatest: false }), waiting(3)])]],
    ['a gap in the numbers', ['wrong'], [workspace([old, waiting(3)])]],
    ['no latest build', ['wrong'], [workspace([old, waiting(2, { isLatest: false })])]],
    ['two latest builds', ['wrong'], [workspace([stop, waiting(2)])]],
    ['another latest build in the workspace', ['wrong'], [{ ...started, latestBuildId: 'b1' }]],
    ['a message that it failed', ['wrong'], [{ ...started, failureMessages: 1 }]],
    ['a next start in the past', ['wrong'], [{ ...started, nextStartAtMs: at }]],
    ['a next start that is gone', ['wrong'], [{ ...started, nextStartAtMs: null }]],
    ['a stop', ['wrong'], [workspace([old, waiting(2, { transition: 'stop', reason: 'autostop' })])]],
    ['a start by hand', ['wrong'], [workspace([old, waiting(2, { reason: 'initiator' })])]],
    ['a failed build', ['wrong'], [workspace([old, build(2, { isLatest: true, status: 'failed' })])]],
    ['a build that is over and active', ['wrong'], [workspace([old, build(2, { isLatest: true, active: true })])]],
    ['a build that nobody knows of', ['wrong'], [workspace([old, waiting(2, { audits: 0 })])]],
    ['two entries of one build', ['wrong'], [workspace([old, waiting(2, { audits: 2 })])]],
    ['values that are lost', ['lost'], [workspace([old, waiting(2, { parameters: 2 })])]],
    ['a build without a workflow', ['stuck'], [workspace([old, waiting(2, { tracked: false })])]],
    ['a workflow that is closed', ['stuck'], [workspace([old, waiting(2, { workflowId: 'gone' })])]],
  ])('is wrong with %s', ([, wanted, after]) => {
    expect(kinds(after)).toEqual(wanted);
  });

  test('is wrong with a build that was not due, and with two workflows of one build', () => {
    expect(kinds([started], { wanted: () => null })).toEqual(['duplicate']);
    expect(kinds([started], { workflows: new Map([['build/b2', { runs: 2, open: true }]]) })).toEqual(['duplicate']);
  });

  test('lets the end of a start by hand move the next start', () => {
    const byHand: WantedBuild = { transition: 'start', reasons: ['initiator'] };
    const past = { nextStartAtMs: at - 30_000 };
    const mine = (facts: Partial<BuildRow>) => workspace([old, waiting(2, { reason: 'initiator', ...facts })], past);
    expect(kinds([mine({})], { wanted: () => byHand })).toEqual([]);
    expect(kinds([mine({ active: false, over: true, status: 'succeeded' })], { wanted: () => byHand })).toEqual([
      'wrong',
    ]);
  });

  test('is settled when all builds are there and those that wait have their workflows', () => {
    const settled = (row: LifecycleWorkspaceRow, wanted: WantedBuild | null = start) =>
      isSettled({ before: [before], after: [row], wanted: () => wanted });
    expect(settled(started)).toBe(true);
    expect(settled(before)).toBe(false);
    expect(settled(before, null)).toBe(true);
    expect(settled(workspace([old, waiting(2, { tracked: false })]))).toBe(false);
  });
});

test('moments lie before the first batch, right after a commit, and anywhere else', () => {
  const random = createRandom(3);
  const names = Array.from({ length: 1_000 }, () => drawMoment(random, 100).name);
  const places = names
    .flatMap((name) => Number(/than (\d+) builds/.exec(name)?.[1] ?? Number.NaN))
    .filter(Number.isFinite);
  const share = (count: number) => Math.round((count / names.length) * 10) / 10;
  expect(share(names.filter((name) => name.endsWith('after the trigger')).length)).toBe(0.1);
  expect(share(names.filter((name) => /^\d ms after more/.test(name)).length)).toBe(0.5);
  expect([Math.min(...places), Math.max(...places)]).toEqual([0, 99]);
});

test('a schedule is daily at its minute', () => {
  expect(scheduleAt(minuteOf(at))).toBe('CRON_TZ=UTC 0 9 * * *');
});
