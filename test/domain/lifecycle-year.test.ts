import { expect, test } from 'vitest';
import { aftermathOf } from '../../domain/build-aftermath.ts';
import { deadlinesOf } from '../../domain/deadlines.ts';
import { type LifecycleFacts, autostartInput, decideLifecycle } from '../../domain/lifecycle.ts';
import { dailyStarts, localDates } from '../support/lifecycle-zones.ts';
import { defaultQuietHours, parseQuietHours } from '../../domain/quiet-hours.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const firstDay = Date.UTC(2027, 10, 20);
const days = 400;

const template = {
  deleted: false,
  allowUserAutostart: true,
  allowUserAutostop: true,
  autostartBlockDaysOfWeek: 0,
  defaultTtlMs: 0,
  activityBumpMs: hourMs,
  failureTtlMs: 0,
  timeTilDormantMs: 0,
  timeTilDormantAutodeleteMs: 0,
  timeTilAutostopNotifyMs: 0,
};

/** A workspace that lives by the clock alone: what the tick decides is built at once, and what the build's end says is stored. */
function live(zone: string, fields: string, options: { ttlMs: number; buildMs: number }): Date[] {
  let facts: LifecycleFacts = {
    workspace: {
      ownerId: 'owner',
      deleted: false,
      autostartSchedule: `CRON_TZ=${zone} ${fields}`,
      nextStartAt: null,
      ttlMs: options.ttlMs,
      lastUsedAt: new Date(firstDay),
      dormantAt: null,
      deletingAt: null,
      failedAt: null,
      lifecycleRetryAfter: null,
      lifecycleAttempts: 0,
    },
    template,
    owner: { status: 'active' },
    build: {
      transition: 'stop',
      reason: 'initiator',
      status: 'succeeded',
      deadline: null,
      maxDeadline: null,
      notifiedAutostopDeadline: null,
      hasExternalAgent: false,
    },
  };
  const starts: Date[] = [];
  let busyUntil = 0;
  for (let at = firstDay; at < firstDay + days * dayMs; at += minuteMs) {
    if (at < busyUntil) continue;
    const tick = new Date(at);
    const { action, nextStartAt, deadline } = decideLifecycle(facts, tick, { autostartMaxLatenessMs: 0 });
    if (nextStartAt !== undefined) facts = { ...facts, workspace: { ...facts.workspace, nextStartAt } };
    if (deadline !== undefined) facts = { ...facts, build: { ...facts.build, deadline } };
    if (at === firstDay) {
      // The missing time of the first start is repaired.
      expect(facts.workspace.nextStartAt).not.toBe(null);
      continue;
    }
    if (action === null) continue;
    if (action.kind !== 'start' && action.kind !== 'stop') throw new Error(`unexpected ${action.kind}`);
    const transition = action.kind;
    if (transition === 'start') starts.push(tick);
    const ended = new Date(at + options.buildMs);
    busyUntil = ended.getTime();
    const build = {
      transition,
      reason: action.reason,
      createdAt: new Date(at + 1_000),
      outcome: 'succeeded' as const,
      started: true,
      previous: { deadline: facts.build.deadline, wasFailure: false },
    };
    const { tellsOwner: _, ...after } = aftermathOf(facts, build, ended);
    const quietHours = parseQuietHours(defaultQuietHours);
    const deadlines =
      transition === 'start'
        ? deadlinesOf(
            {
              ttlMs: options.ttlMs,
              ...template,
              autostopRequirementDaysOfWeek: 0,
              autostopRequirementWeeks: 1,
              autostart: autostartInput(facts),
              ownerIsActive: true,
              quietHours,
            },
            ended,
          )
        : { deadline: null, maxDeadline: null };
    facts = {
      ...facts,
      workspace: { ...facts.workspace, ...after },
      build: { ...facts.build, transition, reason: action.reason, status: 'succeeded', ...deadlines },
    };
  }
  return starts;
}

test.each(dailyStarts)(
  '%s: 400 days, one start on each local day, none missed and none twice',
  { timeout: 60_000 },
  (zone, fields) => {
    const dateOf = localDates(zone);
    const expected = new Set<string>();
    for (let at = firstDay + dayMs; at < firstDay + (days - 1) * dayMs; at += 6 * hourMs) expected.add(dateOf(at));
    expect(expected.size).toBeGreaterThan(390);
    // Builds that are over at once, and builds that take until after the next minutes.
    for (const options of [
      { ttlMs: 3 * hourMs, buildMs: 20_000 },
      { ttlMs: 9 * hourMs, buildMs: 150_000 },
    ]) {
      const starts = live(zone, fields, options).map((at) => dateOf(at.getTime()));
      expect(new Set(starts).size).toBe(starts.length);
      expect([...expected].filter((date) => !starts.includes(date))).toEqual([]);
    }
  },
);
