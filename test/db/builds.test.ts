import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { transaction } from '../../db/client.ts';
import { getBuildRun, insertBuilds } from '../../db/queries/workspace-builds.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { endBuild, templateWith } from '../support/build-rows.ts';
import { insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let template: JsonValue;
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
  template = await templateWith(api, [{ name: 'p', defaultValue: '1' }]);
});
afterAll(() => api.close());

async function newWorkspace(): Promise<JsonValue> {
  const { body } = await api.request('POST', '/api/v2/users/me/workspaces', {
    token: api.ownerToken,
    body: { name: `ws-${(names += 1)}`, template_id: template.id },
  });
  return body;
}
const nextBuild = async (workspaceId: string, transition = 'stop'): Promise<JsonValue> =>
  (
    await api.request('POST', `/api/v2/workspaces/${workspaceId}/builds`, {
      token: api.ownerToken,
      body: { transition },
    })
  ).body;

describe('the deadlines of a build', () => {
  const noon = new Date('2026-01-01T12:00:00Z');
  const later = new Date('2026-01-01T17:00:00Z');

  test.each([
    [null, null, true],
    [noon, null, true],
    [noon, later, true],
    [later, later, true],
    [later, noon, false],
    [null, noon, false],
  ])('%s with the hard limit %s: allowed %s', async (deadline, maxDeadline, allowed) => {
    const id = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
    const write = api.db
      .update(workspaceBuilds)
      .set({ deadline, maxDeadline })
      .where(eq(workspaceBuilds.workspaceId, id));
    const constraint_name = 'workspace_builds_deadline_below_max_deadline';
    if (allowed) await expect(write).resolves.toBeDefined();
    else await expect(write).rejects.toMatchObject({ cause: { constraint_name } });
  });
});

describe('the rows of builds', () => {
  test('know one latest and one active build per workspace, whoever writes', async () => {
    const { id, latest_build: first } = await newWorkspace();
    await endBuild(api.db, first.id);
    await nextBuild(id);
    const [row] = await api.db
      .select({ jobId: workspaceBuilds.jobId })
      .from(workspaceBuilds)
      .where(eq(workspaceBuilds.id, first.id));
    const insert = transaction(api.db, (tx) =>
      insertBuilds(tx, [
        {
          id: randomUUID(),
          workspaceId: id,
          jobId: row!.jobId,
          buildNumber: 3,
          templateVersionId: template.active_version_id,
          transition: 'start',
          reason: 'initiator',
          initiatorId: api.owner.id,
          templateVersionPresetId: null,
          prebuildStage: 'none',
          parameters: [],
          now: new Date(),
        },
      ]),
    );
    await expect(insert).rejects.toMatchObject({ cause: { code: '23505' } });
    const second = api.db.update(workspaceBuilds).set({ isLatest: true }).where(eq(workspaceBuilds.id, first.id));
    await expect(second).rejects.toMatchObject({ cause: { constraint_name: 'workspace_builds_latest_idx' } });
  });

  test('give each build the number after the last and the parameters of the one before', async () => {
    const { id, latest_build: first } = await newWorkspace();
    await endBuild(api.db, first.id);
    const second = await nextBuild(id);
    expect(second.build_number).toBe(2);
    const previousOf = async (build: JsonValue) => (await getBuildRun(api.db, build.job.id))!.previousParameters;
    expect(await previousOf(second)).toEqual([{ name: 'p', value: '1' }]);
    expect(await previousOf(first)).toEqual([]);
  });

  test('let no prebuild have a life of its own', async () => {
    const id = await insertWorkspaceOf(api.db, template);
    const now = new Date();
    const fields = [{ ttlMs: 1 }, { autostartSchedule: 'x' }, { nextStartAt: now }, { dormantAt: now }];
    for (const field of fields)
      await expect(api.db.update(workspaces).set(field).where(eq(workspaces.id, id))).rejects.toMatchObject({
        cause: { constraint_name: 'workspaces_prebuild_has_no_schedule' },
      });
    const [row] = await api.db.select({ ownerId: workspaces.ownerId }).from(workspaces).where(eq(workspaces.id, id));
    expect(row!.ownerId).toBe(PREBUILDS_SYSTEM_USER_ID);
    const doomed = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
    await expect(
      api.db.update(workspaces).set({ deletingAt: now }).where(eq(workspaces.id, doomed)),
    ).rejects.toMatchObject({ cause: { constraint_name: 'workspaces_deleting_needs_dormant' } });
  });
});
