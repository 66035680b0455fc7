import { type Client, ScheduleAlreadyRunning, type ScheduleOptions, ScheduleOverlapPolicy } from '@temporalio/client';
import { CONTROL_TASK_QUEUE } from '../domain/ids.ts';

export interface ScheduleSettings {
  readonly reconcileEveryMs: number;
}

export const reconcileScheduleId = 'reconcile-prebuilds';
export const lifecycleScheduleId = 'run-lifecycle';

/** The cron workflows (design §1). Catch-up window = one interval: the default would replay a year of ticks. */
const schedulesOf = ({ reconcileEveryMs }: ScheduleSettings): readonly ScheduleOptions[] => [
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
    scheduleId: reconcileScheduleId,
    spec: { intervals: [{ every: reconcileEveryMs }] },
    // A trigger during a cycle brings exactly one more, which sees all that came before it.
    policies: { overlap: ScheduleOverlapPolicy.BUFFER_ONE, catchupWindow: reconcileEveryMs },
    action: {
      type: 'startWorkflow',
      workflowType: 'reconcilePrebuilds',
      workflowId: reconcileScheduleId,
      taskQueue: CONTROL_TASK_QUEUE,
      workflowRunTimeout: '10 minutes',
      staticSummary: 'Brings the pools of prebuilt workspaces to their sizes',
      args: [],
    },
  },
  {
    scheduleId: lifecycleScheduleId,
    spec: { intervals: [{ every: '1 minute' }] },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1 minute' },
    action: {
      type: 'startWorkflow',
      workflowType: 'runLifecycle',
      workflowId: lifecycleScheduleId,
      taskQueue: CONTROL_TASK_QUEUE,
      workflowRunTimeout: '10 minutes',
      staticSummary: 'Starts, stops, puts to sleep and deletes workspaces by the clock',
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

export const scheduleIds: readonly string[] = schedulesOf({ reconcileEveryMs: 60_000 }).map(
  ({ scheduleId }) => scheduleId,
);

/** Creates the schedules, or brings existing ones to this release's definition. Safe from many workers at once. */
export async function ensureSchedules(client: Client, settings: ScheduleSettings): Promise<void> {
  for (const options of schedulesOf(settings)) {
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

/** Begins a run now, or one more after the one that goes on. */
export const triggerSchedule = (client: Client, scheduleId: string): Promise<void> =>
  client.schedule.getHandle(scheduleId).trigger(ScheduleOverlapPolicy.BUFFER_ONE);
