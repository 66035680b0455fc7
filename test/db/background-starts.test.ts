import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBackgroundStarts, type JobFacts } from '../../commands/start-job.ts';
import { findJob } from '../../db/queries/provisioner-jobs.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { templateWith } from '../support/build-rows.ts';

let api: TestApi;
let jobs: JobFacts[];
beforeAll(async () => {
  api = await createTestApi();
  const template = await templateWith(api, []);
  api.temporal.reachable = false;
  jobs = await Promise.all(
    [1, 2, 3, 4, 5].map(async (index) => {
      const { body } = await api.request('POST', '/api/v2/users/me/workspaces', {
        token: api.ownerToken,
        body: { name: `ws-${index}`, template_id: template.id },
      });
      const { id: jobId } = body.latest_build.job;
      return {
        jobId,
        workflowId: `build/${body.latest_build.id}`,
        tags: {},
        priority: 1,
        kind: { type: 'template_version_dry_run', versionName: 'v', ownerName: 'o' },
      };
    }),
  );
  api.temporal.reachable = true;
});
afterAll(() => api.close());

const isStarted = async ({ jobId }: JobFacts) => {
  const [row] = await api.db
    .select({ at: provisionerJobs.workflowStartedAt })
    .from(provisionerJobs)
    .where(sql`id = ${jobId}`);
  return row!.at !== null;
};

test('Starts that nobody waits for go in batches, in their order, and are remembered; one that fails is left to the sweep', async () => {
  const order: string[] = [];
  const ends: string[] = [];
  const startSoon = createBackgroundStarts({
    db: api.db,
    logger: api.deps.logger,
    temporal: {
      ...api.temporal,
      start: async ({ workflowId }) => {
        order.push(workflowId);
        if (order.length > 1) expect(ends).toContain(order[0]);
        await delay(20);
        ends.push(workflowId);
        if (workflowId === jobs[3]!.workflowId) throw new Error('Temporal is down');
      },
    },
  });
  const all = startSoon(jobs[0]!);
  for (const job of jobs.slice(1)) void startSoon(job);
  await all;
  expect(order).toEqual(jobs.map(({ workflowId }) => workflowId));
  expect(await Promise.all(jobs.map(isStarted))).toEqual([true, true, true, false, true]);
  expect((await findJob(api.db, jobs[3]!.jobId))!.status).toBe('pending');
  // It goes on after a batch was over.
  await startSoon(jobs[3]!);
  expect(order.at(-1)).toBe(jobs[3]!.workflowId);
});
