import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createReconcilePreset } from '../../commands/reconcile-preset.ts';
import { templateVersionTerraformValues } from '../../db/schema/templates.ts';
import { nextOccurrence, parseAutostartSchedule } from '../../domain/autostart.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, insertParameters } from '../support/build-rows.ts';
import { testOrigin } from '../support/builders.ts';
import {
  type PoolSettings,
  type TestPool,
  createPool,
  fillPool,
  finishPoolBuilds,
  insertPool,
  prebuildDeps,
  promoteNewVersion,
  readyAgent,
  runCycle,
} from '../support/pool-rows.ts';

let api: TestApi;
let bob: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  bob = await api.createUser({ username: 'bob' });
});
afterAll(() => api.close());

/** Nothing of other tests is left to reconcile. */
async function filledPool(settings: PoolSettings = {}): Promise<{ pool: TestPool; ids: string[] }> {
  const pool = await createPool(api, settings);
  await api.db.execute(sql`update template_version_presets set desired_instances = null
    where template_version_id <> ${pool.versionId}`);
  return { pool, ids: await fillPool(api, pool) };
}
let names = 0;
const create = (pool: TestPool, options: { as?: TestUser; for?: string; body?: Record<string, unknown> } = {}) =>
  api.request('POST', `/api/v2/users/${options.for ?? 'me'}/workspaces`, {
    token: (options.as ?? bob).token,
    body: {
      template_id: pool.templateId,
      name: `claim-${(names += 1)}`,
      template_version_preset_id: pool.presetId,
      ...options.body,
    },
  });
const rowOf = async (id: string) =>
  (
    await api.db.execute<Record<string, unknown>>(sql`
      select w.owner_id, w.name, w.created_at, w.last_used_at, w.claimed_at, w.ttl_ms, w.autostart_schedule, w.automatic_updates,
        w.dormant_at, w.favorite, b.build_number, b.transition, b.reason, b.initiator_id, b.prebuild_stage, b.handed_over,
        b.template_version_preset_id as preset_id, j.priority, j.id as job_id,
        (select f.initiator_id from workspace_builds f where f.workspace_id = w.id and f.build_number = 1) as first_initiator
      from workspaces w join workspace_builds b on b.id = w.latest_build_id join provisioner_jobs j on j.id = b.job_id
      where w.id = ${id}`)
  )[0]!;
const valuesOf = async (id: string) =>
  Object.fromEntries(
    (
      await api.db.execute<{ name: string; value: string }>(sql`
        select p.name, p.value from workspaces w join workspace_build_parameters p on p.workspace_build_id = w.latest_build_id
        where w.id = ${id}`)
    ).map(({ name, value }) => [name, value]),
  );

describe('a claim', () => {
  test('gives the oldest ready prebuild to its new owner, as an ordinary workspace', async () => {
    const { pool, ids } = await filledPool({ desired: 2 });
    await api.db.execute(sql`update workspaces set created_at = created_at - interval '1 hour' where id = ${ids[1]!}`);
    const before = await rowOf(ids[1]!);
    api.clock.now = new Date(api.clock.now.getTime() + 5_000);
    const answer = await create(pool, {
      body: {
        name: 'mine',
        ttl_ms: 3_600_000,
        autostart_schedule: 'CRON_TZ=Europe/Berlin 30 9 * * 1-5',
        automatic_updates: 'always',
      },
    });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({ id: ids[1], name: 'mine', owner_name: 'bob', is_prebuild: false });
    const schedule = parseAutostartSchedule('CRON_TZ=Europe/Berlin 30 9 * * 1-5');
    expect(answer.body.next_start_at).toBe(nextOccurrence(schedule, api.clock.now)!.toISOString());
    const row = await rowOf(ids[1]!);
    expect(row).toMatchObject({
      owner_id: bob.id,
      name: 'mine',
      created_at: before['created_at'],
      ttl_ms: '3600000',
      autostart_schedule: 'CRON_TZ=Europe/Berlin 30 9 * * 1-5',
      automatic_updates: 'always',
      dormant_at: null,
      favorite: false,
      build_number: 2,
      transition: 'start',
      reason: 'initiator',
      initiator_id: bob.id,
      first_initiator: PREBUILDS_SYSTEM_USER_ID,
      prebuild_stage: 'claim',
      preset_id: pool.presetId,
      priority: 1,
    });
    for (const column of ['last_used_at', 'claimed_at']) expect(new Date(row[column] as string)).toEqual(api.clock.now);
    // The pool's next cycle makes up for it.
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 1, deleted: 0 });
  });

  test('runs as a workflow of its own type, under the id of its build', async () => {
    const { pool } = await filledPool();
    const { body } = await create(pool);
    const start = api.temporal.starts.find(({ workflowId }) => workflowId === `build/${body.latest_build.id}`);
    expect(start).toMatchObject({
      workflowType: 'claimPrebuild',
      priority: 1,
      summary: expect.stringContaining('claim bob/'),
    });
  });

  test('for somebody else has the requester as its initiator', async () => {
    const { pool, ids } = await filledPool();
    const answer = await create(pool, { as: { ...api.owner, token: api.ownerToken }, for: 'bob' });
    expect(answer.body).toMatchObject({ id: ids[0], owner_name: 'bob' });
    expect(await rowOf(ids[0]!)).toMatchObject({ owner_id: bob.id, initiator_id: api.owner.id });
  });

  test('is not refused to those who cannot see prebuilds', async () => {
    const { pool, ids } = await filledPool();
    expect((await api.request('GET', `/api/v2/workspaces/${ids[0]}`, { token: bob.token })).status).toBe(404);
    expect((await create(pool)).body.id).toBe(ids[0]);
  });

  test('under a name that is taken changes nothing', async () => {
    const { pool, ids } = await filledPool();
    const { body } = await create(await createPool(api, { desired: null }), { body: { name: 'taken' } });
    expect(body.name).toBe('taken');
    const answer = await create(pool, { body: { name: 'taken' } });
    expect(answer.status).toBe(409);
    expect(answer.body.validations).toMatchObject([{ field: 'name' }]);
    expect(await rowOf(ids[0]!)).toMatchObject({
      owner_id: PREBUILDS_SYSTEM_USER_ID,
      build_number: 1,
      claimed_at: null,
    });
  });

  test('with a value that is not valid changes nothing', async () => {
    const { pool, ids } = await filledPool();
    const answer = await create(pool, { body: { rich_parameter_values: [{ name: 'nope', value: '1' }] } });
    expect(answer.status).toBe(400);
    expect(answer.body.validations).toMatchObject([{ field: 'nope' }]);
    expect(await rowOf(ids[0]!)).toMatchObject({ owner_id: PREBUILDS_SYSTEM_USER_ID, build_number: 1 });
  });

  test('takes values of the preset before those of the request, and those before the prebuild’s', async () => {
    const pool = await createPool(api, { values: { cpu: '4' } });
    await insertParameters(api.db, pool.versionId, [
      { name: 'cpu', defaultValue: '1' },
      { name: 'editor', defaultValue: 'vim' },
      { name: 'shell', defaultValue: 'bash' },
    ]);
    const [id] = await fillPool(api, pool);
    const answer = await create(pool, {
      body: {
        rich_parameter_values: [
          { name: 'cpu', value: '9' },
          { name: 'editor', value: 'emacs' },
        ],
      },
    });
    expect(answer.body.id).toBe(id);
    expect(await valuesOf(id!)).toEqual({ cpu: '4', editor: 'emacs', shell: 'bash' });
  });

  test('leaves a prebuild whose immutable values are not the wanted ones', async () => {
    const pool = await createPool(api);
    await insertParameters(api.db, pool.versionId, [{ name: 'zone', defaultValue: 'a', mutable: false }]);
    const [id] = await fillPool(api, pool);
    const other = await create(pool, { body: { rich_parameter_values: [{ name: 'zone', value: 'b' }] } });
    expect(other.status).toBe(201);
    expect(other.body.id).not.toBe(id);
    expect((await create(pool, { body: { rich_parameter_values: [{ name: 'zone', value: 'a' }] } })).body.id).toBe(id);
  });

  test('ends the token that was made for the prebuilds user and this workspace', async () => {
    const { pool, ids } = await filledPool();
    await create(pool);
    const keys = await api.db.execute(sql`select id from api_keys where user_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid`);
    expect(keys).toEqual([]);
    expect(await rowOf(ids[0]!)).toMatchObject({ owner_id: bob.id });
  });

  test('of a preset without a pool, or with an empty one, builds anew', async () => {
    const { pool, ids } = await filledPool({ desired: 1 });
    expect((await create(pool)).body.id).toBe(ids[0]);
    const fresh = await create(pool);
    expect(fresh.status).toBe(201);
    expect(await rowOf(fresh.body.id)).toMatchObject({
      build_number: 1,
      prebuild_stage: 'none',
      preset_id: pool.presetId,
    });
  });
});

describe('the preset', () => {
  test.each([
    ['the one with most values', { cpu: '4', region: 'eu', disk: '10' }, 'both'],
    ['the only one that fits', { cpu: '4' }, 'cpu'],
    ['none', { cpu: '8' }, undefined],
  ])('that is matched is %s', async (_name, values, expected) => {
    const pool = await createPool(api, { name: 'cpu', values: { cpu: '4' }, desired: 1 });
    const both = await insertPool(api.db, pool.versionId, {
      name: 'both',
      values: { cpu: '4', region: 'eu' },
      desired: 1,
    });
    await insertParameters(api.db, pool.versionId, [
      { name: 'cpu', defaultValue: '1' },
      { name: 'region', defaultValue: 'us' },
      { name: 'disk', defaultValue: '1' },
    ]);
    await fillPool(api, pool);
    const answer = await create(pool, {
      body: {
        template_version_preset_id: undefined,
        rich_parameter_values: Object.entries(values).map(([name, value]) => ({ name, value })),
      },
    });
    const row = await rowOf(answer.body.id);
    const names: Record<string, unknown> = { both, cpu: pool.presetId };
    expect(row).toMatchObject({
      preset_id: expected === undefined ? null : names[expected],
      build_number: expected === undefined ? 1 : 2,
    });
  });

  test('of another version is refused', async () => {
    const { pool } = await filledPool();
    const other = await createPool(api);
    const answer = await create(pool, { body: { template_version_preset_id: other.presetId } });
    expect(answer.status).toBe(400);
    expect(answer.body.validations).toMatchObject([{ field: 'template_version_preset_id' }]);
  });
});

describe('not claimed is a prebuild', () => {
  const refuses = async ({ pool, ids }: Awaited<ReturnType<typeof filledPool>>) => {
    const answer = await create(pool);
    expect(answer.status).toBe(201);
    expect(ids).not.toContain(answer.body.id);
  };

  test.each(['starting', 'start_error', 'created'] as const)('whose agent is %s', async (state) => {
    const pool = await createPool(api);
    await runCycle(prebuildDeps(api));
    const agents = await finishPoolBuilds(api, pool.templateId, { agent: state });
    await refuses({ pool, ids: agents.map(({ workspaceId }) => workspaceId) });
  });

  test('whose agent has gone away', async () => {
    const filled = await filledPool();
    await api.db.execute(
      sql`update workspace_agent_connections set disconnected_at = last_connected_at + interval '1 second'`,
    );
    await refuses(filled);
  });

  test('that has expired or was declared outdated', async () => {
    const expired = await filledPool({ ttlSeconds: 3600 });
    await api.db.execute(
      sql`update workspaces set created_at = created_at - interval '2 hours' where id = ${expired.ids[0]!}`,
    );
    await refuses(expired);
    const invalidated = await filledPool();
    api.clock.now = new Date(api.clock.now.getTime() + 1_000);
    await api.request('POST', `/api/v2/templates/${invalidated.pool.templateId}/prebuilds/invalidate`, {
      token: api.ownerToken,
    });
    await refuses(invalidated);
  });

  test('that is stopped, or is being deleted', async () => {
    const stopped = await filledPool();
    await api.request('POST', `/api/v2/workspaces/${stopped.ids[0]}/builds`, {
      token: api.ownerToken,
      body: { transition: 'stop' },
    });
    await finishPoolBuilds(api, stopped.pool.templateId);
    await refuses(stopped);
    const going = await filledPool();
    await api.request('POST', `/api/v2/workspaces/${going.ids[0]}/builds`, {
      token: api.ownerToken,
      body: { transition: 'delete' },
    });
    await refuses(going);
  });

  test('of a version that is not the active one', async () => {
    const { pool, ids } = await filledPool();
    await promoteNewVersion(api, pool.templateId, { desired: null });
    const answer = await create(pool, { body: { template_id: undefined, template_version_id: pool.versionId } });
    expect(answer.status).toBe(201);
    expect(ids).not.toContain(answer.body.id);
  });
});

describe('after the claim', () => {
  test('starts are claims until one has succeeded, then ordinary builds', async () => {
    const { pool, ids } = await filledPool();
    const { body } = await create(pool);
    await endBuild(api.db, body.latest_build.id, { error: 'no network' });
    const start = async () =>
      (
        await api.request('POST', `/api/v2/workspaces/${ids[0]}/builds`, {
          token: bob.token,
          body: { transition: 'start' },
        })
      ).body.id;
    const retry = await start();
    expect(await rowOf(ids[0]!)).toMatchObject({ build_number: 3, prebuild_stage: 'claim', owner_id: bob.id });
    await endBuild(api.db, retry);
    const later = await start();
    expect(await rowOf(ids[0]!)).toMatchObject({ build_number: 4, prebuild_stage: 'none' });
    await endBuild(api.db, later);
  });

  test('a failed one is not given back to the pool', async () => {
    const { pool, ids } = await filledPool();
    const { body } = await create(pool);
    await endBuild(api.db, body.latest_build.id, { error: 'no network' });
    expect(await runCycle(prebuildDeps(api))).toMatchObject({ created: 1, deleted: 0 });
    expect(await rowOf(ids[0]!)).toMatchObject({ owner_id: bob.id });
  });

  test('canceling what waits of an old version leaves the claim alone', async () => {
    const { pool, ids } = await filledPool();
    await create(pool);
    await promoteNewVersion(api, pool.templateId, { desired: null });
    await runCycle(prebuildDeps(api));
    const [row] = await api.db.execute(sql`
      select j.job_status as status from workspaces w join workspace_builds b on b.id = w.latest_build_id
      join provisioner_jobs j on j.id = b.job_id where w.id = ${ids[0]!}`);
    expect(row).toEqual({ status: 'pending' });
  });
});

describe('a claim that needs nothing of Terraform', () => {
  async function purePool(environment: unknown[] = [], settings: PoolSettings = {}) {
    const pool = await createPool(api, settings);
    await api.db.insert(templateVersionTerraformValues).values({
      templateVersionId: pool.versionId,
      updatedAt: new Date(),
      cachedPlan: {},
      references: { edges: [], agentOf: {}, metadataOf: {} },
      claimDependencies: { dependents: [], environment: environment as never[] },
    });
    await runCycle(prebuildDeps(api));
    const agents = await finishPoolBuilds(api, pool.templateId);
    return { pool, agent: agents[0]!, id: agents[0]!.workspaceId };
  }
  const agentRow = async (agentId: string) =>
    (
      await api.db.execute<Record<string, unknown>>(sql`
        select a.lifecycle_state, a.started_at, a.ready_at, a.environment_variables, b.build_number
        from workspace_agents a join workspace_resources r on r.id = a.resource_id join workspace_builds b on b.job_id = r.job_id
        where a.id = ${agentId}`)
    )[0];

  test('hands the agent over in the same transaction, with the new owner’s variables', async () => {
    const { pool, agent, id } = await purePool([
      { agent: 'coder_agent.main', name: 'GIT_AUTHOR_NAME', value: [{ of: 'owner', attribute: 'name' }] },
      { agent: 'coder_agent.main', name: 'WHERE', value: [{ text: 'in ' }, { of: 'workspace', attribute: 'name' }] },
      { agent: 'coder_agent.other', name: 'NOT_MINE', value: [{ text: 'x' }] },
    ]);
    const { body } = await create(pool, { body: { name: 'handed' } });
    expect(body.id).toBe(id);
    expect(await rowOf(id)).toMatchObject({ handed_over: true });
    expect(await agentRow(agent.id)).toEqual({
      lifecycle_state: 'created',
      started_at: null,
      ready_at: null,
      environment_variables: { GIT_AUTHOR_NAME: 'bob', WHERE: 'in handed' },
      build_number: 2,
    });
    // Its resources are the claim's at once, and its token goes on.
    expect(
      body.latest_build.resources.flatMap((resource: { agents: { id: string }[] }) => resource.agents),
    ).toMatchObject([{ id: agent.id }]);
    const manifest = await api.request('GET', '/api/v2/workspaceagents/me/manifest', { token: agent.token });
    expect(manifest.status).toBe(200);
    expect(manifest.body).toMatchObject({ owner_name: 'bob', workspace_name: 'handed' });
    const reinit = await api.app.request('/api/v2/workspaceagents/me/reinit', {
      headers: { 'Coder-Session-Token': agent.token },
    });
    expect(reinit.status).toBe(200);
    await reinit.body?.cancel();
  });

  test('waits for Terraform where the template says so, or a value changes, or there are two agents', async () => {
    const opted = await purePool();
    await api.db.execute(sql`update templates set instant_claim = false where id = ${opted.pool.templateId}`);
    await create(opted.pool);
    expect(await rowOf(opted.id)).toMatchObject({ prebuild_stage: 'claim', handed_over: false });

    const changed = await purePool();
    await insertParameters(api.db, changed.pool.versionId, [{ name: 'size', defaultValue: '1' }]);
    await create(changed.pool);
    expect(await rowOf(changed.id)).toMatchObject({ prebuild_stage: 'claim', handed_over: false });

    const two = await purePool();
    await readyAgent(api, two.id);
    await create(two.pool);
    expect(await rowOf(two.id)).toMatchObject({ prebuild_stage: 'claim', handed_over: false });
  });

  test('keeps the agent when the claim fails, and a retry does not begin it anew', async () => {
    const { pool, agent, id } = await purePool();
    const { body } = await create(pool);
    await api.db.execute(
      sql`update workspace_agents set started_at = now(), lifecycle_state = 'ready' where id = ${agent.id}`,
    );
    await endBuild(api.db, body.latest_build.id, { error: 'no network' });
    const manifest = () => api.request('GET', '/api/v2/workspaceagents/me/manifest', { token: agent.token });
    expect((await manifest()).status).toBe(200);
    await api.request('POST', `/api/v2/workspaces/${id}/builds`, { token: bob.token, body: { transition: 'start' } });
    expect(await rowOf(id)).toMatchObject({ build_number: 3, prebuild_stage: 'claim', handed_over: true });
    const again = await api.request('GET', '/api/v2/workspaceagents/me/reinit', { token: agent.token });
    expect(again.status).toBe(409);
  });
});

describe('at the same time', () => {
  test('fifty claimers get ten prebuilds, each of them once, and the others build anew', async () => {
    const { pool, ids } = await filledPool({ desired: 10 });
    expect(ids).toHaveLength(10);
    const answers = await Promise.all(Array.from({ length: 50 }, () => create(pool)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 201));
    const given = answers.map(({ body }) => body.id as string);
    expect(new Set(given).size).toBe(50);
    expect(given.filter((id) => ids.includes(id))).toHaveLength(10);
  });

  test('a claim and a deletion never both win, whoever is first', async () => {
    const pool = await createPool(api, { desired: 1 });
    const deps = prebuildDeps(api);
    const reconcile = createReconcilePreset(deps);
    const origin = { ...testOrigin(PREBUILDS_SYSTEM_USER_ID), actor: 'prebuilds-orchestrator' };
    let claimed = 0;
    for (let round = 0; round < 100; round += 1) {
      await api.db.execute(sql`update template_version_presets set desired_instances = 1 where id = ${pool.presetId}`);
      const [id] = await refill(pool);
      await api.db.execute(sql`update template_version_presets set desired_instances = 0 where id = ${pool.presetId}`);
      const pause = () => new Promise((done) => setTimeout(done, Math.random() * 6));
      const claim = (async () => {
        if (round % 2 === 0) await pause();
        return create(pool);
      })();
      const deletion = (async () => {
        if (round % 2 === 1) await pause();
        return reconcile({ presetId: pool.presetId, maxCreates: 0, origin });
      })();
      const [answer] = await Promise.all([claim, deletion]);
      expect(answer.status).toBe(201);
      const row = await rowOf(id!);
      if (answer.body.id === id) {
        claimed += 1;
        expect(row).toMatchObject({ owner_id: bob.id, transition: 'start', prebuild_stage: 'claim' });
      } else expect(row['owner_id']).toBe(PREBUILDS_SYSTEM_USER_ID);
      await api.db.execute(sql`update workspaces set deleted = true where template_id = ${pool.templateId}`);
    }
    // Both orders came about, else the race was none.
    expect(claimed).toBeGreaterThan(0);
    expect(claimed).toBeLessThan(100);
  });

  test('promoting in a storm of claims gives nobody a prebuild of the old version after it', async () => {
    const { pool, ids } = await filledPool({ desired: 10 });
    const claims = Array.from({ length: 30 }, async (_, place) => {
      await new Promise((done) => setTimeout(done, place * 2));
      return create(pool, { body: { template_version_preset_id: undefined } });
    });
    await promoteNewVersion(api, pool.templateId, { desired: 1 });
    const answers = await Promise.all(claims);
    expect(answers.every(({ status }) => status === 201)).toBe(true);
    const given = answers.map(({ body }) => body.id as string).filter((id) => ids.includes(id));
    expect(new Set(given).size).toBe(given.length);
    // What was not claimed in time goes, what was stays its owner's.
    await runCycle(prebuildDeps(api));
    for (const id of ids) {
      const row = await rowOf(id);
      expect(row).toMatchObject(
        given.includes(id) ? { owner_id: bob.id, transition: 'start' } : { transition: 'delete' },
      );
    }
  });
});

async function refill(pool: TestPool): Promise<string[]> {
  const deps = prebuildDeps(api);
  const origin = { ...testOrigin(PREBUILDS_SYSTEM_USER_ID), actor: 'prebuilds-orchestrator' };
  await createReconcilePreset(deps)({ presetId: pool.presetId, maxCreates: 1, origin });
  const agents = await finishPoolBuilds(api, pool.templateId);
  return agents.map(({ workspaceId }) => workspaceId);
}
