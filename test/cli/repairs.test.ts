import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { jobLogsChannel, notify } from '../../db/notifications.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { endBuild, templateWith } from '../support/build-rows.ts';
import { giveState, plainState, stateResource, stateText } from '../support/state-rows.ts';
import { serveApi } from '../support/served-api.ts';
import { createCli } from './support/run.ts';
import type { Cli } from './support/run.ts';

// The API for real, builds as rows: what Terraform does is another test's.
let api: TestApi;
let url: string;
let close: () => Promise<void>;
let member: TestUser;
/** Of the site owner, who may update templates, and of somebody who may not. */
let cli: Cli;
let theirs: Cli;
let template: JsonValue;
let name: string;
let workspace: JsonValue;
let names = 0;

beforeAll(async () => {
  api = await createTestApi();
  ({ url, close } = await serveApi(api));
  member = await api.createUser();
  cli = createCli({ url, token: api.ownerToken });
  theirs = createCli({ url, token: member.token });
  template = await templateWith(api, []);
});
afterAll(async () => {
  await close();
  await api.close();
});
beforeEach(async () => {
  name = `ws-${(names += 1)}`;
  const body = { name, template_id: template.id };
  workspace = (await api.request('POST', '/api/v2/users/me/workspaces', { token: api.ownerToken, body })).body;
  await endBuild(api.db, workspace.latest_build.id);
});

const give = (options: Parameters<typeof plainState>[0]) =>
  giveState(api, workspace.latest_build.id, plainState(options));
const build = async (transition: string): Promise<JsonValue> =>
  (
    await api.request('POST', `/api/v2/workspaces/${workspace.id}/builds`, {
      token: api.ownerToken,
      body: { transition },
    })
  ).body;
const mayHaveMade = (buildId: string, addresses: string[]) =>
  api.db.update(workspaceBuilds).set({ possibleOrphans: addresses }).where(eq(workspaceBuilds.id, buildId));
const file = (base: string, text: string | Buffer): string => {
  const path = join(cli.configDir, base);
  writeFileSync(path, text);
  return path;
};
/** Ends the build that the command will make as soon as it is there. */
async function endNext(count: number, end: { error?: string; orphans?: string[] } = {}): Promise<void> {
  for (;;) {
    const builds = await api.db
      .select({ id: workspaceBuilds.id, jobId: workspaceBuilds.jobId })
      .from(workspaceBuilds)
      .where(sql`workspace_id = ${workspace.id} and build_number = ${count}`);
    const [made] = builds;
    if (made !== undefined) {
      if (end.orphans !== undefined) await mayHaveMade(made.id, end.orphans);
      await endBuild(api.db, made.id, end.error === undefined ? {} : { error: end.error });
      return notify(api.db, jobLogsChannel, made.jobId);
    }
    await new Promise((done) => setTimeout(done, 20));
  }
}

describe('berth state', () => {
  const odd = stateText({ serial: 1 }).replace('"outputs": {}', '"outputs": {"n": {"value": 12345678901234567890.10}}');

  test('list shows the versions with the current one and what is not kept any more', async () => {
    expect((await cli('state', 'list', name)).stdout).toBe(`${name} has no state yet.\n`);
    for (let serial = 1; serial <= 11; serial += 1) await give({ serial });
    const text = await cli('state', 'list', name);
    expect(text, text.stderr).toMatchObject({ code: 0 });
    expect(text.stdout).toMatch(/^11 +1 +upload +11 +l +\d+ .* ago +current$/m);
    expect(text.stdout).toMatch(/^1 +1 +upload +1 +l +\d+ .* ago +not kept$/m);
    const json = (await cli('state', 'ls', name, '--json', '--limit', '2')).json();
    expect(json).toMatchObject([
      { version: 11, current: true, kept: true },
      { version: 10, current: false },
    ]);
    expect(await cli('state', 'pull', name, '--version', '1')).toMatchObject({ code: 4, stdout: '' });
  });

  test('pull writes the state byte by byte, the current one or a version, also into a private file', async () => {
    const none = await cli('state', 'pull', name);
    expect(none).toMatchObject({ code: 4, stdout: '' });
    expect(none.stderr).toContain('has no state yet');
    expect(await cli('state', 'push', name, file('odd', odd))).toMatchObject({ code: 0 });
    await give({ serial: 2 });
    expect(await cli('state', 'pull', name)).toMatchObject({ code: 0, stdout: stateText({ serial: 2 }), stderr: '' });
    expect((await cli('state', 'pull', name, '--version', '1')).stdout).toBe(odd);
    expect((await cli('state', 'pull', name, '--version', '1', '--json')).stdout).toBe(odd);
    const path = join(cli.configDir, `${name}.tfstate`);
    const pulled = await cli('state', 'pull', name, '--version', '1', '-o', path, '--json');
    expect(pulled.json()).toEqual({ workspace_id: workspace.id, version: 1, path, size_bytes: odd.length });
    expect(readFileSync(path, 'utf8')).toBe(odd);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const nowhere = join(cli.configDir, 'no', 'where');
    expect(await cli('state', 'pull', name, '-o', nowhere)).toMatchObject({ code: 1 });
    expect(existsSync(nowhere)).toBe(false);
    expect(await cli('list', '--version', '3')).toMatchObject({ code: 2 });
  });

  test('push gives the latest build a state, and only one', async () => {
    expect(await cli('state', 'push', name, join(cli.configDir, 'missing'))).toMatchObject({ code: 2 });
    const wrong = await cli('state', 'push', name, file('wrong', '{}'));
    expect(wrong).toMatchObject({ code: 1 });
    expect(wrong.stderr).toContain('  state: not a Terraform state');
    const pushed = await cli('state', 'push', name, file('good', stateText({ serial: 7 })), '--json');
    expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
    expect(pushed.json()).toMatchObject({ version: 1, serial: 7, current: true, created_by_name: 'owner' });
    const active = await build('stop');
    const refused = await cli('state', 'push', name, file('good', stateText({ serial: 8 })));
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain(`next: berth logs -f ${name} follows what is running`);
    await endBuild(api.db, active.id);
  });

  test('restore makes an earlier version the current one; another lineage needs --force', async () => {
    await give({ serial: 1 });
    await give({ serial: 2 });
    const restored = await cli('state', 'restore', name, '1', '--yes');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    expect(restored.stdout).toContain(`Version 3 is the current state of ${name}, with the content of version 1.`);
    await give({ serial: 1, lineage: 'other' });
    const refused = await cli('state', 'restore', name, '2');
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain(`next: berth state restore ${name} 2 --force`);
    const forced = await cli('state', 'restore', name, '2', '--force', '--json');
    expect(forced.json()).toMatchObject({ version: 5, source: 'restore', serial: 2 });
    expect((await cli('state', 'restore', name, '5')).stderr).toContain('is the current state already');
    expect(await cli('state', 'restore', name, '99')).toMatchObject({ code: 4 });
    expect(await cli('state', 'restore', name, 'x')).toMatchObject({ code: 2 });
  });

  test('forget takes a resource out, and names what there is when it is not in the state', async () => {
    await give({ serial: 1, resources: [stateResource('terraform_data', 'a', [0, 1])] });
    const unknown = await cli('state', 'forget', name, 'terraform_data.b', '--yes');
    expect(unknown).toMatchObject({ code: 1 });
    expect(unknown.stderr).toContain('it has terraform_data.a[0], terraform_data.a[1]');
    const forgotten = await cli('state', 'forget', name, 'terraform_data.a[0]', '--yes');
    expect(forgotten, forgotten.stderr).toMatchObject({ code: 0 });
    expect(forgotten.stdout).toContain('\n  terraform_data.a[0]\n');
    const json = (await cli('state', 'forget', name, 'terraform_data.a', '--json')).json();
    expect(json).toMatchObject({ version: 3, source: 'forget', serial: 3, forgotten: ['terraform_data.a[1]'] });
  });

  test('of a damaged one says which version is intact, and the command that it names helps', async () => {
    await give({ serial: 1 });
    await give({ serial: 2 });
    await api.db.execute(sql`update workspace_build_states set checksum = repeat('0', 64)
      where workspace_id = ${workspace.id} and version = 2`);
    const damaged = await cli('state', 'pull', name);
    expect(damaged).toMatchObject({ code: 1, stdout: '' });
    const [, command = ''] = /is intact: berth (state restore \S+ \d+)/.exec(damaged.stderr) ?? [];
    expect(await cli(...command.split(' '))).toMatchObject({ code: 0 });
    expect((await cli('state', 'pull', name)).stdout).toBe(stateText({ serial: 1 }));
  });

  test('does not exist for those who may not update the template', async () => {
    const body = { name, template_id: template.id };
    await api.request('POST', '/api/v2/users/me/workspaces', { token: member.token, body });
    for (const args of [['list'], ['pull'], ['push', file('good', stateText())], ['restore', '1'], ['forget', 'a.b']]) {
      const [verb = '', ...rest] = args;
      const answer = await theirs('state', verb, name, ...rest);
      expect([args, answer.code]).toEqual([args, 4]);
      if (verb !== 'push') expect(answer.stderr).toContain('to those who may update the template');
    }
  });
});

describe('berth retry', () => {
  test('repeats the latest build and follows it; without a failed one it says what there is', async () => {
    const nothing = await cli('retry', name);
    expect(nothing).toMatchObject({ code: 1 });
    expect(nothing.stderr).toContain('there is nothing to retry');
    expect(nothing.stderr).toContain(`berth builds ${name}`);
    await endBuild(api.db, (await build('stop')).id, { error: 'no luck' });
    const [again] = await Promise.all([cli('retry', name), endNext(3)]);
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect(again.stdout).toContain(`${name} is stopped. Next: berth start ${name}`);
    await endBuild(api.db, (await build('delete')).id, { error: 'no luck' });
    const [gone] = await Promise.all([cli('retry', name, '--json'), endNext(5)]);
    expect(gone.json()).toMatchObject({ transition: 'delete', status: 'deleted' });
    expect(await cli('retry', name)).toMatchObject({ code: 4 });
  });

  test('is what a failed build proposes', async () => {
    await endBuild(api.db, (await build('stop')).id, { error: 'no luck' });
    const [failed] = await Promise.all([cli('retry', name), endNext(3, { error: 'no luck again' })]);
    expect(failed).toMatchObject({ code: 1 });
    expect(failed.stderr).toMatch(/error: The stop of \S+ \(build 3\) failed: no luck again\n/);
    expect(failed.stderr).toContain(`berth retry ${name} tries again`);
    const pending = await cli('retry', name, '--no-wait');
    expect(pending.stdout).toContain(`The stop of ${name} is pending (build 4)`);
  });
});

test('berth refresh only looks, and the list of builds says so', async () => {
  const [seen] = await Promise.all([cli('refresh', name), endNext(2)]);
  expect(seen, seen.stderr).toMatchObject({ code: 0 });
  expect(seen.stdout).toContain(`refresh ${name} (build 2)`);
  expect(seen.stdout).toContain(`The state of ${name} is as the world is (build 2)`);
  expect((await cli('builds', name)).stdout).toMatch(/^2 +start \(refresh\) +succeeded /m);
  expect((await cli('show', name)).stdout).toMatch(/^build +2, refresh by owner, /m);
  await endBuild(api.db, (await build('stop')).id, { error: 'no luck' });
  const refused = await cli('refresh', name, '--no-wait');
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain('The latest build, a stop, has failed: Retry it');
});

test('what a lost run may have made is told after the build, in its list and in the workspace, with what to do', async () => {
  const orphans = ['terraform_data.machine[0]', 'terraform_data.home'];
  await endBuild(api.db, (await build('stop')).id, { error: 'no luck' });
  const [failed] = await Promise.all([cli('retry', name), endNext(3, { error: 'lost', orphans })]);
  expect(failed.stderr).toContain('  terraform_data.home: may exist outside of the state\n');
  const advice = `berth state forget ${name} <address>`;
  expect(failed.stderr).toContain(advice);
  const [ended] = await Promise.all([cli('retry', name), endNext(4, { orphans })]);
  expect(ended, ended.stderr).toMatchObject({ code: 0 });
  expect(ended.stdout).toContain(`May exist outside of the state:\n  ${orphans.join('\n  ')}\n`);
  expect(ended.stdout).toContain(advice);
  const builds = await cli('builds', name);
  expect(builds.stdout).toMatch(/^4 +stop +succeeded .* 2 possible$/m);
  expect(builds.stdout).toContain('  build 3: terraform_data.home\n');
  expect(builds.stdout).toContain(advice);
  const shown = await cli('show', name);
  expect(shown.stdout).toContain(`May exist outside of the state:\n  ${orphans.join('\n  ')}\n`);
  expect(shown.stdout).toContain(advice);
  const json = await cli('retry', name, '--json');
  expect(json.code).toBe(1);
});
