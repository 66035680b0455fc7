import fc from 'fast-check';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  findStateFacts,
  keptStateVersions,
  listStateVersions,
  pruneStateVersions,
} from '../../db/queries/state-versions.ts';
import { findStateVersion, getBuildState, getStartingState } from '../../db/queries/workspace-build-states.ts';
import { workspaceBuildStates } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { endBuild, takeBuild, templateWith } from '../support/build-rows.ts';
import { giveState, plainState, runStores } from '../support/state-rows.ts';

let api: TestApi;
let template: JsonValue;
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
  template = await templateWith(api, []);
});
afterAll(() => api.close());

async function newWorkspace(): Promise<JsonValue> {
  const body = { name: `ws-${(names += 1)}`, template_id: template.id };
  return (await api.request('POST', '/api/v2/users/me/workspaces', { token: api.ownerToken, body })).body;
}
const nextBuild = async (workspaceId: string): Promise<JsonValue> =>
  (
    await api.request('POST', `/api/v2/workspaces/${workspaceId}/builds`, {
      token: api.ownerToken,
      body: { transition: 'stop' },
    })
  ).body;
const list = (workspaceId: string, page: { limit?: number; offset?: number } = {}) =>
  listStateVersions(api.db, { workspaceId, limit: page.limit ?? 1_000, offset: page.offset ?? 0 });

describe('the versions of a state', () => {
  test('are listed newest first, by build before version, and the first is the current one', async () => {
    const { id: workspaceId, latest_build: first } = await newWorkspace();
    expect(await list(workspaceId)).toEqual([]);
    expect(await findStateFacts(api.db, workspaceId)).toBeUndefined();
    const run = { buildId: first.id, ...(await takeBuild(api.db, first.id)) };
    await runStores(api, run, plainState({ serial: 2 }));
    await endBuild(api.db, first.id);
    const second = await nextBuild(workspaceId);
    await endBuild(api.db, second.id);
    await giveState(api, second.id, plainState({ serial: 5 }));
    await giveState(api, first.id, plainState({ serial: 3 }), 'restore');
    const rows = await list(workspaceId);
    expect(rows.map((row) => [row.version, row.buildNumber, row.source, row.serial, row.current, row.kept])).toEqual([
      [2, 2, 'upload', 5, true, true],
      [3, 1, 'restore', 3, false, true],
      [1, 1, 'build', 2, false, true],
    ]);
    expect(rows[0]).toMatchObject({
      lineage: 'l',
      checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
      sizeBytes: plainState({ serial: 5 }).bytes.length,
      createdBy: null,
    });
    expect(await list(workspaceId, { limit: 1, offset: 1 })).toEqual([rows[1]]);
    expect(await findStateFacts(api.db, workspaceId)).toEqual(rows[0]);
    expect(await findStateFacts(api.db, workspaceId, 1)).toEqual(rows[2]);
  });

  test('beyond the last ten lose their content, never their row; a build without one of its own says so', async () => {
    const { id: workspaceId, latest_build: first } = await newWorkspace();
    await endBuild(api.db, first.id);
    await giveState(api, first.id, plainState({ serial: 1 }));
    const second = await nextBuild(workspaceId);
    await endBuild(api.db, second.id);
    for (let serial = 2; serial <= 11; serial += 1) await giveState(api, second.id, plainState({ serial }));
    const rows = await list(workspaceId);
    expect(rows.map(({ kept }) => kept)).toEqual([...Array.from({ length: 10 }, () => true), false]);
    expect(rows.at(-1)).toMatchObject({ version: 1, serial: 1, checksum: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const gone = { code: 'GONE', message: 'The content of state version 1 (build 1) is no longer kept' };
    await expect(getBuildState(api.db, api.deps.cipher, first.id)).rejects.toMatchObject(gone);
    await expect(findStateVersion(api.db, api.deps.cipher, { workspaceId, version: 1 })).rejects.toMatchObject(gone);
    expect(await findStateVersion(api.db, api.deps.cipher, { workspaceId, version: 99 })).toBeUndefined();
    // What never can be met: it is refused all the same, not taken for "no state".
    await expect(getStartingState(api.db, api.deps.cipher, { workspaceId, buildNumber: 1 })).rejects.toMatchObject(
      gone,
    );
  });

  test('of one workspace are pruned without those of others, by one statement that finds nothing the second time', async () => {
    const [mine, theirs] = [await newWorkspace(), await newWorkspace()];
    for (let serial = 1; serial <= 12; serial += 1) {
      await giveState(api, mine.latest_build.id, plainState({ serial }));
      if (serial <= 9) await giveState(api, theirs.latest_build.id, plainState({ serial }));
    }
    const before = await api.db
      .select({ version: workspaceBuildStates.version, updatedAt: workspaceBuildStates.updatedAt })
      .from(workspaceBuildStates)
      .where(eq(workspaceBuildStates.workspaceId, mine.id))
      .orderBy(workspaceBuildStates.version);
    api.statements.length = 0;
    await pruneStateVersions(api.db, mine.id);
    expect(api.statements).toHaveLength(1);
    const after = await api.db
      .select({ version: workspaceBuildStates.version, updatedAt: workspaceBuildStates.updatedAt })
      .from(workspaceBuildStates)
      .where(eq(workspaceBuildStates.workspaceId, mine.id))
      .orderBy(workspaceBuildStates.version);
    expect(after).toEqual(before);
    expect((await list(theirs.id)).every(({ kept }) => kept)).toBe(true);
  });

  test('number on, whatever is written in which order; ten are kept and the current one always is', async () => {
    // One entry per build: how often its run stores, and to which build (counted back) operators give a state afterwards.
    const builds = fc.array(fc.record({ stores: fc.nat(2), gives: fc.array(fc.nat(5), { maxLength: 3 }) }), {
      minLength: 1,
      maxLength: 9,
    });
    await fc.assert(
      fc.asyncProperty(builds, async (plan) => {
        const workspace = await newWorkspace();
        const made: { id: string; number: number }[] = [];
        const model: { version: number; build: number }[] = [];
        const add = (build: number) => model.push({ version: model.length + 1, build });
        let serial = 0;
        let current: number | undefined;
        for (const { stores, gives } of plan) {
          const build = made.length === 0 ? workspace.latest_build : await nextBuild(workspace.id);
          made.push({ id: build.id, number: build.build_number });
          const run = { buildId: build.id, ...(await takeBuild(api.db, build.id)) };
          for (let count = 0; count < stores; count += 1)
            expect(await runStores(api, run, plainState({ serial: (serial += 1) }))).toBe(true);
          if (stores > 0) add(build.build_number);
          await pruneStateVersions(api.db, workspace.id);
          await endBuild(api.db, build.id);
          for (const back of gives) {
            const target = made[Math.max(0, made.length - 1 - back)]!;
            expect(await giveState(api, target.id, plainState({ serial: (serial += 1) }))).toBe(model.length + 1);
            add(target.number);
          }
          const order = model.toSorted((a, b) => b.build - a.build || b.version - a.version);
          const rows = await list(workspace.id);
          expect(rows.map(({ version }) => version)).toEqual(order.map(({ version }) => version));
          expect(rows.map(({ kept }) => kept)).toEqual(order.map((_, index) => index < keptStateVersions));
          current = order[0]?.version;
          const start = { workspaceId: workspace.id, buildNumber: build.build_number };
          expect((await getStartingState(api.db, api.deps.cipher, start))?.version).toBe(current);
        }
      }),
      { numRuns: 12 },
    );
  });
});
