import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { completeRun, endCanceled } from '../../activities/job-end.ts';
import { createFinishJob } from '../../activities/finish-job.ts';
import type { JobRun } from '../../activities/job-run.ts';
import { createCancelBuild } from '../../commands/cancel-job.ts';
import { transaction } from '../../db/client.ts';
import { completeJob, releaseLease, renewLease } from '../../db/queries/job-attempts.ts';
import { listTimings, upsertTimings } from '../../db/queries/job-timings.ts';
import { endJob, findJob } from '../../db/queries/provisioner-jobs.ts';
import { findBuild, finishBuildRow } from '../../db/queries/workspace-builds.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { jobStatus } from '../../domain/jobs.ts';
import type { Subject } from '../../domain/subject.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { insertPerson, testOrigin } from '../support/builders.ts';
import { endBuild, templateWith } from '../support/build-rows.ts';
import { insertWorkspaceOf } from '../support/template-rows.ts';
import { takeAs } from '../support/take.ts';
import { defaultLease } from '../../domain/lease.ts';

let api: TestApi;
let template: JsonValue;
let owner: Subject;
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
  template = await templateWith(api, []);
  owner = await insertPerson(api.db, { username: 'root', roles: ['owner'] });
});
afterAll(() => api.close());

/** A workspace whose latest build is pending. */
async function pendingBuild(
  transition?: 'stop' | 'delete',
): Promise<{ id: string; jobId: string; workspaceId: string }> {
  const { body } = await api.request('POST', '/api/v2/users/me/workspaces', {
    token: api.ownerToken,
    body: { name: `ws-${(names += 1)}`, template_id: template.id },
  });
  if (transition === undefined) return { ...idsOf(body.latest_build), workspaceId: body.id };
  await endBuild(api.db, body.latest_build.id);
  const path = `/api/v2/workspaces/${body.id}/builds`;
  const next = await api.request('POST', path, { token: api.ownerToken, body: { transition } });
  return { ...idsOf(next.body), workspaceId: body.id };
}
const idsOf = (build: JsonValue) => ({ id: build.id as string, jobId: build.job.id as string });
const { durationMs: leaseMs, takeOverAfterMs } = defaultLease;
const renew = (jobId: string, attempt: number) => renewLease(api.db, { jobId, attempt, leaseMs });
const take = (jobId: string, hostId = 'host') => takeAs(api.db, jobId, hostId);
const failedAt = async (workspaceId: string) =>
  (await api.db.select({ failedAt: workspaces.failedAt }).from(workspaces).where(eq(workspaces.id, workspaceId)))[0]!
    .failedAt;
const cancel = (buildId: string) => createCancelBuild(api.deps)(owner, { buildId, origin: testOrigin(owner.id) });

/** As much of a run as its end needs. */
const runOf = (job: NonNullable<Awaited<ReturnType<typeof take>>>): JobRun =>
  ({
    deps: { db: api.db },
    job,
    log: { flush: async () => undefined, say: () => undefined },
    redactor: { redact: (text: string) => text },
    timings: [],
    stop: new AbortController().signal,
  }) as unknown as JobRun;

describe('the status of a job', () => {
  test('is the same in SQL and in the domain for every combination', async () => {
    const { jobId } = await pendingBuild();
    const now = new Date();
    const times = [null, now];
    for (const startedAt of times)
      for (const canceledAt of times)
        for (const completedAt of times)
          for (const error of [null, 'x']) {
            const columns = { startedAt, canceledAt, completedAt, error };
            await api.db.update(provisionerJobs).set(columns).where(eq(provisionerJobs.id, jobId));
            expect([columns, (await findJob(api.db, jobId))!.status]).toEqual([columns, jobStatus(columns)]);
          }
    const empty = api.db.update(provisionerJobs).set({ error: '' }).where(eq(provisionerJobs.id, jobId));
    await expect(empty).rejects.toMatchObject({ cause: { constraint_name: 'provisioner_jobs_error_not_empty' } });
  });
});

describe('taking a job', () => {
  test('sets its instants by the database’s clock and counts the attempt', async () => {
    const { jobId } = await pendingBuild();
    const first = (await take(jobId))!;
    expect(first).toMatchObject({ attempt: 1, canceledAt: null });
    expect(first.startedAt!.getTime()).toBeGreaterThanOrEqual(first.createdAt.getTime());
    const again = (await take(jobId))!;
    expect([again.attempt, again.startedAt]).toEqual([2, first.startedAt]);
  });

  test('is open to the same host at once, to another 75 s after the lease, or when it was given back', async () => {
    const { jobId } = await pendingBuild();
    const { attempt } = (await take(jobId, 'one'))!;
    expect(await take(jobId, 'two')).toBeUndefined();
    const setLease = (seconds: number) =>
      api.db
        .update(provisionerJobs)
        .set({ leaseUntil: sql`now() - ${seconds} * interval '1 second'` })
        .where(eq(provisionerJobs.id, jobId));
    await setLease(70);
    expect(await take(jobId, 'two')).toBeUndefined();
    await setLease(76);
    expect((await take(jobId, 'two'))!.attempt).toBe(attempt + 1);
    await releaseLease(api.db, { jobId, attempt, takeOverAfterMs });
    expect(await take(jobId, 'three')).toBeUndefined();
    await releaseLease(api.db, { jobId, attempt: attempt + 1, takeOverAfterMs });
    expect((await take(jobId, 'three'))!.attempt).toBe(attempt + 2);
  });

  test('fences every earlier attempt', async () => {
    const { id, jobId } = await pendingBuild();
    const first = (await take(jobId))!;
    expect(await renew(jobId, first.attempt)).toEqual({ canceled: false });
    const second = (await take(jobId))!;
    expect(await renew(jobId, first.attempt)).toBeUndefined();
    expect(await completeJob(api.db, { jobId, attempt: first.attempt })).toBe(false);
    await expect(completeRun(runOf(first), { success: true }, async () => undefined)).rejects.toThrow('fenced');
    await completeRun(runOf(second), { success: true }, (tx) => finishBuildRow(tx, id));
    expect((await findJob(api.db, jobId))!.status).toBe('succeeded');
    expect(await take(jobId)).toBeUndefined();
    expect(await renew(jobId, second.attempt)).toBeUndefined();
  });

  test('against fifty workers at once succeeds for one host', async () => {
    const { jobId } = await pendingBuild();
    const takes = await Promise.all(Array.from({ length: 50 }, (_, i) => take(jobId, `host-${i}`)));
    expect(takes.filter((taken) => taken !== undefined)).toHaveLength(1);
  });

  test('against a cancel at the same instant leaves either a canceled job or one that is told to stop', async () => {
    for (let round = 0; round < 100; round += 1) {
      const { id, jobId } = await pendingBuild();
      const [taken] = await Promise.all([take(jobId), cancel(id)]);
      const job = (await findJob(api.db, jobId))!;
      if (taken === undefined) {
        expect(job).toMatchObject({ status: 'canceled', startedAt: null });
        expect((await findBuild(api.db, id))!.active).toBe(false);
        continue;
      }
      expect(job.status).toBe('canceling');
      expect(await renew(jobId, taken.attempt)).toEqual({ canceled: true });
    }
  });
});

describe('the end of a run', () => {
  test('that met a cancel in its last moment has no rows of a success', async () => {
    const { id, jobId, workspaceId } = await pendingBuild('delete');
    const run = runOf((await take(jobId))!);
    await cancel(id);
    let wrote = false;
    const end = completeRun(run, { success: true }, async () => {
      wrote = true;
    });
    await expect(end).rejects.toMatchObject({ reason: 'canceled' });
    expect(wrote).toBe(false);
    await endCanceled(run);
    expect((await findJob(api.db, jobId))!.status).toBe('canceled');
    expect((await findBuild(api.db, id))!.active).toBe(false);
    const [row] = await api.db
      .select({ deleted: workspaces.deleted })
      .from(workspaces)
      .where(eq(workspaces.id, workspaceId));
    expect(row!.deleted).toBe(false);
  });

  test('waits for a cancel that is being written, and the other way round', async () => {
    for (let round = 0; round < 30; round += 1) {
      const { id, jobId } = await pendingBuild();
      const run = runOf((await take(jobId))!);
      const [end] = await Promise.allSettled([
        completeRun(run, { success: true }, (tx) => finishBuildRow(tx, id)),
        cancel(id),
      ]);
      const { status } = (await findJob(api.db, jobId))!;
      expect(status).toBe(end.status === 'fulfilled' ? 'succeeded' : 'canceling');
    }
  });

  test('is all or nothing', async () => {
    const { id, jobId } = await pendingBuild();
    const run = runOf((await take(jobId))!);
    const end = completeRun(run, { success: true }, async (tx) => {
      await finishBuildRow(tx, id, { dailyCost: 7 });
      await tx.execute(sql`select 1 / 0`);
    });
    await expect(end).rejects.toThrow();
    expect((await findJob(api.db, jobId))!.status).toBe('running');
    expect((await findBuild(api.db, id))!.active).toBe(true);
  });

  test('by somebody else happens once, and only if nobody took the job meanwhile', async () => {
    const { id, jobId } = await pendingBuild();
    await take(jobId);
    expect(await endJob(api.db, { jobId, canceled: false, error: 'lost', attempt: 0 })).toBe(false);
    const finishJob = createFinishJob({ db: api.db });
    expect(await finishJob({ jobId, outcome: 'failed', error: 'lost' })).toBe('failed');
    expect(await finishJob({ jobId, outcome: 'canceled' })).toBe('failed');
    expect(await findJob(api.db, jobId)).toMatchObject({ status: 'failed' });
    expect((await findBuild(api.db, id))!.active).toBe(false);
    expect(await finishJob({ jobId: randomUUID(), outcome: 'failed' })).toBe('failed');
  });

  test.each([
    ['start', 'failed', true],
    ['stop', 'failed', true],
    ['delete', 'failed', false],
    ['start', 'canceled', true],
    ['stop', 'canceled', false],
  ] as const)('of a %s that is %s marks the workspace for clean-up: %s', async (transition, outcome, marked) => {
    const { jobId, workspaceId } = await pendingBuild(transition === 'start' ? undefined : transition);
    await take(jobId);
    await createFinishJob({ db: api.db })({ jobId, outcome });
    expect((await failedAt(workspaceId)) !== null).toBe(marked);
    await api.request('POST', `/api/v2/workspaces/${workspaceId}/builds`, {
      token: api.ownerToken,
      body: { transition: 'start' },
    });
    expect(await failedAt(workspaceId)).toBeNull();
  });

  test('of a build that never began, or of a prebuild’s, marks nothing', async () => {
    const waiting = await pendingBuild();
    await cancel(waiting.id);
    expect(await failedAt(waiting.workspaceId)).toBeNull();
    const prebuild = await insertWorkspaceOf(api.db, template);
    const [build] = await api.db
      .select({ jobId: workspaceBuilds.jobId })
      .from(workspaceBuilds)
      .where(eq(workspaceBuilds.workspaceId, prebuild));
    await api.db.update(provisionerJobs).set({ completedAt: null }).where(eq(provisionerJobs.id, build!.jobId));
    await createFinishJob({ db: api.db })({ jobId: build!.jobId, outcome: 'failed' });
    expect(await failedAt(prebuild)).toBeNull();
  });
});

describe('timings', () => {
  const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
  const timing = (resource: string, startedAt: Date, endedAt: Date) => ({
    stage: 'apply' as const,
    source: 's',
    action: 'create',
    resource,
    startedAt,
    endedAt,
  });

  test('are one per stage, resource and action: the last; never end before they begin; in order', async () => {
    const { jobId } = await pendingBuild();
    await upsertTimings(api.db, jobId, [
      timing('b', at(5), at(9)),
      timing('a', at(5), at(6)),
      timing('a', at(1), at(2)),
      timing('c', at(3), at(2)),
    ]);
    await upsertTimings(api.db, jobId, [timing('b', at(2), at(4))]);
    await upsertTimings(api.db, jobId, []);
    const rows = await listTimings(api.db, jobId);
    expect(rows.map(({ resource, startedAt, endedAt }) => [resource, startedAt, endedAt])).toEqual([
      ['a', at(1), at(2)],
      ['b', at(2), at(4)],
      ['c', at(3), at(3)],
    ]);
  });

  test('without a real beginning are refused', async () => {
    const { jobId } = await pendingBuild();
    const zero = upsertTimings(api.db, jobId, [timing('z', new Date(0), at(1))]);
    await expect(zero).rejects.toMatchObject({ cause: { constraint_name: 'provisioner_job_timings_real' } });
  });
});

test('a serialization failure or a deadlock is tried again', async () => {
  const one = await pendingBuild();
  const two = await pendingBuild();
  const touch = (first: string, second: string) =>
    transaction(api.db, async (tx) => {
      await tx
        .update(provisionerJobs)
        .set({ updatedAt: sql`now()` })
        .where(eq(provisionerJobs.id, first));
      await tx.execute(sql`select pg_sleep(0.2)`);
      await tx
        .update(provisionerJobs)
        .set({ updatedAt: sql`now()` })
        .where(eq(provisionerJobs.id, second));
      return true;
    });
  expect(await Promise.all([touch(one.jobId, two.jobId), touch(two.jobId, one.jobId)])).toEqual([true, true]);
});
