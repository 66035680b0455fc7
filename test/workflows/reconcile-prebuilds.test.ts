import { ApplicationFailure } from '@temporalio/activity';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { PoolItem } from '../../workflows/reconcile-prebuilds.ts';
import { ensureSchedules, reconcileScheduleId, scheduleIds, triggerSchedule } from '../../workers/schedules.ts';
import { testTemporalAddress } from '../support/services.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkflowRig, nothingToDo, startWorkflowRig } from './support.ts';

let rig: WorkflowRig;
beforeAll(async () => {
  rig = await startWorkflowRig(testTemporalAddress());
});
afterAll(() => rig.stop());
afterEach(() => {
  rig.activities.planPrebuildCycle = async () => nothingToDo;
  rig.activities.reconcilePools = async () => ({ created: 0, deleted: 0, canceled: 0, errors: 0 });
});

const items = (count: number): PoolItem[] =>
  Array.from({ length: count }, () => ({ presetId: randomUUID(), maxCreates: 1 }));
const cycle = async () => {
  const workflowId = `reconcile-${randomUUID()}`;
  const handle = await rig.client.workflow.start('reconcilePrebuilds', { taskQueue: 'control', workflowId, args: [] });
  return { handle, result: await handle.result() };
};

test('a cycle that finds nothing to do is one activity and at most eleven events', async () => {
  rig.activities.planPrebuildCycle = async () => ({ ...nothingToDo, presetsTotal: 7, presetsSkipped: 7 });
  const { handle, result } = await cycle();
  expect(result).toEqual({
    paused: false,
    presetsTotal: 7,
    presetsReconciled: 0,
    presetsSkipped: 7,
    created: 0,
    deleted: 0,
    canceled: 0,
    errors: 0,
  });
  const { events } = await handle.fetchHistory();
  expect(events!.length).toBeLessThanOrEqual(11);
});

test('acts on no more pools at once than it was told, and adds up what was done', async () => {
  rig.activities.planPrebuildCycle = async () => ({
    ...nothingToDo,
    presetsReconciled: 12,
    items: items(12),
    concurrency: 3,
  });
  let running = 0;
  let most = 0;
  rig.activities.reconcilePools = async ({ pools }) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((done) => setTimeout(done, 30));
    running -= 1;
    return { created: pools.length, deleted: 2, canceled: 0, errors: 0 };
  };
  const { result } = await cycle();
  expect(result).toMatchObject({ created: 12, deleted: 24, presetsReconciled: 12 });
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(3);
});

test('a pool that cannot be reconciled is counted and stops no other one', async () => {
  const pools = items(10);
  rig.activities.planPrebuildCycle = async () => ({ ...nothingToDo, presetsReconciled: 10, items: pools });
  rig.activities.reconcilePools = async ({ pools: [pool] }) => {
    if (pool!.presetId === pools[3]!.presetId) throw ApplicationFailure.nonRetryable('refused', 'INVALID_INPUT');
    return { created: 1, deleted: 0, canceled: 0, errors: 0 };
  };
  const { result } = await cycle();
  expect(result).toMatchObject({ created: 9, errors: 1, presetsReconciled: 10 });
});

test('thousands of pools are taken together, so that the history stays short', async () => {
  rig.activities.planPrebuildCycle = async () => ({ ...nothingToDo, items: items(1200) });
  const sizes: number[] = [];
  rig.activities.reconcilePools = async ({ pools }) => {
    sizes.push(pools.length);
    return { created: pools.length, deleted: 0, canceled: 0, errors: 0 };
  };
  const { handle, result } = await cycle();
  expect(result).toMatchObject({ created: 1200 });
  expect(sizes.length).toBeLessThanOrEqual(500);
  expect((await handle.fetchHistory()).events!.length).toBeLessThan(5_000);
});

test('its schedule never has two cycles open, and two hundred triggers become at most two', async () => {
  await ensureSchedules(rig.client, { reconcileEveryMs: 3_600_000 });
  const schedule = rig.client.schedule.getHandle('reconcile-prebuilds');
  try {
    const { spec, policies, action } = await schedule.describe();
    expect(spec.intervals).toMatchObject([{ every: 3_600_000 }]);
    expect(policies).toMatchObject({ overlap: ScheduleOverlapPolicy.BUFFER_ONE, catchupWindow: 3_600_000 });
    expect(action).toMatchObject({ workflowType: 'reconcilePrebuilds', workflowRunTimeout: 600_000 });
    let open = 0;
    let most = 0;
    let cycles = 0;
    rig.activities.planPrebuildCycle = async () => {
      cycles += 1;
      open += 1;
      most = Math.max(most, open);
      await new Promise((done) => setTimeout(done, 1_500));
      open -= 1;
      return nothingToDo;
    };
    await triggerSchedule(rig.client, reconcileScheduleId);
    await waitFor('the first cycle', async () => (cycles > 0 ? true : undefined));
    await Promise.all(Array.from({ length: 200 }, () => triggerSchedule(rig.client, reconcileScheduleId)));
    await waitFor('the second cycle', async () => (cycles > 1 ? true : undefined));
    await waitFor('its end', async () => (open === 0 ? true : undefined));
    const { info } = await schedule.describe();
    expect(info.runningActions.length).toBeLessThanOrEqual(1);
    expect(most).toBe(1);
    expect(cycles).toBeLessThanOrEqual(3);
  } finally {
    for (const id of scheduleIds) await rig.client.schedule.getHandle(id).delete();
  }
});
