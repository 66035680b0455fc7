import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createSweepPendingJobs } from '../../activities/sweep-pending-jobs.ts';
import { taskQueueOf } from '../../commands/task-queue.ts';
import { upsertDaemon } from '../../db/queries/provisioner-daemons.ts';
import { findJob } from '../../db/queries/provisioner-jobs.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { templateWith } from '../support/build-rows.ts';
import { createVersion } from '../support/template-rows.ts';
import { takeAs } from '../support/take.ts';

const timeoutMs = 30 * 60_000;
const defaultTags = { scope: 'organization', owner: '' };

let api: TestApi;
let template: JsonValue;
/** Workflows that Temporal has open; everything else it does not know. */
const open = new Set<string>();
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
  template = await templateWith(api, []);
});
afterAll(() => api.close());
beforeEach(async () => {
  // Each test has the queue for itself.
  await api.db.execute(sql`update provisioner_jobs set completed_at = now() where completed_at is null`);
  await api.db.execute(sql`update workspace_builds set active = false`);
  api.temporal.starts.length = 0;
  api.temporal.canceled.length = 0;
  open.clear();
});

const sweep = (whenAsked?: () => Promise<void>) =>
  createSweepPendingJobs({
    db: api.db,
    logger: api.deps.logger,
    temporal: api.temporal,
    isWorkflowOpen: async (workflowId) => {
      await whenAsked?.();
      return open.has(workflowId);
    },
    pendingJobTimeoutMs: timeoutMs,
  })();

interface Pending {
  readonly id: string;
  readonly jobId: string;
  readonly workspaceId: string;
}
/** A pending build of this age, with or without a workflow. */
async function pending(options: { ageSeconds?: number; workflow: boolean }): Promise<Pending> {
  api.temporal.reachable = options.workflow;
  const { body } = await api.request('POST', '/api/v2/users/me/workspaces', {
    token: api.ownerToken,
    body: { name: `ws-${(names += 1)}`, template_id: template.id },
  });
  api.temporal.reachable = true;
  const jobId: string = body.latest_build.job.id;
  const ago = sql`now() - ${options.ageSeconds ?? 10} * interval '1 second'`;
  await api.db
    .update(provisionerJobs)
    .set({ createdAt: ago, ...(options.workflow && { workflowStartedAt: ago }) })
    .where(eq(provisionerJobs.id, jobId));
  api.temporal.starts.length = 0;
  return { id: body.latest_build.id, jobId, workspaceId: body.id };
}
const set = (jobId: string, columns: Record<string, unknown>) =>
  api.db.update(provisionerJobs).set(columns).where(eq(provisionerJobs.id, jobId));
const statusOf = async (jobId: string) => (await findJob(api.db, jobId))!.status;
const started = () => api.temporal.starts.map(({ workflowId }) => workflowId);

describe('the sweep', () => {
  test('starts what has no workflow after five seconds, with the facts of a first start', async () => {
    const old = await pending({ workflow: false });
    const young = await pending({ workflow: false, ageSeconds: 1 });
    api.temporal.reachable = false;
    const version = await createVersion(api);
    api.temporal.reachable = true;
    await set(version.body.job.id, { createdAt: sql`now() - interval '10 seconds'` });
    expect(await sweep()).toEqual({ started: 2, restarted: 0, ended: 0 });
    expect(started().toSorted()).toEqual([`build/${old.id}`, `import/${version.body.id}`].toSorted());
    expect(api.temporal.starts.find(({ workflowId }) => workflowId === `build/${old.id}`)).toMatchObject({
      workflowType: 'buildWorkspace',
      again: true,
      priority: 1,
      input: { buildId: old.id, jobId: old.jobId, taskQueue: taskQueueOf(defaultTags), priority: 1 },
      searchAttributes: { BerthOwner: 'owner', BerthTransition: 'start' },
    });
    expect(await sweep()).toEqual({ started: 0, restarted: 0, ended: 0 });
    expect(await statusOf(young.jobId)).toBe('pending');
  });

  test('leaves everything for later while Temporal is away', async () => {
    const { jobId } = await pending({ workflow: false });
    api.temporal.reachable = false;
    expect(await sweep()).toEqual({ started: 0, restarted: 0, ended: 0 });
    api.temporal.reachable = true;
    expect(await sweep()).toMatchObject({ started: 1 });
    expect(await statusOf(jobId)).toBe('pending');
  });

  test('starts a waiting job anew when its workflow is gone, not when it is open', async () => {
    const gone = await pending({ workflow: true, ageSeconds: 11 * 60 });
    const waits = await pending({ workflow: true, ageSeconds: 11 * 60 });
    open.add(`build/${waits.id}`);
    expect(await sweep()).toEqual({ started: 1, restarted: 1, ended: 0 });
    expect(started()).toEqual([`build/${gone.id}`]);
  });

  test('ends a job whose run and workflow are gone, so that its workspace is free', async () => {
    const lost = await pending({ workflow: true });
    await takeAs(api.db, lost.jobId);
    await set(lost.jobId, { leaseUntil: sql`now() - interval '6 minutes'` });
    open.add(`build/${lost.id}`);
    expect(await sweep()).toMatchObject({ ended: 0 });
    open.clear();
    expect(await sweep()).toEqual({ started: 0, restarted: 0, ended: 1 });
    const job = await api.request('GET', `/api/v2/workspacebuilds/${lost.id}`, { token: api.ownerToken });
    expect(job.body).toMatchObject({
      status: 'failed',
      job: { error: expect.stringContaining('its workflow is gone') },
    });
    const [build] = await api.db
      .select({ active: workspaceBuilds.active })
      .from(workspaceBuilds)
      .where(eq(workspaceBuilds.id, lost.id));
    expect(build!.active).toBe(false);
  });

  test('does not end a job that was taken again while it looked', async () => {
    const lost = await pending({ workflow: true });
    await takeAs(api.db, lost.jobId);
    await set(lost.jobId, { leaseUntil: sql`now() - interval '6 minutes'` });
    await sweep(async () => {
      await takeAs(api.db, lost.jobId);
    });
    expect(await statusOf(lost.jobId)).toBe('running');
  });

  test('fails what no worker has served for too long, and only that', async () => {
    const deserted = await pending({ workflow: true, ageSeconds: timeoutMs / 1000 + 60 });
    open.add(`build/${deserted.id}`);
    const id = randomUUID();
    await upsertDaemon(api.db, {
      id,
      name: 'w',
      tags: defaultTags,
      version: 't',
      taskQueues: [taskQueueOf(defaultTags)],
    });
    expect(await sweep()).toMatchObject({ ended: 0 });
    await api.db.execute(sql`update provisioner_daemons set last_seen_at = now() - interval '91 seconds'`);
    expect(await sweep()).toMatchObject({ ended: 1 });
    expect(await statusOf(deserted.jobId)).toBe('failed');
    expect(api.temporal.canceled).toEqual([`build/${deserted.id}`]);
    await api.db.execute(sql`delete from provisioner_daemons where id = ${id}`);
    const young = await pending({ workflow: true, ageSeconds: timeoutMs / 1000 - 60 });
    open.add(`build/${young.id}`);
    expect(await sweep()).toMatchObject({ ended: 0 });
    expect(await statusOf(young.jobId)).toBe('pending');
  });
});
