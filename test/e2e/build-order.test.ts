import { asc, inArray } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRequestBuild } from '../../commands/request-build.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import type { Subject } from '../../domain/subject.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { insertPerson, testOrigin } from '../support/builders.ts';
import { type Ledger, createLedger } from '../support/ledger.ts';
import { startApiStack } from '../support/stack.ts';
import { buildOver, createWorkspace, importVersion } from '../support/workspaces.ts';

let api: TestApi;
let stop: () => Promise<void>;
let ledger: Ledger;
let root: Subject;

beforeAll(async () => {
  ledger = createLedger();
  ({ api, stop } = await startApiStack({ slots: 1 }));
  root = await insertPerson(api.db, { username: 'root', roles: ['owner'] });
});
afterAll(async () => {
  await stop();
  ledger.remove();
});

test('a person’s build runs before automatic ones that have waited for longer', async () => {
  const slow = await ledger.template(api, 'slow', { variables: { seconds: '4' } });
  const version = await importVersion(api, { 'main.tf': 'resource "terraform_data" "x" {}\n' });
  const body = { name: 'quick', template_version_id: version.id };
  const quick = await api.request('POST', '/api/v2/organizations/default/templates', { token: api.ownerToken, body });
  const workspaces: JsonValue[] = [];
  for (const name of ['one', 'two', 'three', 'person']) {
    const workspace = await createWorkspace(api, { name, template_id: quick.body.id });
    await buildOver(api, workspace.latest_build.id);
    workspaces.push(workspace);
  }
  const occupied = await createWorkspace(api, { name: 'slow', template_id: slow.id });
  await ledger.seen('slow', 'create first');

  const request = createRequestBuild(api.deps);
  const ids: string[] = [];
  for (const [i, { id }] of workspaces.entries())
    ids.push(
      (await request(root, {
        workspaceId: id,
        transition: 'stop',
        richParameterValues: [],
        orphan: false,
        debug: false,
        reason: i === 3 ? 'dashboard' : 'autostop',
        dryRun: false,
        origin: testOrigin(root.id),
      })) as string,
    );
  const queue = await Promise.all(
    ids.map((id) => api.request('GET', `/api/v2/workspacebuilds/${id}`, { token: api.ownerToken })),
  );
  expect(queue.map(({ body: { job } }) => [job.status, job.queue_position, job.queue_size])).toEqual([
    ['pending', 2, 4],
    ['pending', 3, 4],
    ['pending', 4, 4],
    ['pending', 1, 4],
  ]);
  for (const id of [occupied.latest_build.id, ...ids]) expect((await buildOver(api, id)).job.status).toBe('succeeded');
  const order = await api.db
    .select({ jobId: provisionerJobs.id })
    .from(provisionerJobs)
    .where(
      inArray(
        provisionerJobs.id,
        queue.map(({ body: { job } }) => job.id as string),
      ),
    )
    .orderBy(asc(provisionerJobs.startedAt));
  // Of equals that came within milliseconds of each other none is promised to be first.
  const jobs = queue.map(({ body: { job } }) => job.id as string);
  expect(order[0]!.jobId).toBe(jobs[3]);
  expect(order.map(({ jobId }) => jobId).toSorted()).toEqual(jobs.toSorted());
});
