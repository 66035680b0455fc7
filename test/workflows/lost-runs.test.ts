import { Context } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testTemporalAddress } from '../support/services.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkflowRig, startWorkflowRig } from './support.ts';

let rig: WorkflowRig;
beforeAll(async () => {
  rig = await startWorkflowRig(testTemporalAddress());
});
afterAll(() => rig.stop());

/** As if its worker had died: no heartbeat, no answer, until the server gives the run up. */
const die = async () => {
  await Context.current().cancelled.catch(() => undefined);
  throw new Error('nobody hears this');
};
/** Workflow id → runs so far. */
const runs = new Map<string, number>();
const jobOf = (handle: WorkflowHandle): string => handle.workflowId;

// One test: the waiting for missed heartbeats (10 s each) is shared by all three builds.
test('a lost run is continued at most twice, also when it is canceled meanwhile', { timeout: 90_000 }, async () => {
  const plans = new Map<string, (run: number) => Promise<'succeeded' | 'canceled'>>();
  rig.activities.runTerraform = async () => {
    const { workflowId } = Context.current().info.workflowExecution!;
    const run = (runs.get(workflowId) ?? 0) + 1;
    runs.set(workflowId, run);
    await waitFor('the plan of the build', async () => plans.has(workflowId));
    return plans.get(workflowId)!(run);
  };
  const [recovers, gone, canceled] = await Promise.all([rig.startBuild(), rig.startBuild(), rig.startBuild()]);
  plans.set(jobOf(recovers), (run) => (run <= 2 ? die() : Promise.resolve('succeeded')));
  plans.set(jobOf(gone), die);
  // The row says that it was canceled, so the next run ends it.
  plans.set(jobOf(canceled), async (run) => {
    if (run === 1) return die();
    Context.current().heartbeat();
    return 'canceled';
  });
  await waitFor('the first run', async () => runs.get(jobOf(canceled)) === 1);
  await canceled.cancel();
  expect(await canceled.result()).toBe('canceled');
  expect(runs.get(jobOf(canceled))).toBe(2);
  expect(await recovers.result()).toBe('succeeded');
  expect(runs.get(jobOf(recovers))).toBe(3);
  expect(await gone.result()).toBe('failed');
  expect(runs.get(jobOf(gone))).toBe(3);
  expect(rig.finished).toEqual([{ outcome: 'failed', error: expect.stringContaining('lost three times') }]);
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
