import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type EndedBuild, aftermathOf } from '../../domain/build-aftermath.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type LifecycleFacts, decideLifecycle } from '../../domain/lifecycle.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const tick = new Date('2026-05-13T09:00:00Z');
const rules = { autostartMaxLatenessMs: 0 };

const instant = fc
  .integer({ min: -3 * 24 * 60, max: 3 * 24 * 60 })
  .map((minutes) => new Date(tick.getTime() + minutes * minuteMs));
const maybe = fc.option(instant, { nil: null });
const duration = fc.constantFrom(0, minuteMs, hourMs, 24 * hourMs);
const anyFacts: fc.Arbitrary<LifecycleFacts> = fc
  .record({
    workspace: fc.record({
      ownerId: fc.constantFrom('owner', 'owner', 'owner', PREBUILDS_SYSTEM_USER_ID),
      deleted: fc.constantFrom(false, false, false, true),
      autostartSchedule: fc.constantFrom(
        null,
        'CRON_TZ=UTC 0 9 * * *',
        'CRON_TZ=Europe/Berlin 30 2 * * 1-5',
        'nonsense',
      ),
      nextStartAt: maybe,
      ttlMs: fc.constantFrom(null, hourMs, 8 * hourMs),
      lastUsedAt: instant,
      dormantAt: fc.option(instant, { nil: null, freq: 1 }),
      deletingAt: maybe,
      failedAt: maybe,
      lifecycleRetryAfter: maybe,
      lifecycleAttempts: fc.nat(4),
    }),
    template: fc.record({
      deleted: fc.boolean(),
      allowUserAutostart: fc.boolean(),
      allowUserAutostop: fc.boolean(),
      autostartBlockDaysOfWeek: fc.nat(127),
      defaultTtlMs: duration,
      activityBumpMs: duration,
      failureTtlMs: duration,
      timeTilDormantMs: duration,
      timeTilDormantAutodeleteMs: duration,
      timeTilAutostopNotifyMs: duration,
    }),
    owner: fc.record({ status: fc.constantFrom('active', 'active', 'suspended', 'dormant') }),
    build: fc.record({
      transition: fc.constantFrom('start' as const, 'stop' as const, 'delete' as const),
      reason: fc.constantFrom('initiator', 'autostart', 'autostop', 'dormancy', 'autodelete'),
      status: fc.constantFrom('succeeded' as const, 'failed' as const, 'canceled' as const),
      deadline: maybe,
      maxDeadline: fc.constant(null),
      notifiedAutostopDeadline: maybe,
      hasExternalAgent: fc.constantFrom(null, false, false, true),
    }),
  })
  .map((facts) => ({
    ...facts,
    // As the table has it: only what is dormant has a time of deletion.
    workspace: {
      ...facts.workspace,
      deletingAt: facts.workspace.dormantAt === null ? null : facts.workspace.deletingAt,
    },
  }));

describe('what is due', () => {
  test('is nothing for prebuilds, deleted workspaces and those with an agent outside', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const { workspace, build } = facts;
        const free =
          workspace.deleted || workspace.ownerId === PREBUILDS_SYSTEM_USER_ID || build.hasExternalAgent === true;
        fc.pre(free);
        const { action, nextStartAt, deadline } = decideLifecycle(facts, tick, rules);
        expect([action, nextStartAt, deadline]).toEqual([null, undefined, undefined]);
      }),
      { numRuns: 500 },
    );
  });

  test('is never a start of what is dormant, runs or has an owner who is not active', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const { action } = decideLifecycle(facts, tick, rules);
        if (action?.kind !== 'start') return;
        const { workspace, template, owner, build } = facts;
        expect([workspace.dormantAt, owner.status, template.allowUserAutostart, template.deleted]).toEqual([
          null,
          'active',
          true,
          false,
        ]);
        expect(
          build.transition === 'stop'
            ? build.status !== 'failed'
            : build.reason === 'autostart' && build.status === 'failed',
        ).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  test('does not come a second time in the same minute', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const { action, nextStartAt, deadline, clearsRetry } = decideLifecycle(facts, tick, rules);
        // What a build changes is another matter: it is active now.
        if (action !== null && action.kind !== 'remind') return;
        const after: LifecycleFacts = {
          ...facts,
          workspace: {
            ...facts.workspace,
            ...(nextStartAt !== undefined && { nextStartAt }),
            ...(clearsRetry && { lifecycleRetryAfter: null }),
          },
          build: {
            ...facts.build,
            ...(deadline !== undefined && { deadline }),
            ...(action !== null && { notifiedAutostopDeadline: action.deadline }),
          },
        };
        const { nextStartAt: again, ...second } = decideLifecycle(after, tick, rules);
        expect(second).toEqual({ action: null, clearsRetry: false });
        // What cannot be computed is tried anew, to the same end.
        expect(again ?? null).toEqual(again === undefined ? null : after.workspace.nextStartAt);
      }),
      { numRuns: 3_000 },
    );
  });

  test('leaves no start in the past behind, unless it is made', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        fc.pre(
          !facts.workspace.deleted && facts.workspace.ownerId === 'owner' && facts.build.hasExternalAgent !== true,
        );
        const { action, nextStartAt } = decideLifecycle(facts, tick, rules);
        if (action !== null && action.kind !== 'remind' && action.kind !== 'start') return;
        const stored = nextStartAt === undefined ? facts.workspace.nextStartAt : nextStartAt;
        expect(stored === null || stored > tick).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });
});

const workspace = {
  ownerId: 'owner',
  deleted: false,
  autostartSchedule: 'CRON_TZ=UTC 0 9 * * *',
  nextStartAt: null,
  ttlMs: null,
  lastUsedAt: tick,
  dormantAt: null as Date | null,
  deletingAt: null,
  failedAt: null,
  lifecycleRetryAfter: null,
  lifecycleAttempts: 0,
};
const template = {
  deleted: false,
  allowUserAutostart: true,
  allowUserAutostop: true,
  autostartBlockDaysOfWeek: 0,
  defaultTtlMs: 0,
  activityBumpMs: 0,
  failureTtlMs: 0,
  timeTilDormantMs: 0,
  timeTilDormantAutodeleteMs: 0,
  timeTilAutostopNotifyMs: 0,
};
const at = (time: string) => new Date(`2026-05-13T${time}Z`);
const ended = (build: Partial<EndedBuild>): EndedBuild => ({
  transition: 'stop',
  reason: 'initiator',
  createdAt: at('08:59:30'),
  outcome: 'succeeded',
  started: true,
  previous: { deadline: null, wasFailure: false },
  ...build,
});

describe('the next start after a build', () => {
  test.each([
    ['a start', ended({ transition: 'start' }), at('09:00:40'), '2026-05-14T09:00:00.000Z'],
    ['a stop across the time', ended({}), at('09:00:40'), '2026-05-13T09:00:00.000Z'],
    ['a failed stop', ended({ outcome: 'failed' }), at('09:00:40'), '2026-05-14T09:00:00.000Z'],
    ['a canceled stop', ended({ outcome: 'canceled' }), at('09:00:40'), '2026-05-13T09:00:00.000Z'],
    ['a failed start', ended({ transition: 'start', outcome: 'failed' }), at('09:00:40'), '2026-05-14T09:00:00.000Z'],
    [
      'a stop by the deadline at that very time',
      ended({
        reason: 'autostop',
        createdAt: at('09:00:02'),
        previous: { deadline: at('09:00:00'), wasFailure: false },
      }),
      at('09:00:40'),
      '2026-05-13T09:00:00.000Z',
    ],
    [
      'a stop by a deadline long ago',
      ended({
        reason: 'autostop',
        createdAt: at('10:17:00'),
        previous: { deadline: at('10:16:30'), wasFailure: false },
      }),
      at('10:18:00'),
      '2026-05-14T09:00:00.000Z',
    ],
  ])('%s', (_, build, now, expected) => {
    expect(aftermathOf({ workspace, template }, build, now).nextStartAt?.toISOString()).toBe(expected);
  });
});

describe('what is tried again', () => {
  const failure = ended({ outcome: 'failed', reason: 'autostop', previous: { deadline: null, wasFailure: true } });
  const waits = (build: EndedBuild, from: { attempts: number; failureTtlMs?: number; dormant?: boolean }) => {
    const facts = {
      workspace: { ...workspace, lifecycleAttempts: from.attempts, dormantAt: from.dormant === true ? tick : null },
      template: { ...template, failureTtlMs: from.failureTtlMs ?? 0 },
    };
    const { lifecycleRetryAfter, tellsOwner } = aftermathOf(facts, build, tick);
    return [
      lifecycleRetryAfter === null ? null : (lifecycleRetryAfter.getTime() - tick.getTime()) / minuteMs,
      tellsOwner,
    ];
  };

  test('waits twice as long each time, by the template where it says how long', () => {
    expect(waits(failure, { attempts: 0, failureTtlMs: hourMs })).toEqual([120, false]);
    expect(waits(failure, { attempts: 1, failureTtlMs: hourMs })).toEqual([240, false]);
    expect(waits(failure, { attempts: 9, failureTtlMs: hourMs })).toEqual([24 * 60, false]);
    expect(waits({ ...failure, previous: null }, { attempts: 0, failureTtlMs: hourMs })).toEqual([60, true]);
  });

  test('is given up after three attempts, except what is dormant and must not run', () => {
    expect(waits({ ...failure, previous: null }, { attempts: 0 })).toEqual([5, true]);
    expect(waits(failure, { attempts: 0 })).toEqual([10, false]);
    expect(waits(failure, { attempts: 1 })).toEqual([20, false]);
    expect(waits(failure, { attempts: 2 })).toEqual([null, true]);
    expect(waits(failure, { attempts: 5, dormant: true })).toEqual([320, false]);
  });

  test('is a deletion a day later, also when it was canceled, and nothing that people asked for', () => {
    const deletion = ended({ transition: 'delete', reason: 'autodelete', outcome: 'canceled' });
    expect(waits(deletion, { attempts: 0, dormant: true })).toEqual([24 * 60, false]);
    expect(waits({ ...failure, reason: 'initiator' }, { attempts: 0 })).toEqual([null, false]);
    expect(waits({ ...failure, outcome: 'canceled' }, { attempts: 0 })).toEqual([null, false]);
  });
});
