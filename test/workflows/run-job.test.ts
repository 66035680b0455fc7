import { ApplicationFailure, Context } from '@temporalio/activity';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { testTemporalAddress } from '../support/services.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkflowRig, startWorkflowRig } from './support.ts';

let rig: WorkflowRig;
beforeAll(async () => {
  rig = await startWorkflowRig(testTemporalAddress());
});
afterAll(() => rig.stop());
beforeEach(() => {
  rig.finished.length = 0;
});

const failure = (type: string) => ApplicationFailure.nonRetryable(`the activity said ${type}`, type);

test.each(['succeeded', 'failed', 'canceled'] as const)(
  'a run that ended as %s is the result, and nothing else is written',
  async (outcome) => {
    rig.activities.runTerraform = async () => outcome;
    const handle = await rig.startBuild();
    expect(await handle.result()).toBe(outcome);
    expect(rig.finished).toEqual([]);
  },
);

test('a build costs at most 17 events, whose payloads are ids and short names', async () => {
  rig.activities.runTerraform = async () => 'succeeded';
  const handle = await rig.startBuild();
  await handle.result();
  const { events } = await handle.fetchHistory();
  expect(events?.length).toBeLessThanOrEqual(17);
  const started = events?.[0]?.workflowExecutionStartedEventAttributes;
  const input = JSON.parse(Buffer.from(started?.input?.payloads?.[0]?.data ?? []).toString()) as object;
  expect(Object.keys(input).toSorted()).toEqual(['buildId', 'jobId', 'priority', 'taskQueue']);
  const scheduled = events?.find(
    (event) => event.activityTaskScheduledEventAttributes,
  )?.activityTaskScheduledEventAttributes;
  expect(Buffer.from(scheduled?.input?.payloads?.[0]?.data ?? []).toString()).toMatch(/^\{"jobId":"[0-9a-f-]{36}"\}$/);
});

test.each([
  ['LEASE_HELD', { waitMs: 1_000 }, 'control'],
  ['LEASE_HELD', undefined, 'control'],
  ['NOT_HERE', undefined, 'control'],
  ['WORKER_STOPPED', undefined, 'control'],
  ['WORKER_STOPPED', { hostId: 'h', resumeWithinMs: 60_000 }, 'host/h'],
  ['WORKER_LOST', { hostId: 'h', resumeWithinMs: 60_000 }, 'host/h'],
  ['WorkerShutdown', undefined, 'control'],
  ['UNAVAILABLE', undefined, 'control'],
])('after %s %j the run is taken up again, on queue %s', async (type, details, queue) => {
  const on: string[] = [];
  rig.activities.runTerraform = async () => {
    on.push(Context.current().info.taskQueue);
    if (on.length === 1)
      throw ApplicationFailure.create({
        message: `the activity said ${type}`,
        type,
        nonRetryable: true,
        ...(details !== undefined && { details: [details] }),
      });
    return 'succeeded';
  };
  const handle = await rig.startBuild();
  const host = await rig.pollQueue('host/h');
  expect(await handle.result()).toBe('succeeded');
  await host.stop();
  expect(on).toEqual(['control', queue]);
  expect(rig.finished).toEqual([]);
});

test('a final failure of the activity ends the job with its reason', async () => {
  rig.activities.runTerraform = async () => {
    throw failure('NOT_FOUND');
  };
  const handle = await rig.startBuild();
  expect(await handle.result()).toBe('failed');
  expect(rig.finished).toEqual([{ outcome: 'failed', error: 'the activity said NOT_FOUND' }]);
});

test('a build canceled while its run goes on ends as what the run says', async () => {
  rig.activities.runTerraform = async () => {
    await Context.current().cancelled.catch(() => undefined);
    return 'canceled';
  };
  const begun = new Promise<void>((resolve) => {
    const inner = rig.activities.runTerraform;
    rig.activities.runTerraform = (input) => {
      resolve();
      const beat = setInterval(() => Context.current().heartbeat(), 200);
      return inner(input).finally(() => clearInterval(beat));
    };
  });
  const handle = await rig.startBuild();
  await begun;
  await handle.cancel();
  expect(await handle.result()).toBe('canceled');
  expect(rig.finished).toEqual([]);
});

test('when the database is away for the last step, the step is tried for as long as it takes', async () => {
  let tries = 0;
  rig.activities.runTerraform = async () => {
    throw failure('NOT_FOUND');
  };
  const finishJob = rig.activities.finishJob;
  rig.activities.finishJob = async () => {
    tries += 1;
    if (tries < 5) throw new Error('connection refused');
    return 'failed';
  };
  const handle = await rig.startBuild();
  expect(await handle.result()).toBe('failed');
  expect(tries).toBe(5);
  rig.activities.finishJob = finishJob;
});

test('the job status is a search attribute, so that an operator finds failed builds', async () => {
  rig.activities.runTerraform = async () => 'failed';
  const handle = await rig.startBuild();
  await handle.result();
  await waitFor('the visibility store', async () => {
    for await (const found of rig.client.workflow.list({ query: `BerthJobStatus = "failed"` }))
      if (found.workflowId === handle.workflowId) return true;
    return false;
  });
});
