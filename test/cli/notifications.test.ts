import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { tell } from '../support/notification-rows.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { type Cli, createCli } from './support/run.ts';

let api: TestApi;
let served: ServedApi;
let user: TestUser;
let cli: Cli;
beforeAll(async () => {
  api = await createTestApi();
  served = await serveApi(api);
});
afterAll(async () => {
  await served.close();
  await api.close();
});
beforeEach(async () => {
  user = await api.createUser();
  cli = createCli({ url: served.url, token: user.token });
});
const tellOf = (workspace: string, secondsAgo: number) =>
  tell(api.db, {
    userId: user.id,
    labels: { workspace, threshold: '80%' },
    now: new Date(Date.now() - secondsAgo * 1_000),
  });

test('notifications are listed, marked as read one by one and together', async () => {
  expect((await cli('notifications')).stdout).toContain('No unread notifications');
  const older = await tellOf('older', 300);
  const newer = await tellOf('newer', 60);
  const shown = await cli('notifications');
  expect(shown, shown.stderr).toMatchObject({ code: 0 });
  expect(shown.stdout).toMatch(
    new RegExp(
      `^\\* Your workspace "newer" .*\\n  ${newer}  1 m \\d+ s ago\\n  The memory .*\\n\\* Your workspace "older" `,
    ),
  );
  expect((await cli('notifications', 'read', newer)).stdout).toBe('Read; 1 unread\n');
  expect((await cli('notifications', 'list', '--json')).json()).toMatchObject({
    notifications: [{ id: older }],
    unread_count: 1,
  });
  // Unread ones come first, though they are older.
  expect((await cli('notifications', '--all')).stdout).toMatch(
    /^\* Your workspace "older" [^]*^  Your workspace "newer" /m,
  );
  expect((await cli('notification', 'read', '--all')).stdout).toBe('All notifications are read\n');
  expect((await cli('notifications', 'ls', '--json')).json()).toEqual({ notifications: [], unread_count: 0 });
});

test('the list is one page, and says how many more there are; --all is all of them', async () => {
  for (let index = 0; index < 27; index += 1) await tellOf(`w${index}`, index);
  const page = await cli('notifications', 'list');
  expect(page.stdout.match(/^\* /gm)).toHaveLength(25);
  expect(page.stdout).toMatch(/^2 more unread: berth notifications --all$/m);
  expect((await cli('notifications', 'list', '--all', '--json')).json().notifications).toHaveLength(27);
});

test('what does not exist, and a call that names nothing, are told apart', async () => {
  expect(await cli('notifications', 'read')).toMatchObject({ code: 2 });
  expect(await cli('notifications', 'read', user.id, '--all')).toMatchObject({ code: 2 });
  expect(await cli('notifications', 'read', user.id)).toMatchObject({ code: 4 });
});

test('what comes out of a workspace does not drive the terminal', async () => {
  await tellOf('a\u0007\u001b[2Jb', 0);
  expect((await cli('notifications')).stdout).toContain('"ab"');
});
