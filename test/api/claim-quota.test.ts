import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findQuota } from '../../db/queries/quota.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { type TestPool, createPool, fillPool } from '../support/pool-rows.ts';
import { allowEveryone, setCost } from '../support/quota-rows.ts';

let api: TestApi;
let bob: TestUser;
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
});
afterAll(() => api.close());
beforeEach(async () => {
  bob = await api.createUser({});
  api.deps.config.CODER_QUOTA_ENABLED = true;
});

/** A full pool whose prebuilds cost so much each. */
async function costlyPool(desired: number, cost: number): Promise<{ pool: TestPool; ids: string[] }> {
  const pool = await createPool(api, { desired });
  await api.db.execute(sql`update template_version_presets set desired_instances = null
    where template_version_id <> ${pool.versionId}`);
  const ids = await fillPool(api, pool);
  for (const id of ids) await setCost(api.db, id, cost);
  return { pool, ids };
}
const create = ({ templateId, presetId }: TestPool) =>
  api.request('POST', '/api/v2/users/me/workspaces', {
    token: bob.token,
    body: { template_id: templateId, name: `claim-${(names += 1)}`, template_version_preset_id: presetId },
  });
const quotaOf = (ownerId: string) => findQuota(api.db, { ownerId, organizationId: api.organizationId });
const misses = async (reason: string) => {
  const text = await api.deps.metrics.registry.metrics();
  return Number(new RegExp(`_claim_misses_total\\{[^}]*reason="${reason}"[^}]*\\} (\\d+)`).exec(text)?.[1] ?? 0);
};

describe('a claim', () => {
  test('that the budget allows moves the cost from the pool to the new owner, at once', async () => {
    await allowEveryone(api.db, api.organizationId, 10);
    const { pool, ids } = await costlyPool(1, 10);
    const before = (await quotaOf(PREBUILDS_SYSTEM_USER_ID)).consumed;
    expect((await create(pool)).body.id).toBe(ids[0]);
    expect(await quotaOf(bob.id)).toEqual({ budget: 10, consumed: 10 });
    expect((await quotaOf(PREBUILDS_SYSTEM_USER_ID)).consumed).toBe(before - 10);
  });

  test('beyond the budget leaves the prebuild in its pool; the workspace is built as any other', async () => {
    await allowEveryone(api.db, api.organizationId, 9);
    const { pool, ids } = await costlyPool(1, 10);
    const before = await misses('quota');
    const { status, body } = await create(pool);
    expect(status).toBe(201);
    expect(ids).not.toContain(body.id);
    expect(await misses('quota')).toBe(before + 1);
    const [row] = await api.db.execute(sql`
      select w.owner_id, b.build_number from workspaces w join workspace_builds b on b.id = w.latest_build_id where w.id = ${ids[0]!}`);
    expect(row).toEqual({ owner_id: PREBUILDS_SYSTEM_USER_ID, build_number: 1 });
  });

  test('of a prebuild that costs nothing needs no budget', async () => {
    await allowEveryone(api.db, api.organizationId, 0);
    const { pool, ids } = await costlyPool(1, 0);
    expect((await create(pool)).body.id).toBe(ids[0]);
  });

  test('is not looked at where quota is switched off', async () => {
    await allowEveryone(api.db, api.organizationId, 0);
    const { pool, ids } = await costlyPool(1, 10);
    api.deps.config.CODER_QUOTA_ENABLED = false;
    expect((await create(pool)).body.id).toBe(ids[0]);
  });

  test('of five at once gets what the budget allows, and the rest stays in the pool', async () => {
    await allowEveryone(api.db, api.organizationId, 20);
    const { pool, ids } = await costlyPool(5, 10);
    const answers = await Promise.all(ids.map(() => create(pool)));
    expect(answers.map(({ status }) => status)).toEqual(ids.map(() => 201));
    expect(answers.filter(({ body }) => ids.includes(body.id))).toHaveLength(2);
    expect(await quotaOf(bob.id)).toEqual({ budget: 20, consumed: 20 });
  });
});
