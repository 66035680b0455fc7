import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { commitQuota } from '../../activities/commit-quota.ts';
import type { JobRun } from '../../activities/job-run.ts';
import { transaction } from '../../db/client.ts';
import { readPrebuildSnapshot } from '../../db/queries/prebuild-snapshot.ts';
import { completeJob, lockAttempt, markApplyBegun } from '../../db/queries/job-attempts.ts';
import { findQuota, findQuotaOf, lockQuota } from '../../db/queries/quota.ts';
import { finishBuildRow, getBuildRun } from '../../db/queries/workspace-builds.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { takeBuild } from '../support/build-rows.ts';
import { activePoolBuilds, createPool, prebuildDeps, runCycle, testRules } from '../support/pool-rows.ts';
import { allowEveryone, insertQuotaGroup, setCost } from '../support/quota-rows.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
let template: JsonValue;
let ann: TestUser;
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
});
afterAll(() => api.close());
beforeEach(async () => {
  ann = await api.createUser({});
  await allowEveryone(api.db, api.organizationId, 30);
});

const quotaOf = (ownerId: string) => findQuota(api.db, { ownerId, organizationId: api.organizationId });
/** A workspace that runs and costs so much. */
async function running(cost: number): Promise<string> {
  const id = await insertWorkspaceOf(api.db, template, { ownerId: ann.id });
  await setCost(api.db, id, cost);
  return id;
}

interface Asking {
  readonly workspaceId: string;
  readonly buildId: string;
  readonly jobId: string;
  readonly attempt: number;
  readonly lines: string[];
  /** Commits a plan of this cost. */
  commit(cost: number): Promise<void>;
  end(outcome: { error?: string; canceled?: boolean }): Promise<void>;
}

/** A build that a worker has taken: the first of a new workspace, or the next one of a given. */
async function taken(options: { of?: string; transition?: string } = {}): Promise<Asking> {
  const { transition = 'start' } = options;
  const answer =
    options.of === undefined
      ? await api.request('POST', '/api/v2/users/me/workspaces', {
          token: ann.token,
          body: { name: `q-${(names += 1)}`, template_id: template.id },
        })
      : await api.request('POST', `/api/v2/workspaces/${options.of}/builds`, {
          token: ann.token,
          body: { transition },
        });
  expect(answer.text && answer.status).toBe(201);
  const buildId: string = options.of === undefined ? answer.body.latest_build.id : answer.body.id;
  return runOf(buildId);
}

/** What a run of a build has; a second one takes over the first. */
async function runOf(buildId: string): Promise<Asking> {
  const job = await takeBuild(api.db, buildId);
  const found = (await getBuildRun(api.db, job.jobId))!;
  const lines: string[] = [];
  const run = {
    deps: { db: api.db },
    job: { id: job.jobId, attempt: job.attempt },
    log: {
      stage: (name: string) => void lines.push(`stage ${name}`),
      say: (level: string, text: string) => void lines.push(`${level} ${text}`),
    },
    stop: new AbortController().signal,
    leave: new AbortController().signal,
  };
  const references = { edges: [], agentOf: {}, metadataOf: { 'coder_metadata.m': 'test_machine.m' } };
  // Only what it needs of a run.
  const commit = (cost: number) =>
    commitQuota(run as unknown as JobRun, { ...found, version: { ...found.version, references } }, planOf(cost));
  return {
    workspaceId: found.workspace.id,
    buildId,
    ...job,
    lines,
    commit,
    async end(outcome) {
      await completeJob(api.db, { ...job, ...outcome });
      await finishBuildRow(api.db, buildId);
    },
  };
}
const planOf = (cost: number) => ({
  planned_values: {
    root_module: {
      resources: [
        { address: 'test_machine.m', mode: 'managed', type: 'test_machine', name: 'm', values: {} },
        {
          address: 'coder_metadata.m',
          mode: 'managed',
          type: 'coder_metadata',
          name: 'm',
          values: { daily_cost: cost },
        },
      ],
    },
  },
});
const refused = { code: 'INSUFFICIENT_QUOTA' };
const rowOf = async ({ buildId }: Asking) =>
  (
    await api.db.execute<{ daily_cost: number; error_code: string | null }>(sql`
      select b.daily_cost, j.error_code from workspace_builds b join provisioner_jobs j on j.id = b.job_id where b.id = ${buildId}`)
  )[0]!;

describe('a budget', () => {
  test('is the sum of what the groups of the owner allow, in this organization', async () => {
    const { organizationId } = api;
    expect(await quotaOf(ann.id)).toEqual({ budget: 30, consumed: 0 });
    await insertQuotaGroup(api.db, { organizationId, quotaAllowance: 12, members: [ann.id, api.owner.id] });
    await insertQuotaGroup(api.db, { organizationId, quotaAllowance: 100, members: [api.owner.id] });
    const token = api.ownerToken;
    const other = (await api.request('POST', '/api/v2/organizations', { token, body: { name: `o-${(names += 1)}` } }))
      .body;
    await insertQuotaGroup(api.db, { organizationId: other.id, quotaAllowance: 1_000, members: [ann.id] });
    expect(await quotaOf(ann.id)).toEqual({ budget: 42, consumed: 0 });
  });

  test('larger than an integer of the database is counted', async () => {
    const quotaAllowance = 2_147_483_647;
    for (let index = 0; index < 2; index += 1)
      await insertQuotaGroup(api.db, { organizationId: api.organizationId, quotaAllowance, members: [ann.id] });
    expect((await quotaOf(ann.id)).budget).toBe(2 * quotaAllowance + 30);
  });
});

describe('what is consumed', () => {
  test('is what the latest builds of the live workspaces of the owner cost', async () => {
    await running(4);
    const gone = await running(8);
    await api.db.execute(sql`update workspaces set deleted = true where id = ${gone}`);
    await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
    expect((await quotaOf(ann.id)).consumed).toBe(4);
  });

  test('counts a build that runs as soon as it has committed its cost', async () => {
    const workspaceId = await running(4);
    const next = await taken({ of: workspaceId });
    expect((await quotaOf(ann.id)).consumed).toBe(0);
    await next.commit(6);
    expect((await quotaOf(ann.id)).consumed).toBe(6);
  });

  test('goes back to what was there before when a build ends without having changed anything', async () => {
    const workspaceId = await running(20);
    const larger = await taken({ of: workspaceId });
    await expect(larger.commit(40)).rejects.toMatchObject(refused);
    // Not only when the job has ended: who asks meanwhile must not be refused for what is not granted.
    expect((await quotaOf(ann.id)).consumed).toBe(20);
    await larger.end({ error: 'no quota' });
    expect((await quotaOf(ann.id)).consumed).toBe(20);
    const canceled = await taken({ of: workspaceId });
    await canceled.commit(5);
    await canceled.end({ canceled: true });
    expect((await quotaOf(ann.id)).consumed).toBe(20);
  });

  test('stays what a build has committed when its apply failed half-way', async () => {
    const workspaceId = await running(20);
    const next = await taken({ of: workspaceId });
    await next.commit(25);
    await markApplyBegun(api.db, { ...next, continued: false });
    await next.end({ error: 'no disk' });
    expect((await quotaOf(ann.id)).consumed).toBe(25);
  });

  test('is not lowered by a delete that failed', async () => {
    const workspaceId = await running(20);
    const next = await taken({ of: workspaceId, transition: 'delete' });
    await markApplyBegun(api.db, { ...next, continued: false });
    await next.end({ error: 'the cloud is away' });
    expect((await quotaOf(ann.id)).consumed).toBe(20);
  });
});

describe('a build', () => {
  test('that fits says so in its log and counts', async () => {
    await running(20);
    const first = await taken();
    await first.commit(10);
    expect(first.lines).toEqual([
      'stage Commit quota',
      'info Cost: 10 credits a day',
      expect.stringMatching(/^info Budget: 30 credits/),
      expect.stringMatching(/^info Consumed: 20 credits a day/),
    ]);
    expect(await rowOf(first)).toEqual({ daily_cost: 10, error_code: null });
  });

  test('that does not fit is refused with a warning, and stores what it would have cost', async () => {
    await running(20);
    const first = await taken();
    await expect(first.commit(11)).rejects.toThrow(/would cost 11 credits a day, and 10 are left/);
    expect(first.lines.slice(1).map((line) => line.split(' ')[0])).toEqual(['info', 'info', 'info', 'warn']);
    expect(await rowOf(first)).toEqual({ daily_cost: 11, error_code: 'INSUFFICIENT_QUOTA' });
  });

  test('of no cost asks nobody', async () => {
    await allowEveryone(api.db, api.organizationId, 0);
    const first = await taken();
    await first.commit(0);
    expect(first.lines).toEqual([]);
  });

  test('is taken over after its commit without counting itself twice', async () => {
    await running(20);
    const first = await taken();
    await first.commit(10);
    await api.db.execute(sql`update provisioner_jobs set lease_until = null where id = ${first.jobId}`);
    const second = await runOf(first.buildId);
    expect(second.attempt).toBe(first.attempt + 1);
    await second.commit(10);
    expect((await quotaOf(ann.id)).consumed).toBe(30);
    // The one before is fenced.
    await expect(first.commit(5)).rejects.toMatchObject({ reason: 'fenced' });
    expect(await rowOf(second)).toEqual({ daily_cost: 10, error_code: null });
  });

  test('is granted when it asks again after the allowance was raised', async () => {
    const first = await taken();
    await expect(first.commit(31)).rejects.toMatchObject(refused);
    await allowEveryone(api.db, api.organizationId, 31);
    await first.commit(31);
    expect(await rowOf(first)).toEqual({ daily_cost: 31, error_code: null });
  });

  test('may make a workspace cheaper beyond the budget, also after a larger one was refused; and may stop it', async () => {
    await allowEveryone(api.db, api.organizationId, 5);
    const workspaceId = await running(20);
    const larger = await taken({ of: workspaceId });
    await expect(larger.commit(40)).rejects.toMatchObject(refused);
    await larger.end({ error: 'no quota' });
    // Cheaper than what was refused is not cheaper than what is there.
    const same = await taken({ of: workspaceId });
    await expect(same.commit(20)).rejects.toMatchObject(refused);
    await same.end({ error: 'no quota' });
    const smaller = await taken({ of: workspaceId });
    await smaller.commit(19);
    await smaller.end({});
    const stop = await taken({ of: workspaceId, transition: 'stop' });
    await stop.commit(19);
    expect((await quotaOf(ann.id)).consumed).toBe(19);
  });
});

describe('at the same time', () => {
  test('of two builds of which one fits exactly one is granted, however they meet', async () => {
    for (let round = 0; round < 15; round += 1) {
      ann = await api.createUser({});
      await running(20);
      const builds = await Promise.all([taken(), taken()]);
      const ends = await Promise.allSettled(builds.map((build) => build.commit(10)));
      expect(ends.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
      expect(ends.find((end) => end.status === 'rejected')?.reason).toMatchObject(refused);
      expect((await quotaOf(ann.id)).consumed).toBe(30);
    }
  });

  test('one owner is waited for, another is not', async () => {
    const first = await taken();
    const mine = { ownerId: ann.id, organizationId: api.organizationId };
    let release = () => {};
    const releasing = new Promise<void>((done) => (release = done));
    let onLocked = () => {};
    const locked = new Promise<void>((done) => (onLocked = done));
    const holder = transaction(api.db, async (tx) => {
      await lockQuota(tx, mine);
      onLocked();
      await releasing;
    });
    await locked;
    const waits = async () =>
      (
        await api.db.execute(sql`select from pg_locks where locktype = 'advisory' and not granted
          and database = (select oid from pg_database where datname = current_database())`)
      ).length > 0;
    const commit = first.commit(10);
    await waitFor('the second to wait', waits);
    await transaction(api.db, (tx) => lockQuota(tx, { ...mine, ownerId: api.owner.id }));
    // Neither does its job's row: the lease has to be renewed while it waits.
    await transaction(api.db, async (tx) => expect(await lockAttempt(tx, first.jobId, first.attempt)).toBeDefined());
    release();
    await Promise.all([holder, commit]);
    expect((await findQuotaOf(api.db, { ...mine, workspaceId: first.workspaceId, buildNumber: 2 })).previous).toBe(10);
  });
});

describe('a pool', () => {
  const blocked = async (quotaEnabled = true) =>
    (
      await readPrebuildSnapshot(api.db, {
        now: api.clock.now,
        rules: testRules,
        backoffLookbackMs: 3_600_000,
        quotaEnabled,
      })
    ).quotaBlocked;

  test('whose newest build was refused makes no more until there is room, or quota is switched off', async () => {
    await allowEveryone(api.db, api.organizationId, 0);
    const pool = await createPool(api, { desired: 1 });
    const deps = prebuildDeps(api, { backoffIntervalMs: 0, failureHardLimit: 0 });
    expect(await runCycle(deps)).toMatchObject({ created: 1 });
    const [first] = await activePoolBuilds(api.db, pool.templateId);
    const run = await runOf(first!.buildId);
    await expect(run.commit(10)).rejects.toMatchObject(refused);
    await completeJob(api.db, { ...run, error: 'no quota', errorCode: 'INSUFFICIENT_QUOTA' });
    await finishBuildRow(api.db, run.buildId);
    expect(await quotaOf(PREBUILDS_SYSTEM_USER_ID)).toEqual({ budget: 0, consumed: 0 });
    expect(await blocked()).toEqual([pool.presetId]);
    expect(await blocked(false)).toEqual([]);
    api.clock.now = new Date(api.clock.now.getTime() + 1_000);
    expect(await runCycle(deps)).toMatchObject({ created: 0 });
    await allowEveryone(api.db, api.organizationId, 9);
    expect(await blocked()).toEqual([pool.presetId]);
    await allowEveryone(api.db, api.organizationId, 10);
    expect(await blocked()).toEqual([]);
    api.clock.now = new Date(api.clock.now.getTime() + 1_000);
    expect(await runCycle(deps)).toMatchObject({ created: 1 });
  });
});
