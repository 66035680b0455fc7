import { ApplicationFailure } from '@temporalio/activity';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { LifecyclePage, LifecycleProgress } from '../../workflows/run-lifecycle.ts';
import { ensureSchedules, lifecycleScheduleId, scheduleIds, triggerSchedule } from '../../workers/schedules.ts';
import { testTemporalAddress } from '../support/services.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkflowRig, nothingDue, startWorkflowRig } from './support.ts';

let rig: WorkflowRig;
beforeAll(async () => {
  rig = await startWorkflowRig(testTemporalAddress());
});
afterAll(() => rig.stop());
afterEach(() => {
  rig.activities.runLifecyclePage = async () => nothingDue;
});

const tick = async () => {
  const workflowId = `lifecycle-${randomUUID()}`;
  const handle = await rig.client.workflow.start('runLifecycle', { taskQueue: 'control', workflowId, args: [] });
  return { handle, result: (await handle.result()) as LifecycleProgress };
};

test('a tick with nothing due is one activity and at most eleven events', async () => {
  const { handle, result } = await tick();
  const { after: _, ...rest } = nothingDue;
  expect(result).toEqual(rest);
  expect((await handle.fetchHistory()).events!.length).toBeLessThanOrEqual(11);
});

test('goes on page after page with the same tick, and begins a new history after forty', async () => {
  const seen: LifecyclePage[] = [];
  rig.activities.runLifecyclePage = async (page) => {
    seen.push(page);
    const builds = (page.progress?.builds ?? 0) + 500;
    const after = builds < 50 * 500 ? { at: `2026-05-13 09:00:00.${builds}+00`, id: randomUUID() } : null;
    return { ...nothingDue, ...page.progress, builds, after };
  };
  const { handle, result } = await tick();
  expect(result.builds).toBe(50 * 500);
  expect(seen).toHaveLength(50);
  expect(new Set(seen.slice(1).map(({ progress }) => progress!.tick))).toEqual(new Set([nothingDue.tick]));
  const { events } = await rig.client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId).fetchHistory();
  expect(events!.length).toBeLessThan(300);
});

test('a page whose worker died is tried again from where the page began', async () => {
  const pages: (LifecycleProgress | undefined)[] = [];
  rig.activities.runLifecyclePage = async ({ progress }) => {
    pages.push(progress);
    if (pages.length === 2) throw ApplicationFailure.retryable('the worker died');
    return {
      ...nothingDue,
      builds: pages.length,
      after: pages.length === 1 ? { at: '-infinity', id: randomUUID() } : null,
    };
  };
  const { result } = await tick();
  expect(result.builds).toBe(3);
  expect(pages[2]).toEqual(pages[1]);
});

test('its schedule comes every minute, skips while a tick goes on, and can be triggered', async () => {
  await ensureSchedules(rig.client, { reconcileEveryMs: 3_600_000 });
  const schedule = rig.client.schedule.getHandle(lifecycleScheduleId);
  try {
    const { spec, policies, action } = await schedule.describe();
    expect(spec.intervals).toMatchObject([{ every: 60_000 }]);
    expect(policies).toMatchObject({
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: 60_000,
      pauseOnFailure: false,
    });
    expect(action).toMatchObject({ workflowType: 'runLifecycle', workflowRunTimeout: 600_000 });
    const seen: LifecyclePage[] = [];
    rig.activities.runLifecyclePage = async (page) => {
      seen.push(page);
      return nothingDue;
    };
    await triggerSchedule(rig.client, lifecycleScheduleId);
    const [page] = await waitFor('a tick', async () => (seen.length > 0 ? seen : undefined));
    expect(page!.startedAt - page!.scheduledAt).toBeGreaterThanOrEqual(0);
    expect(page!.progress).toBeUndefined();
  } finally {
    for (const id of scheduleIds) await rig.client.schedule.getHandle(id).delete();
  }
});
