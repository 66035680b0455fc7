import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { taskQueueOf } from '../../commands/task-queue.ts';
import { upsertDaemon } from '../../db/queries/provisioner-daemons.ts';
import { insertJob } from '../../db/queries/provisioner-jobs.ts';
import { provisionerDaemons, provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { jobPriority } from '../../domain/jobs.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';
import { createTemplate, createVersion, insertWorkspaceOf, uploadTar } from '../support/template-rows.ts';

const defaultTags = { scope: 'organization', owner: '' };
const jobsPath = '/api/v2/organizations/default/provisionerjobs';
const daemonsPath = '/api/v2/organizations/default/provisionerdaemons';

async function withApi<T>(work: (api: TestApi) => Promise<T>): Promise<T> {
  const api = await createTestApi();
  try {
    return await work(api);
  } finally {
    await api.close();
  }
}

/** A pending build job, as the reconciler or a person leaves one behind. */
async function insertPending(
  api: TestApi,
  job: { initiatorId?: string; priority?: number; tags?: Record<string, string>; ageSeconds?: number } = {},
): Promise<string> {
  const id = randomUUID();
  await insertJob(api.db, {
    id,
    organizationId: api.organizationId,
    initiatorId: job.initiatorId ?? api.owner.id,
    type: 'workspace_build',
    input: {},
    fileId: await uploadTar(api, api.ownerToken, { 'main.tf': '' }),
    tags: job.tags ?? defaultTags,
    workflowId: `build/${id}`,
    priority: job.priority ?? jobPriority.interactive,
  });
  if (job.ageSeconds !== undefined)
    await api.db
      .update(provisionerJobs)
      .set({ createdAt: sql`now() - ${`${job.ageSeconds} seconds`}::interval` })
      .where(eq(provisionerJobs.id, id));
  return id;
}
const list = async (api: TestApi, query = '', token = api.ownerToken) =>
  api.request('GET', `${jobsPath}${query}`, { token });
const queueOf = async (api: TestApi, id: string) => {
  const { body } = await api.request('GET', `${jobsPath}/${id}`, { token: api.ownerToken });
  return [body.queue_position, body.queue_size];
};

describe('the queue', () => {
  test('ranks pending jobs from 1, and a started one leaves it', () =>
    withApi(async (api) => {
      const ids = [];
      for (const ageSeconds of [30, 20, 10]) ids.push(await insertPending(api, { ageSeconds }));
      expect(await Promise.all(ids.map((id) => queueOf(api, id)))).toEqual([
        [1, 3],
        [2, 3],
        [3, 3],
      ]);
      await api.db
        .update(provisionerJobs)
        .set({ startedAt: sql`now()` })
        .where(eq(provisionerJobs.id, ids[0]!));
      expect(await Promise.all(ids.map((id) => queueOf(api, id)))).toEqual([
        [0, 0],
        [1, 2],
        [2, 2],
      ]);
    }));

  test('puts a person before older jobs of the pool, and counts each tag set for itself', () =>
    withApi(async (api) => {
      const pool = await insertPending(api, {
        initiatorId: PREBUILDS_SYSTEM_USER_ID,
        priority: jobPriority.pool,
        ageSeconds: 60,
      });
      const human = await insertPending(api);
      const tagged = await insertPending(api, { tags: { ...defaultTags, gpu: 'yes' } });
      expect(await queueOf(api, human)).toEqual([1, 2]);
      expect(await queueOf(api, pool)).toEqual([2, 2]);
      expect(await queueOf(api, tagged)).toEqual([1, 1]);
    }));
});

describe('the list of jobs', () => {
  test('is newest first, tells what each is about and filters by status, id, tags and initiator', () =>
    withApi(async (api) => {
      const template = await createTemplate(api, { display_name: 'Shown', icon: '/i' });
      const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
      const pool = await insertPending(api, {
        initiatorId: PREBUILDS_SYSTEM_USER_ID,
        tags: { ...defaultTags, a: '1' },
      });
      const { body: version } = await createVersion(api, { body: { template_id: template.id, name: 'latest' } });
      const { status, body } = await list(api);
      expect(status).toBe(200);
      expect(body).toHaveLength(4);
      expect(body[0]).toMatchObject({
        id: version.job.id,
        type: 'template_version_import',
        status: 'pending',
        available_workers: [],
        metadata: {
          template_version_name: 'latest',
          template_id: template.id,
          template_name: template.name,
          template_display_name: 'Shown',
          template_icon: '/i',
        },
      });
      const build = body.find((job: { metadata: object }) => 'workspace_id' in job.metadata);
      expect(build.metadata).toMatchObject({ workspace_id: workspaceId, workspace_build_transition: 'start' });
      const ids = async (query: string) => {
        const answer = await list(api, query);
        return answer.status === 200
          ? answer.body.map(({ id }: { id: string }) => id)
          : [answer.status, ...(answer.body.validations ?? []).map(({ field }: { field: string }) => field)];
      };
      expect(await ids('?initiator=prebuilds')).toEqual([pool]);
      expect(await ids('?initiator=me&status=pending')).toEqual([version.job.id]);
      expect(await ids('?status=pending,running')).toEqual([version.job.id, pool]);
      expect(await ids('?limit=1')).toEqual([version.job.id]);
      expect(await ids(`?ids=${pool}`)).toEqual([pool]);
      expect(await ids(`?tags=${encodeURIComponent('{"a":"1"}')}`)).toEqual([pool]);
      expect(await ids('?initiator=nobody')).toEqual([400, 'initiator']);
      expect(await ids('?status=done')).toEqual([400, 'status']);
      expect(await ids('?ids=x')).toEqual([400, 'ids']);
      expect(await ids('?tags=x')).toEqual([400, 'tags']);
      expect(await ids('?tags=[1]')).toEqual([400, 'tags']);
      expect(await ids('?limit=-1')).toEqual([400, 'limit']);
      expect((await api.request('GET', `${jobsPath}/${randomUUID()}`, { token: api.ownerToken })).status).toBe(404);
    }));

  test('is for template and organization admins: 403 for members, 404 for strangers', () =>
    withApi(async (api) => {
      const status = async (user: TestUser) => (await list(api, '', user.token)).status;
      expect(await status(await api.createUser())).toBe(403);
      expect(await status(await api.createUser({ organizationIds: [] }))).toBe(404);
      expect(await status(await api.createUser({ roles: ['template-admin'] }))).toBe(200);
      expect(await status(await api.createUser({ organizationRoles: ['organization-admin'] }))).toBe(200);
    }));
});

describe('workers', () => {
  let api: TestApi;
  let member: TestUser;
  const idle = randomUUID();
  const busy = randomUUID();
  const offline = randomUUID();
  beforeAll(async () => {
    api = await createTestApi();
    member = await api.createUser();
    for (const id of [idle, busy, offline])
      await upsertDaemon(api.db, {
        id,
        name: `worker-${id.slice(0, 4)}`,
        tags: { ...defaultTags, ...(id === busy && { gpu: 'yes' }) },
        version: '1.2.3',
        taskQueues: [taskQueueOf(defaultTags)],
      });
    await api.db
      .update(provisionerDaemons)
      .set({ lastSeenAt: sql`now() - interval '91 seconds'` })
      .where(eq(provisionerDaemons.id, offline));
  });
  afterAll(() => api.close());
  const daemons = async (query = '') => {
    const answer = await api.request('GET', `${daemonsPath}${query}`, { token: member.token });
    return answer.status === 200
      ? answer.body.map(({ id }: { id: string }) => id).toSorted()
      : [answer.status, ...(answer.body.validations ?? []).map(({ field }: { field: string }) => field)];
  };

  test('show their current and previous job, and are offline 90 s after their last heartbeat', async () => {
    const template = await createTemplate(api, { display_name: 'Shown' });
    const jobs = [await insertPending(api), await insertPending(api)];
    const take = (id: string, done: boolean) =>
      api.db
        .update(provisionerJobs)
        .set({ workerId: busy, startedAt: sql`now()`, ...(done && { completedAt: sql`now()` }) })
        .where(eq(provisionerJobs.id, id));
    const version = await api.request('GET', `/api/v2/templateversions/${template.active_version_id}`, {
      token: api.ownerToken,
    });
    await take(version.body.job.id, true);
    await take(jobs[0]!, false);
    const { body } = await api.request('GET', `${daemonsPath}?offline=true`, { token: member.token });
    const byId = new Map(body.map((daemon: { id: string }) => [daemon.id, daemon]));
    expect(byId.get(idle)).toMatchObject({
      status: 'idle',
      current_job: null,
      previous_job: null,
      version: '1.2.3',
      api_version: '1.0',
      provisioners: ['terraform'],
      tags: defaultTags,
      key_name: 'built-in',
    });
    expect(byId.get(busy)).toMatchObject({
      status: 'busy',
      current_job: { id: jobs[0], status: 'running' },
      previous_job: { id: version.body.job.id, status: 'succeeded', template_name: template.name },
    });
    expect(byId.get(offline)).toMatchObject({ status: 'offline' });
  });

  test('that are offline are listed only on request, and all are filtered', async () => {
    expect(await daemons()).toEqual([idle, busy].toSorted());
    expect(await daemons('?offline=true')).toEqual([idle, busy, offline].toSorted());
    expect(await daemons('?status=offline')).toEqual([offline]);
    expect(await daemons('?status=busy')).toEqual([busy]);
    expect(await daemons(`?ids=${idle}`)).toEqual([idle]);
    expect(await daemons(`?tags=${encodeURIComponent('{"gpu":"yes"}')}`)).toEqual([busy]);
    expect(await daemons('?offline=true&max_age=60s')).toEqual([idle, busy].toSorted());
    expect(await daemons('?offline=true&max_age=1h0m0s')).toHaveLength(3);
    expect(await daemons('?limit=1')).toHaveLength(1);
    expect(await daemons('?max_age=soon')).toEqual([400, 'max_age']);
    expect(await daemons('?status=asleep')).toEqual([400, 'status']);
  });

  test('that serve the tags of a new version are counted in its answer', async () => {
    const { body } = await createVersion(api);
    expect(body.matched_provisioners).toMatchObject({ count: 3, available: 2 });
    const { body: job } = await api.request('GET', `${jobsPath}/${body.job.id}`, { token: api.ownerToken });
    expect(job.available_workers.toSorted()).toEqual([idle, busy].toSorted());
    const tagged = await createVersion(api, { body: { tags: { nowhere: 'yes' } } });
    expect(tagged.body.matched_provisioners).toEqual({ count: 0, available: 0 });
  });
});
