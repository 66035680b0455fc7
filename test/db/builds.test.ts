import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { transaction } from '../../db/client.ts';
import {
  encodeState,
  getBuildState,
  getStartingState,
  replaceBuildState,
  setBuildState,
} from '../../db/queries/workspace-build-states.ts';
import { insertBuild, listPreviousParameters } from '../../db/queries/workspace-builds.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { workspaceBuildStates, workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { endBuild, takeBuild, templateWith } from '../support/build-rows.ts';
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
const encode = (buildId: string, text: string, version: { serial: number; lineage: string }) =>
  encodeState(api.deps.cipher, { buildId, bytes: Buffer.from(text), ...version });
const textOf = async (buildId: string) => (await getBuildState(api.db, api.deps.cipher, buildId))?.bytes.toString();

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
      insertBuild(tx, {
        id: randomUUID(),
        workspaceId: id,
        jobId: row!.jobId,
        templateVersionId: template.active_version_id,
        transition: 'start',
        reason: 'initiator',
        initiatorId: api.owner.id,
        templateVersionPresetId: null,
        prebuildStage: 'none',
        parameters: [],
        now: new Date(),
      }),
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
    expect(await listPreviousParameters(api.db, id, 2)).toEqual([{ name: 'p', value: '1' }]);
    expect(await listPreviousParameters(api.db, id, 1)).toEqual([]);
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

describe('a stored state', () => {
  test('is replaced by a newer one of its lineage and of the attempt that holds the job, by nothing else', async () => {
    const { latest_build: build } = await newWorkspace();
    const { jobId, attempt } = await takeBuild(api.db, build.id);
    const set = async (text: string, serial: number, options: { lineage?: string; attempt?: number } = {}) =>
      setBuildState(api.db, {
        buildId: build.id,
        jobId,
        attempt: options.attempt ?? attempt,
        state: await encode(build.id, text, { serial, lineage: options.lineage ?? 'l' }),
      });
    expect(await set('early', 1, { attempt: attempt - 1 })).toBe(false);
    expect(await textOf(build.id)).toBeUndefined();
    expect(await set('one', 1)).toBe(true);
    expect(await set('same', 1)).toBe(false);
    expect(await set('older', 0)).toBe(false);
    expect(await set('foreign', 9, { lineage: 'm' })).toBe(false);
    expect(await textOf(build.id)).toBe('one');
    expect(await set('two', 2)).toBe(true);
    const next = (await takeBuild(api.db, build.id)).attempt;
    expect(await set('late', 3)).toBe(false);
    expect(await set('three', 3, { attempt: next })).toBe(true);
    await api.db
      .update(provisionerJobs)
      .set({ completedAt: sql`now()` })
      .where(eq(provisionerJobs.id, jobId));
    expect(await set('over', 4, { attempt: next })).toBe(false);
    expect(await textOf(build.id)).toBe('three');
  });

  test('that an operator emptied is followed by any other', async () => {
    const { latest_build: build } = await newWorkspace();
    await replaceBuildState(api.db, build.id, await encode(build.id, '', { serial: 0, lineage: '' }));
    const { jobId, attempt } = await takeBuild(api.db, build.id);
    const state = await encode(build.id, 'made', { serial: 1, lineage: 'new' });
    expect(await setBuildState(api.db, { buildId: build.id, jobId, attempt, state })).toBe(true);
    const older = await encode(build.id, 'other', { serial: 5, lineage: 'other' });
    expect(await setBuildState(api.db, { buildId: build.id, jobId, attempt, state: older })).toBe(false);
    expect(await textOf(build.id)).toBe('made');
  });

  test('is where the next build starts, whatever became of the build that left it', async () => {
    const { id: workspaceId, latest_build: first } = await newWorkspace();
    const starting = async (buildNumber: number) =>
      (await getStartingState(api.db, api.deps.cipher, { workspaceId, buildNumber }))?.bytes.toString();
    expect(await starting(1)).toBeUndefined();
    await replaceBuildState(api.db, first.id, await encode(first.id, 'first', { serial: 1, lineage: 'l' }));
    await endBuild(api.db, first.id, { error: 'half made' });
    const second = await nextBuild(workspaceId);
    expect(await starting(2)).toBe('first');
    await endBuild(api.db, second.id);
    const third = await nextBuild(workspaceId);
    expect(await starting(3)).toBe('first');
    await replaceBuildState(api.db, third.id, await encode(third.id, 'given', { serial: 1, lineage: 'l' }));
    expect([await starting(3), await starting(2)]).toEqual(['given', 'first']);
  });

  test('is encrypted for its build alone, and compressed when it is large', async () => {
    const { latest_build: build } = await newWorkspace();
    const other = (await newWorkspace()).latest_build;
    const text = `canary ${'x'.repeat(3 * 1024 * 1024)}`;
    await replaceBuildState(api.db, build.id, await encode(build.id, text, { serial: 1, lineage: 'l' }));
    const [row] = await api.db
      .select({ state: workspaceBuildStates.state, encoding: workspaceBuildStates.encoding })
      .from(workspaceBuildStates)
      .where(eq(workspaceBuildStates.workspaceBuildId, build.id));
    expect([row!.encoding, row!.state.length < 100_000, row!.state.includes('canary')]).toEqual(['gzip', true, false]);
    expect(await textOf(build.id)).toBe(text);
    await api.db.execute(sql`
      insert into workspace_build_states select ${other.id}, state, state_key_id, encoding, serial, lineage, updated_at
      from workspace_build_states where workspace_build_id = ${build.id}`);
    await expect(textOf(other.id)).rejects.toThrow();
  });
});
