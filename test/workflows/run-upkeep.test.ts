import { ApplicationFailure } from '@temporalio/activity';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testTemporalAddress } from '../support/services.ts';
import { waitFor } from '../support/wait.ts';
import { ensureSchedules, scheduleIds } from '../../workers/schedules.ts';
import { type WorkflowRig, startWorkflowRig } from './support.ts';

let rig: WorkflowRig;
beforeAll(async () => {
  rig = await startWorkflowRig(testTemporalAddress());
});
afterAll(() => rig.stop());

test('its schedule runs once an hour, never twice at once, and shows what was deleted', async () => {
  await ensureSchedules(rig.client, { reconcileEveryMs: 60_000 });
  // Every worker brings the definition: it stays one schedule.
  await ensureSchedules(rig.client, { reconcileEveryMs: 60_000 });
  const schedule = rig.client.schedule.getHandle('upkeep');
  const { spec, policies, action } = await schedule.describe();
  expect(spec.intervals).toMatchObject([{ every: 3_600_000 }]);
  expect(policies).toMatchObject({ overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: 3_600_000 });
  expect(action).toMatchObject({ workflowType: 'runUpkeep', taskQueue: 'control', workflowRunTimeout: 600_000 });
  const deleted = { startsMoved: 4, agentLogs: 3, agentStats: 2, agentRequests: 1, finished: true };
  rig.activities.runUpkeep = async () => deleted;
  await schedule.trigger();
  const workflowId = await waitFor('the run', async () => {
    const { info } = await schedule.describe();
    const started = info.recentActions[0]?.action;
    return started?.type === 'startWorkflow' ? started.workflow.workflowId : undefined;
  });
  expect(await rig.client.workflow.getHandle(workflowId).result()).toEqual(deleted);
  for (const id of scheduleIds) await rig.client.schedule.getHandle(id).delete();
});

test('is tried again when its worker stops or the database is away', async () => {
  let attempts = 0;
  rig.activities.runUpkeep = async () => {
    attempts += 1;
    if (attempts === 1) throw ApplicationFailure.retryable('the database is away', 'UNAVAILABLE');
    return { startsMoved: 0, agentLogs: 0, agentStats: 0, agentRequests: 0, finished: false };
  };
  const options = { taskQueue: 'control', workflowId: `upkeep-${randomUUID()}`, args: [] };
  expect(await rig.client.workflow.execute('runUpkeep', options)).toMatchObject({ finished: false });
  expect(attempts).toBe(2);
});
