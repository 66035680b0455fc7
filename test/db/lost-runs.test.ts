import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFinishJob } from '../../activities/finish-job.ts';
import { appendJobLogs } from '../../db/queries/job-logs.ts';
import { type takeJob, leaseHeldForMs, markApplyBegun } from '../../db/queries/job-attempts.ts';
import { addPossibleOrphans } from '../../db/queries/workspace-builds.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import { defaultLease } from '../../domain/lease.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { templateWith } from '../support/build-rows.ts';
import { takeAs } from '../support/take.ts';

let api: TestApi;
let template: JsonValue;
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
  template = await templateWith(api, []);
});
afterAll(() => api.close());

type Taken = NonNullable<Awaited<ReturnType<typeof takeJob>>>;
async function takenBuild(hostId = 'one'): Promise<{ buildId: string; job: Taken }> {
  const body = { name: `lost-${(names += 1)}`, template_id: template.id };
  const created = await api.request('POST', '/api/v2/users/me/workspaces', { token: api.ownerToken, body });
  const { id, job } = created.body.latest_build;
  return { buildId: id, job: (await takeAs(api.db, job.id, hostId))! };
}
const again = async (job: Taken, hostId: string): Promise<Taken> => (await takeAs(api.db, job.id, hostId))!;
const leaseEnds = (job: Taken) =>
  api.db
    .update(provisionerJobs)
    .set({ leaseUntil: new Date(Date.now() - 3_600_000) })
    .where(eq(provisionerJobs.id, job.id));
const write = (job: Taken, unsettled: string[] | null, run = 1) =>
  appendJobLogs(api.db, {
    jobId: job.id,
    attempt: job.attempt,
    lines: [],
    length: 0,
    overflowed: false,
    position: { run, stdout: 42, stderr: 7 },
    unsettled,
  });
const orphansOf = async (buildId: string): Promise<string[]> => {
  const [row] = await api.db
    .select({ orphans: workspaceBuilds.possibleOrphans })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.id, buildId));
  return row!.orphans;
};

describe('what was read of the output', () => {
  test('is where the next worker of the host goes on, and nothing to another host', async () => {
    const { job } = await takenBuild();
    expect([job.logRun, job.unsettled, job.continuations]).toEqual([0, null, 0]);
    expect(await write(job, null, 3)).toBe(true);
    const here = await again(job, 'one');
    expect([here.logRun, here.logOffset, here.logErrorOffset]).toEqual([3, 42, 7]);
    expect(await write(job, null, 9)).toBe(false);
    await leaseEnds(job);
    expect((await again(job, 'two')).logRun).toBe(0);
  });
});

describe('an apply', () => {
  test('is known to have begun, and what it has not yet saved', async () => {
    const { job } = await takenBuild();
    expect(await markApplyBegun(api.db, { jobId: job.id, attempt: job.attempt, continued: false })).toBe(true);
    expect(await again(job, 'one')).toMatchObject({ unsettled: [], continuations: 0, attempt: 2 });
    // A fenced attempt must not begin.
    expect(await markApplyBegun(api.db, { jobId: job.id, attempt: job.attempt, continued: true })).toBe(false);
    const third = await again(job, 'one');
    await write(third, ['a', 'b']);
    await write(third, null);
    expect((await again(job, 'one')).unsettled).toEqual(['a', 'b']);
  });

  test('that goes on from a lost one is counted, and starts with a clean list', async () => {
    const { job } = await takenBuild();
    await write(job, ['a']);
    for (let continuation = 1; continuation <= 2; continuation += 1) {
      const next = await again(job, 'one');
      await markApplyBegun(api.db, { jobId: next.id, attempt: next.attempt, continued: true });
      expect(await again(job, 'one')).toMatchObject({ continuations: continuation, unsettled: [] });
    }
  });
});

describe('possible orphans', () => {
  test('are added up without doubles, by the attempt that has the job only', async () => {
    const { buildId, job } = await takenBuild();
    const add = (attempt: number, ...addresses: string[]) =>
      addPossibleOrphans(api.db, { buildId, jobId: job.id, attempt, addresses });
    await add(job.attempt, 'b', 'a');
    await add(job.attempt, 'c', 'a');
    await add(job.attempt + 1, 'foreign');
    expect(await orphansOf(buildId)).toEqual(['a', 'b', 'c']);
  });

  test.each([
    [
      ['x', 'a'],
      ['a', 'x'],
    ],
    [[], []],
    [null, []],
  ])('of a job that no run can end are what it had not saved: %j', async (unsettled, expected) => {
    const { buildId, job } = await takenBuild();
    await write(job, unsettled);
    expect(await createFinishJob({ db: api.db })({ jobId: job.id, outcome: 'failed', error: 'lost' })).toBe('failed');
    expect(await orphansOf(buildId)).toEqual(expected);
    const body = await api.request('GET', `/api/v2/workspacebuilds/${buildId}`, { token: api.ownerToken });
    expect(body.body.possible_orphans).toEqual(expected);
  });
});

test('who asks for a leased job learns how long it is not to be had', async () => {
  const { job } = await takenBuild();
  const { durationMs, takeOverAfterMs } = defaultLease;
  const heldMs = await leaseHeldForMs(api.db, job.id, takeOverAfterMs);
  expect(heldMs).toBeLessThanOrEqual(durationMs + takeOverAfterMs);
  expect(heldMs).toBeGreaterThan(durationMs);
  await leaseEnds(job);
  expect(await leaseHeldForMs(api.db, job.id, takeOverAfterMs)).toBe(1_000);
});
