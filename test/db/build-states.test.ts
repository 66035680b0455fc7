import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  encodeState,
  findStateVersion,
  getBuildState,
  getStartingState,
  setBuildState,
  setLateState,
} from '../../db/queries/workspace-build-states.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { workspaceBuildStates } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { endBuild, takeBuild, templateWith } from '../support/build-rows.ts';
import { damages, giveState, plainState, runStores } from '../support/state-rows.ts';

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
const text = (words: string, version: { serial?: number; lineage?: string } = {}) => ({
  bytes: Buffer.from(words),
  serial: version.serial ?? 1,
  lineage: version.lineage ?? 'l',
});
const textOf = async (buildId: string) => (await getBuildState(api.db, api.deps.cipher, buildId))?.bytes.toString();
const rowsOf = (workspaceId: string) =>
  api.db
    .select({
      version: workspaceBuildStates.version,
      buildId: workspaceBuildStates.workspaceBuildId,
      source: workspaceBuildStates.source,
      serial: workspaceBuildStates.serial,
    })
    .from(workspaceBuildStates)
    .where(eq(workspaceBuildStates.workspaceId, workspaceId))
    .orderBy(workspaceBuildStates.version);
const starting = (workspaceId: string, buildNumber = 99) =>
  getStartingState(api.db, api.deps.cipher, { workspaceId, buildNumber });

describe('the state of a run', () => {
  test('is replaced by a newer one of its lineage and of the attempt that holds the job, by nothing else', async () => {
    const { latest_build: build } = await newWorkspace();
    const { jobId, attempt } = await takeBuild(api.db, build.id);
    const set = (words: string, serial: number, options: { lineage?: string; attempt?: number } = {}) => {
      const run = { buildId: build.id, jobId, attempt: options.attempt ?? attempt };
      return runStores(api, run, text(words, { serial, lineage: options.lineage ?? 'l' }));
    };
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

  test('of another build’s job is refused', async () => {
    const { latest_build: build } = await newWorkspace();
    const { latest_build: other } = await newWorkspace();
    const run = await takeBuild(api.db, build.id);
    expect(await runStores(api, { ...run, buildId: other.id }, text('x'))).toBe(false);
    expect(await textOf(other.id)).toBeUndefined();
  });

  test('has one row, numbered after what an operator gave with the build, which it never touches', async () => {
    const { id: workspaceId, latest_build: build } = await newWorkspace();
    await giveState(api, build.id, text('given', { serial: 7 }));
    const run = { buildId: build.id, ...(await takeBuild(api.db, build.id)) };
    expect(await runStores(api, run, text('older', { serial: 7 }))).toBe(false);
    expect(await runStores(api, run, text('foreign', { serial: 8, lineage: 'm' }))).toBe(false);
    for (const serial of [8, 9, 10]) expect(await runStores(api, run, text(`run ${serial}`, { serial }))).toBe(true);
    expect(await rowsOf(workspaceId)).toEqual([
      { version: 1, buildId: build.id, source: 'upload', serial: 7 },
      { version: 2, buildId: build.id, source: 'build', serial: 10 },
    ]);
    const given = await findStateVersion(api.db, api.deps.cipher, { workspaceId, version: 1 });
    expect(given?.bytes.toString()).toBe('given');
    await endBuild(api.db, build.id);
    const second = await nextBuild(workspaceId);
    const next = { buildId: second.id, ...(await takeBuild(api.db, second.id)) };
    expect(await runStores(api, next, text('of the next', { serial: 11 }))).toBe(true);
    expect((await rowsOf(workspaceId)).map(({ version }) => version)).toEqual([1, 2, 3]);
  });

  test('follows an empty one that an operator gave, whatever its lineage', async () => {
    const { latest_build: build } = await newWorkspace();
    await giveState(api, build.id, text('', { serial: 0, lineage: '' }), 'orphan');
    const run = { buildId: build.id, ...(await takeBuild(api.db, build.id)) };
    expect(await runStores(api, run, text('made', { serial: 1, lineage: 'new' }))).toBe(true);
    expect(await runStores(api, run, text('other', { serial: 5, lineage: 'other' }))).toBe(false);
    expect(await textOf(build.id)).toBe('made');
  });

  test('is stored once by many writers at once, and the newest remains', async () => {
    const serials = Array.from({ length: 30 }, (_, index) => index + 1);
    for (let round = 0; round < 10; round += 1) {
      const { id: workspaceId, latest_build: build } = await newWorkspace();
      const run = { buildId: build.id, ...(await takeBuild(api.db, build.id)) };
      const stored = await Promise.all(serials.map((serial) => runStores(api, run, text(`s${serial}`, { serial }))));
      expect(stored).toContain(true);
      expect(await rowsOf(workspaceId)).toEqual([{ version: 1, buildId: build.id, source: 'build', serial: 30 }]);
      expect(await textOf(build.id)).toBe('s30');
    }
  });
});

describe('a state that is found after its build was over', () => {
  const late = async (buildId: string, state: Parameters<typeof text>[1], words = 'late') =>
    setLateState(api.db, {
      buildId,
      state: await encodeState(api.deps.cipher, { buildId, ...text(words, state) }),
    });

  test('replaces the run’s own older one, and is refused while the build is active', async () => {
    const { id: workspaceId, latest_build: build } = await newWorkspace();
    const run = { buildId: build.id, ...(await takeBuild(api.db, build.id)) };
    await runStores(api, run, text('two', { serial: 2 }));
    expect(await late(build.id, { serial: 3 })).toBe(false);
    await endBuild(api.db, build.id);
    expect(await late(build.id, { serial: 2 })).toBe(false);
    expect(await late(build.id, { serial: 3, lineage: 'm' })).toBe(false);
    expect(await late(build.id, { serial: 3 })).toBe(true);
    expect(await rowsOf(workspaceId)).toEqual([{ version: 1, buildId: build.id, source: 'build', serial: 3 }]);
  });

  test('never stands over what an operator gave since', async () => {
    const { latest_build: build } = await newWorkspace();
    await giveState(api, build.id, text('with the build', { serial: 1 }));
    await endBuild(api.db, build.id);
    expect(await late(build.id, { serial: 2 })).toBe(true);
    await giveState(api, build.id, text('repaired', { serial: 1 }));
    expect(await late(build.id, { serial: 9 })).toBe(false);
    expect(await textOf(build.id)).toBe('repaired');
  });

  test('and an operator’s at the same moment get versions of their own', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { id: workspaceId, latest_build: build } = await newWorkspace();
      await endBuild(api.db, build.id);
      const put = api.request('PUT', `/api/v2/workspacebuilds/${build.id}/state`, {
        token: api.ownerToken,
        body: { state: plainState({ serial: 4 }).bytes.toString('base64') },
      });
      const [answer] = await Promise.all([put, late(build.id, { serial: 3 })]);
      expect(answer.status).toBe(204);
      const rows = await rowsOf(workspaceId);
      expect(rows.map(({ version }) => version)).toEqual(rows.map((_, index) => index + 1));
      expect(rows.at(-1)?.source).toBe('upload');
    }
  });
});

describe('the state that a build starts from', () => {
  test('is the newest of the workspace, whatever became of the build that left it', async () => {
    const { id: workspaceId, latest_build: first } = await newWorkspace();
    const textAt = async (buildNumber: number) => (await starting(workspaceId, buildNumber))?.bytes.toString();
    expect(await textAt(1)).toBeUndefined();
    await giveState(api, first.id, text('first'));
    await endBuild(api.db, first.id, { error: 'half made' });
    const second = await nextBuild(workspaceId);
    expect(await textAt(2)).toBe('first');
    await endBuild(api.db, second.id);
    const third = await nextBuild(workspaceId);
    expect(await textAt(3)).toBe('first');
    await giveState(api, third.id, text('given'));
    expect([await textAt(3), await textAt(2)]).toEqual(['given', 'first']);
    // Of an older build: it is newer by its version, and yet it is not the current one.
    await giveState(api, first.id, text('too late'));
    expect([await textAt(3), await textAt(2), await textOf(first.id)]).toEqual(['given', 'too late', 'too late']);
  });
});

describe('the content of a state', () => {
  test('is encrypted for its row alone, and compressed when it is large', async () => {
    const { latest_build: build } = await newWorkspace();
    const { id: otherWorkspace, latest_build: other } = await newWorkspace();
    const words = `canary ${'x'.repeat(3 * 1024 * 1024)}`;
    await giveState(api, build.id, text(words));
    const run = { buildId: build.id, ...(await takeBuild(api.db, build.id)) };
    await runStores(api, run, text(words, { serial: 2 }));
    const rows = await api.db
      .select({ state: workspaceBuildStates.state, encoding: workspaceBuildStates.encoding })
      .from(workspaceBuildStates)
      .where(eq(workspaceBuildStates.workspaceBuildId, build.id));
    expect(rows).toHaveLength(2);
    for (const row of rows)
      expect([row.encoding, row.state!.length < 100_000, row.state!.includes('canary')]).toEqual(['gzip', true, false]);
    expect(await textOf(build.id)).toBe(words);
    for (const source of ['build', 'upload']) {
      await api.db.execute(sql`
        insert into workspace_build_states (workspace_id, version, workspace_build_id, source, created_at, updated_at,
          state, state_key_id, encoding, serial, lineage, checksum)
        select ${otherWorkspace},
          (select coalesce(max(version), 0) + 1 from workspace_build_states where workspace_id = ${otherWorkspace}),
          ${other.id}, source, created_at, updated_at, state, state_key_id, encoding, serial, lineage, checksum
        from workspace_build_states where workspace_build_id = ${build.id} and source = ${source}`);
      await expect(textOf(other.id)).rejects.toThrow('cannot be decrypted');
    }
  });

  test('from before there were checksums and versions is read as it always was', async () => {
    const { id: workspaceId, latest_build: build } = await newWorkspace();
    const state = api.deps.cipher.encrypt(`workspace_build_states:state:${build.id}`, Buffer.from('old'));
    await api.db.insert(workspaceBuildStates).values({
      workspaceId,
      version: 1,
      workspaceBuildId: build.id,
      source: 'build',
      createdAt: new Date(),
      updatedAt: new Date(),
      state,
      stateKeyId: api.deps.cipher.keyId,
      serial: 1,
      lineage: 'l',
      checksum: '',
    });
    expect(await textOf(build.id)).toBe('old');
  });

  test.each(damages)(
    'with %s is never used: the error says so and offers the newest intact one',
    async (_what, reason, damage) => {
      const { id: workspaceId, name, latest_build: first } = await newWorkspace();
      await endBuild(api.db, first.id);
      await giveState(api, first.id, plainState({ serial: 3 }));
      await giveState(api, first.id, plainState({ serial: 4 }));
      const second = await nextBuild(workspaceId);
      await endBuild(api.db, second.id);
      await giveState(api, second.id, plainState({ serial: 5 }));
      await damage(api, { workspaceId, version: 3 });
      const error = {
        code: 'STATE_DAMAGED',
        message: `State version 3 of owner/${name} (build 2, serial 5) is damaged: ${reason}`,
      };
      await expect(starting(workspaceId)).rejects.toMatchObject({
        ...error,
        detail: `version 2 (build 1, serial 4) is intact: berth state restore owner/${name} 2`,
      });
      await damage(api, { workspaceId, version: 2 });
      await expect(getBuildState(api.db, api.deps.cipher, second.id)).rejects.toMatchObject({
        ...error,
        detail: `version 1 (build 1, serial 3) is intact: berth state restore owner/${name} 1`,
      });
      await damage(api, { workspaceId, version: 1 });
      await expect(starting(workspaceId)).rejects.toMatchObject({
        ...error,
        detail: `no older version is intact; berth state push owner/${name} <file> gives another one`,
      });
    },
  );
});

test('a state is stored by one statement', async () => {
  const { latest_build: build } = await newWorkspace();
  const run = await takeBuild(api.db, build.id);
  const state = await encodeState(api.deps.cipher, { buildId: build.id, ...text('x') });
  api.statements.length = 0;
  await setBuildState(api.db, { buildId: build.id, ...run, state });
  expect(api.statements).toHaveLength(1);
});
