import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DrizzleQueryError } from 'drizzle-orm/errors';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { defaultLease } from '../../domain/lease.ts';
import { type Told, createDeliveries } from '../../activities/deliveries.ts';
import { toFailure, translateErrors } from '../../activities/failures.ts';
import { createSlots } from '../../activities/slots.ts';
import { createTerraformActivities } from '../../activities/run-terraform.ts';
import type { ProvisionerDeps } from '../../activities/deps.ts';
import { DomainError } from '../../domain/errors.ts';
import type { JobOutcome } from '../../workflows/run-job.ts';

const held = { hostId: 'host-1', resumeWithinMs: 125_000 };

/** A run that ends when the test says so. */
function heldRun() {
  const runs: { jobId: string; told: Told; end: (outcome: JobOutcome) => void; fail: (err: unknown) => void }[] = [];
  const deliver = createDeliveries(
    (jobId, told) => new Promise<JobOutcome>((end, fail) => void runs.push({ jobId, told, end, fail })),
    held,
  );
  const delivery = (jobId = 'job') => {
    const environment = new MockActivityEnvironment();
    return { environment, outcome: environment.run(() => deliver(jobId)) as Promise<JobOutcome> };
  };
  return { runs, delivery };
}

describe('a delivery of a job that runs in this process already', () => {
  test('waits for that run and gives its outcome; afterwards the job may run again', async () => {
    const { runs, delivery } = heldRun();
    const deliveries = [delivery(), delivery(), delivery('other'), delivery()];
    expect(runs.map(({ jobId }) => jobId)).toEqual(['job', 'other']);
    runs[0]!.end('succeeded');
    runs[1]!.end('failed');
    expect(await Promise.all(deliveries.map(({ outcome }) => outcome))).toEqual([
      'succeeded',
      'succeeded',
      'failed',
      'succeeded',
    ]);
    const again = delivery();
    expect(runs).toHaveLength(3);
    runs[2]!.end('canceled');
    expect(await again.outcome).toBe('canceled');
  });

  test('passes a cancel and the stop of the worker on to it', async () => {
    const { runs, delivery } = heldRun();
    const [first, second] = [delivery(), delivery()];
    const { canceled, leaving } = runs[0]!.told;
    second.environment.cancel('CANCELLED');
    await Promise.resolve();
    expect([canceled.aborted, leaving.aborted]).toEqual([true, false]);
    // A worker may be stopped while it cancels: both arrive.
    first.environment.cancel('WORKER_SHUTDOWN');
    await Promise.resolve();
    expect([canceled.aborted, leaving.aborted]).toEqual([true, true]);
    runs[0]!.end('canceled');
    expect(await Promise.all([first.outcome, second.outcome])).toEqual(['canceled', 'canceled']);
  });

  test('fails with it, but is never canceled because the other one was', async () => {
    const { runs, delivery } = heldRun();
    const [first, second] = [delivery(), delivery()];
    runs[0]!.fail(new CancelledFailure('CANCELLED'));
    await expect(first.outcome).rejects.toThrow(CancelledFailure);
    await expect(second.outcome).rejects.toMatchObject({ type: 'WORKER_STOPPED' });
  });
});

test.each(['NOT_FOUND', 'TIMED_OUT', 'PAUSED', 'RESET'] as const)(
  'that Temporal lost sight of a delivery (%s) does not stop its run',
  async (message) => {
    const { runs, delivery } = heldRun();
    const { environment, outcome } = delivery();
    environment.cancel(message);
    await new Promise((done) => setTimeout(done, 10));
    expect([runs[0]!.told.canceled.aborted, runs[0]!.told.leaving.aborted]).toEqual([false, false]);
    runs[0]!.end('succeeded');
    expect(await outcome).toBe('succeeded');
  },
);

const activitiesWith = (slots = createSlots(1)) =>
  createTerraformActivities({
    slots,
    hostId: 'host-1',
    lease: defaultLease,
    workRoot: tmpdir(),
    limits: { minFreeBytes: 0, maxProcesses: 0, openFiles: 1_024, cgroup: null },
  } as unknown as ProvisionerDeps);

test('a job that this host has nothing of is not run from its queue', async () => {
  const environment = new MockActivityEnvironment({ taskQueue: 'host/host-1' });
  const outcome = environment.run(activitiesWith().runTerraform, { jobId: randomUUID() });
  await expect(outcome).rejects.toMatchObject({ type: 'NOT_HERE', nonRetryable: true });
});

describe('a job that waits for a slot', () => {
  const busy = async () => {
    const slots = createSlots(1);
    const release = await slots.acquire(new AbortController().signal);
    const { runTerraform } = activitiesWith(slots);
    const environment = new MockActivityEnvironment();
    let beats = 0;
    environment.on('heartbeat', (details: unknown) => {
      // Any host may have a job that was never taken.
      expect(details).toBeUndefined();
      beats += 1;
    });
    return {
      slots,
      release,
      environment,
      outcome: environment.run(runTerraform, { jobId: 'job' }),
      beats: () => beats,
    };
  };

  test('is left to the next worker when this one stops', async () => {
    const { environment, outcome } = await busy();
    environment.cancel('WORKER_SHUTDOWN');
    await expect(outcome).rejects.toMatchObject({ type: 'WORKER_STOPPED' });
  });

  test('is canceled without having begun', async () => {
    const { environment, outcome, slots, release } = await busy();
    environment.cancel('CANCELLED');
    await expect(outcome).rejects.toThrow(CancelledFailure);
    expect(slots.used).toBe(1);
    release();
    release();
    expect(slots.used).toBe(0);
  });

  test('heartbeats meanwhile', { timeout: 10_000 }, async () => {
    const { environment, outcome, beats } = await busy();
    await new Promise((done) => setTimeout(done, 2_200));
    expect(beats()).toBeGreaterThanOrEqual(1);
    environment.cancel('WORKER_SHUTDOWN');
    await expect(outcome).rejects.toThrow();
  });
});

test('slots are given to those who wait in order, and to nobody twice', async () => {
  const slots = createSlots(2);
  const { signal } = new AbortController();
  const held = [await slots.acquire(signal), await slots.acquire(signal)];
  const order: number[] = [];
  const waiting = [0, 1, 2].map((i) =>
    slots.acquire(signal).then((release) => {
      order.push(i);
      return release;
    }),
  );
  for (const release of held) release();
  (await waiting[0]!)();
  await Promise.all(waiting);
  expect([order, slots.used]).toEqual([[0, 1, 2], 2]);
});

describe('the error of an activity', () => {
  test('carries a code that the workflow understands, a message of ours, and no parameter of a query', () => {
    const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const query = new DrizzleQueryError('insert into t values ($1)', ['s3cret'], away);
    expect(toFailure(query)).toMatchObject({ type: 'UNAVAILABLE', message: expect.stringContaining('ECONNREFUSED') });
    const broken = toFailure(new DrizzleQueryError('select $1', ['s3cret'], new Error('division by zero')));
    expect(broken).toMatchObject({ message: 'division by zero' });
    for (const failure of [toFailure(query), broken])
      expect(JSON.stringify([failure.message, failure.stack, failure.cause ?? ''])).not.toContain('s3cret');
    expect(toFailure(new DomainError('NOT_FOUND', 'nothing here'))).toMatchObject({
      type: 'NOT_FOUND',
      nonRetryable: true,
    });
    expect(toFailure(new DomainError('LEASE_HELD', 'busy'))).toMatchObject({ nonRetryable: false });
    expect(toFailure('text')).toMatchObject({ message: 'text' });
  });

  test('that is a failure already passes as it is', async () => {
    const failure = ApplicationFailure.nonRetryable('no', 'LEASE_HELD');
    const canceled = new CancelledFailure('CANCELLED');
    const activities = translateErrors({
      one: async () => Promise.reject(failure),
      two: async () => Promise.reject(canceled),
      three: async (input: { n: number }) => input.n + 1,
    });
    await expect(activities.one()).rejects.toBe(failure);
    await expect(activities.two()).rejects.toBe(canceled);
    expect(await activities.three({ n: 1 })).toBe(2);
  });
});
