import { afterAll, beforeAll, expect, test } from 'vitest';
import { requireSuccess } from '../../cli/run-build.ts';
import type { WorkspaceBuild } from '../../cli/types.ts';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { setCost } from '../support/quota-rows.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';
import { type Cli, createCli } from './support/run.ts';

let api: TestApi;
let served: ServedApi;
let ann: TestUser;
let cli: Cli;
let admin: Cli;
beforeAll(async () => {
  api = await createTestApi();
  served = await serveApi(api);
  ann = await api.createUser({ username: 'ann' });
  cli = createCli({ url: served.url, token: ann.token });
  admin = createCli({ url: served.url, token: api.ownerToken });
});
afterAll(async () => {
  await served.close();
  await api.close();
});

test('quota shows what is left, and administrators give more', async () => {
  const template = await createTemplate(api);
  await setCost(api.db, await insertWorkspaceOf(api.db, template, { ownerId: ann.id }), 20);
  const given = await admin('quota', 'allow', '30');
  expect(given, given.stderr).toMatchObject({ code: 0 });
  expect(given.stdout).toBe('Everyone adds 30 credits a day to the budget of each of its members\n');
  const shown = await cli('quota');
  expect(shown, shown.stderr).toMatchObject({ code: 0 });
  expect(shown.stdout).toBe('budget    30 credits a day\nconsumed  20 credits a day\nleft      10\n');
  expect((await cli('quota', '--json')).json()).toEqual({ credits_consumed: 20, budget: 30 });
  for (const args of [
    ['quota', 'ann'],
    ['quota', 'show', 'ann'],
  ])
    expect((await admin(...args, '--json')).json()).toEqual({ credits_consumed: 20, budget: 30 });
});

test('quota says what is wrong', async () => {
  expect(await cli('quota', 'allow', '50')).toMatchObject({ code: 1 });
  expect(await cli('quota', 'allow', 'much')).toMatchObject({ code: 2 });
  const missing = await admin('quota', 'allow', '50', '--group', 'ninjas');
  expect(missing).toMatchObject({ code: 4 });
  expect(missing.stderr).toContain('Everyone');
  expect(await cli('quota', 'owner')).toMatchObject({ code: 4 });
  expect(await cli('quota', '--org', 'nowhere')).toMatchObject({ code: 4 });
});

test('a build that was refused for want of quota names the command that shows the budget', () => {
  const build = {
    workspace_name: 'dev',
    workspace_owner_name: 'ann',
    transition: 'start',
    build_number: 1,
    possible_orphans: [],
    job: { status: 'failed', error: 'Insufficient quota: …', error_code: 'INSUFFICIENT_QUOTA' },
  };
  // Only what it reads of a build.
  const refuse = () => requireSuccess(build as unknown as WorkspaceBuild);
  expect(refuse).toThrow(
    expect.objectContaining({
      detail: 'Insufficient quota: …',
      next: expect.stringMatching(/^berth quota show ann shows the budget; /),
    }),
  );
});
