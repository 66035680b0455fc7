import { ApplicationFailure, Context } from '@temporalio/activity';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hostTaskQueue } from '../../domain/ids.ts';
import { testTemporalAddress } from '../support/services.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkflowRig, startWorkflowRig } from './support.ts';

let rig: WorkflowRig;
beforeAll(async () => {
  rig = await startWorkflowRig(testTemporalAddress());
});
afterAll(() => rig.stop());

const host = { hostId: 'host-1', resumeWithinMs: 60_000 };
/** As if its worker had died: no further heartbeat, no answer, until the server gives the run up. */
const die = async (heldBy?: object) => {
  if (heldBy !== undefined) Context.current().heartbeat(heldBy);
  await Context.current().cancelled.catch(() => undefined);
  throw new Error('nobody hears this');
};
type Outcome = 'succeeded' | 'canceled';
/** Workflow id → queues on which it ran so far. */
const queues = new Map<string, string[]>();

// One test: the waiting for missed heartbeats (10 s each) is shared by all builds.
test(
  'a lost run is offered to its own host first, also when it is canceled meanwhile',
  { timeout: 90_000 },
  async () => {
    const hostWorker = await rig.pollQueue(hostTaskQueue(host.hostId));
    const plans = new Map<string, (run: number) => Promise<Outcome>>();
    rig.activities.runTerraform = async () => {
      const { workflowExecution, taskQueue } = Context.current().info;
      const { workflowId } = workflowExecution!;
      const on = [...(queues.get(workflowId) ?? []), taskQueue];
      queues.set(workflowId, on);
      await waitFor('the plan of the build', async () => plans.has(workflowId));
      return plans.get(workflowId)!(on.length);
    };
    const begin = async (plan: (run: number) => Promise<Outcome>) => {
      const handle = await rig.startBuild();
      plans.set(handle.workflowId, plan);
      return handle;
    };
    const stays = await begin((run) => (run <= 2 ? die(host) : Promise.resolve('succeeded')));
    const neverTaken = await begin((run) => (run === 1 ? die() : Promise.resolve('succeeded')));
    const hostGone = await begin((run) =>
      run === 1 ? die({ hostId: 'nobody', resumeWithinMs: 1_500 }) : Promise.resolve('succeeded'),
    );
    // The row says that it was canceled, so the next run ends it.
    const canceled = await begin(async (run) => {
      if (run === 1) return die(host);
      Context.current().heartbeat();
      return 'canceled';
    });
    await waitFor('the first run', async () => queues.get(canceled.workflowId)?.length === 1);
    await canceled.cancel();
    const onHost = hostTaskQueue(host.hostId);
    expect(await canceled.result()).toBe('canceled');
    expect(queues.get(canceled.workflowId)).toEqual(['control', onHost]);
    expect(await stays.result()).toBe('succeeded');
    expect(queues.get(stays.workflowId)).toEqual(['control', onHost, onHost]);
    expect(await neverTaken.result()).toBe('succeeded');
    expect(queues.get(neverTaken.workflowId)).toEqual(['control', 'control']);
    expect(await hostGone.result()).toBe('succeeded');
    expect(queues.get(hostGone.workflowId)).toEqual(['control', 'control']);
    expect(rig.finished).toEqual([]);
    await hostWorker.stop();
  },
);

test('a build whose every worker dies is given up in the end', { timeout: 90_000 }, async () => {
  rig.activities.runTerraform = async () => {
    throw ApplicationFailure.nonRetryable('the worker was lost', 'WORKER_LOST');
  };
  const handle = await rig.startBuild();
  expect(await handle.result()).toBe('failed');
  expect(rig.finished).toEqual([{ outcome: 'failed', error: expect.stringContaining('lost 101 times') }]);
});

test('a build that is canceled before any worker took it ends quietly, its row by the workflow', async () => {
  rig.finished.length = 0;
  const handle = await rig.startBuild({ taskQueue: 'nobody-polls-this' });
  await waitFor('the activity to be scheduled', async () => {
    const { events } = await handle.fetchHistory();
    return events!.some((event) => event.activityTaskScheduledEventAttributes);
  });
  await handle.cancel();
  expect(await handle.result()).toBe('canceled');
  expect(rig.finished).toEqual([{ outcome: 'canceled' }]);
});
