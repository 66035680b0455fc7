import { type Client, ScheduleAlreadyRunning, type ScheduleOptions, ScheduleOverlapPolicy } from '@temporalio/client';
import { CONTROL_TASK_QUEUE } from '../domain/ids.ts';

/** The cron workflows (design §1). Catch-up window = one interval: the default would replay a year of ticks. */
const schedules: readonly ScheduleOptions[] = [
  {
    scheduleId: 'sweep',
    spec: { intervals: [{ every: '15 seconds' }] },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '15 seconds' },
    action: {
      type: 'startWorkflow',
      workflowType: 'sweepPendingJobs',
      workflowId: 'sweep',
      taskQueue: CONTROL_TASK_QUEUE,
      workflowRunTimeout: '1 minute',
      args: [],
    },
  },
  {
    scheduleId: 'upkeep',
    spec: { intervals: [{ every: '1 hour' }] },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1 hour' },
    action: {
      type: 'startWorkflow',
      workflowType: 'runUpkeep',
      workflowId: 'upkeep',
      taskQueue: CONTROL_TASK_QUEUE,
      workflowRunTimeout: '10 minutes',
      staticSummary: 'Deletes what is kept no longer',
      args: [],
    },
  },
];

/** Creates the schedules, or brings existing ones to this release's definition. Safe from many workers at once. */
export async function ensureSchedules(client: Client): Promise<void> {
  for (const options of schedules) {
    try {
      await client.schedule.create(options);
    } catch (err) {
      if (!(err instanceof ScheduleAlreadyRunning)) throw err;
      await client.schedule.getHandle(options.scheduleId).update((previous) => ({
        ...previous,
        spec: options.spec,
        policies: { ...previous.policies, ...options.policies },
        action: options.action,
      }));
    }
  }
}
