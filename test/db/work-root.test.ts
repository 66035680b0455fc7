import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sweepWorkRoot } from '../../activities/work-root.ts';
import { getBuildState } from '../../db/queries/workspace-build-states.ts';
import { createShims } from '../../terraform/shims.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { endBuild, templateWith } from '../support/build-rows.ts';
import { giveState, stateText as textOf } from '../support/state-rows.ts';
import { waitFor } from '../support/wait.ts';
import { has, pidOf, scriptCommand, startCommand } from '../terraform/support/shim-runs.ts';

let api: TestApi;
let template: JsonValue;
let workRoot: string;
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
  template = await templateWith(api, []);
});
afterAll(() => api.close());
beforeEach(() => {
  workRoot = mkdtempSync(join(tmpdir(), 'berth-work-root-'));
});
afterEach(() => rmSync(workRoot, { recursive: true, force: true }));

const sweep = (root = workRoot) =>
  sweepWorkRoot({ db: api.db, cipher: api.deps.cipher, logger: api.deps.logger, workRoot: root, hostId: 'host' });
async function newBuild(): Promise<{ id: string; jobId: string; workspaceId: string }> {
  const body = { name: `ws-${(names += 1)}`, template_id: template.id };
  const created = await api.request('POST', '/api/v2/users/me/workspaces', { token: api.ownerToken, body });
  const { id, job } = created.body.latest_build;
  return { id, jobId: job.id, workspaceId: created.body.id };
}
const stateText = (serial: number, lineage = 'l') => textOf({ serial, lineage });
const leave = (jobId: string, files: Record<string, string> = {}): string => {
  const directory = join(workRoot, jobId);
  mkdirSync(join(directory, 'work'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, 'work', name), text);
  return directory;
};
const storedSerial = async (buildId: string) => (await getBuildState(api.db, api.deps.cipher, buildId))?.serial;
const store = (buildId: string, serial: number) =>
  giveState(api, buildId, { bytes: Buffer.from(stateText(serial)), serial, lineage: 'l' });

describe('the sweep of a work root', () => {
  test('removes directories of jobs that are over or unknown, and touches nothing else', async () => {
    const over = await newBuild();
    await endBuild(api.db, over.id);
    const waiting = await newBuild();
    leave(over.jobId);
    leave(waiting.jobId);
    leave(randomUUID());
    writeFileSync(join(workRoot, 'host-id'), 'x');
    expect(await sweep()).toEqual({ removed: 2, running: 0 });
    expect(readdirSync(workRoot).toSorted()).toEqual([waiting.jobId, 'host-id'].toSorted());
    expect(await sweep(join(workRoot, 'missing'))).toEqual({ removed: 0, running: 0 });
  });

  test('stores a state that only stands there', async () => {
    const build = await newBuild();
    await store(build.id, 3);
    await endBuild(api.db, build.id, { error: 'lost three times' });
    leave(build.jobId, { 'terraform.tfstate': stateText(5), 'errored.tfstate': stateText(6) });
    await sweep();
    expect(await storedSerial(build.id)).toBe(6);
    const bare = await newBuild();
    await endBuild(api.db, bare.id, { error: 'lost three times' });
    leave(bare.jobId, { 'terraform.tfstate': stateText(1) });
    await sweep();
    expect(await storedSerial(bare.id)).toBe(1);
  });

  test('never puts it over a newer one, another lineage, an operator’s, or under a build that began since', async () => {
    const cases = [
      { left: stateText(3) },
      { left: stateText(9, 'other') },
      { left: '{"version":4,"serial":9,' },
      { left: stateText(9), afterwards: (build: { id: string }) => store(build.id, 4) },
      {
        left: stateText(9),
        afterwards: async ({ workspaceId }: { workspaceId: string }) => {
          const path = `/api/v2/workspaces/${workspaceId}/builds`;
          const next = await api.request('POST', path, { token: api.ownerToken, body: { transition: 'stop' } });
          expect(next.status).toBe(201);
        },
      },
    ];
    for (const { left, afterwards } of cases) {
      const build = await newBuild();
      await store(build.id, 4);
      await endBuild(api.db, build.id);
      await afterwards?.(build);
      leave(build.jobId, { 'terraform.tfstate': left });
      expect(await sweep()).toMatchObject({ removed: 1 });
      expect(await storedSerial(build.id)).toBe(4);
    }
  });

  test('leaves it to the host that took the job over', async () => {
    const build = await newBuild();
    await endBuild(api.db, build.id, { error: 'lost', hostId: 'another' });
    leave(build.jobId, { 'terraform.tfstate': stateText(5) });
    expect(await sweep()).toMatchObject({ removed: 1 });
    expect(await storedSerial(build.id)).toBeUndefined();
  });

  test('asks a Terraform that nobody waits for to stop, once, and waits until it is gone', async () => {
    const build = await newBuild();
    await endBuild(api.db, build.id, { error: 'lost three times' });
    const directory = leave(build.jobId);
    mkdirSync(join(directory, 'runs'));
    const interrupts = join(workRoot, 'interrupts');
    const script = `trap 'echo x >> ${interrupts}' INT; echo ready; until [ -e ${workRoot}/end ]; do sleep 0.05; done`;
    const outputDir = join(directory, 'runs', '1');
    const shims = createShims();
    const { end } = startCommand(shims, scriptCommand(directory, outputDir, script));
    await pidOf(outputDir);
    await waitFor('the shell', async () => has(join(outputDir, 'stdout.log'), 'ready'));
    expect(await sweep()).toEqual({ removed: 0, running: 1 });
    expect(await sweep()).toEqual({ removed: 0, running: 1 });
    await waitFor('the interrupt', async () => existsSync(interrupts));
    writeFileSync(join(workRoot, 'end'), '');
    await end;
    shims.close();
    expect(await sweep()).toEqual({ removed: 1, running: 0 });
    expect(readFileSync(interrupts, 'utf8')).toBe('x\n');
  });
});
