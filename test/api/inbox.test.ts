import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { transaction } from '../../db/client.ts';
import { inboxChannel, notify } from '../../db/notifications.ts';
import { enqueueNotification } from '../../db/queries/notification-messages.ts';
import { inboxNotifications, notificationMessages } from '../../db/schema/notifications.ts';
import { notificationTemplates } from '../../domain/notifications.ts';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { newNotification, tell } from '../support/notification-rows.ts';
import { type ServedApi, type TestSocket, serveApi } from '../support/served-api.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
let served: ServedApi;
let user: TestUser;
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
});

const path = '/api/v2/notifications/inbox';
const { workspaceOutOfMemory, workspaceOutOfDisk } = notificationTemplates;
const start = new Date('2026-03-02T12:00:00Z').getTime();
const at = (seconds: number): Date => new Date(start + seconds * 1000);
const list = async (query = '', token = user.token) => (await api.request('GET', `${path}${query}`, { token })).body;
const idsOf = async (query = ''): Promise<string[]> =>
  (await list(query)).notifications.map(({ id }: { id: string }) => id);
const statusOf = async (query: string) => (await api.request('GET', `${path}${query}`, { token: user.token })).status;
const setRead = (id: string, isRead = true, token = user.token) =>
  api.request('PUT', `${path}/${id}/read-status`, { token, body: { is_read: isRead } });
const tellEach = async (count: number, first = 0): Promise<string[]> => {
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1)
    ids.push(await tell(api.db, { userId: user.id, now: at(first + index) }));
  return ids;
};

describe('A message to the inbox', () => {
  test('is there with the fact, rendered, and is sent', async () => {
    const targets = [randomUUID(), randomUUID()];
    const id = await tell(api.db, { userId: user.id, targets, now: at(0) });
    expect(await list()).toEqual({
      notifications: [
        {
          id,
          user_id: user.id,
          template_id: workspaceOutOfMemory.id,
          targets,
          title: 'Your workspace "web" is low on memory',
          content: 'The memory of workspace "web" has reached its threshold of 80%.',
          icon: 'DEFAULT_WORKSPACE_ICON',
          actions: [{ label: 'View workspace', url: '/@me/web' }],
          read_at: null,
          created_at: at(0).toISOString(),
        },
      ],
      unread_count: 1,
    });
    const [message] = await api.db
      .select({ status: notificationMessages.status, attempts: notificationMessages.attemptCount })
      .from(notificationMessages)
      .where(eq(notificationMessages.id, id));
    expect(message).toEqual({ status: 'sent', attempts: 1 });
  });

  test('comes once per fact, also when it is told by several at once', async () => {
    const fact = newNotification({ userId: user.id });
    const told = await Promise.all(
      Array.from({ length: 8 }, () => transaction(api.db, (tx) => enqueueNotification(tx, fact))),
    );
    expect(told.filter((id) => id !== undefined)).toHaveLength(1);
    expect(await list()).toMatchObject({ notifications: [{}], unread_count: 1 });
  });

  test('goes with its transaction', async () => {
    const undone = transaction(api.db, async (tx) => {
      await enqueueNotification(tx, newNotification({ userId: user.id }));
      throw new Error('no');
    });
    await expect(undone).rejects.toThrow('no');
    expect(await list()).toEqual({ notifications: [], unread_count: 0 });
    const rows = await api.db
      .select({ id: notificationMessages.id })
      .from(notificationMessages)
      .where(eq(notificationMessages.userId, user.id));
    expect(rows).toEqual([]);
  });
});

describe('The inbox', () => {
  test('is paged by 25, newest first, and counts what is unread', async () => {
    // Some at the same instant: pages lose none of them.
    const ids = [...(await tellEach(20)), ...(await tellEach(10, 15))];
    const first = await list();
    expect(first.notifications).toHaveLength(25);
    expect(first.unread_count).toBe(30);
    const times = first.notifications.map((each: { created_at: string }) => Date.parse(each.created_at)) as number[];
    expect(times).toEqual([...times].sort((a, b) => b - a));
    const rest = await idsOf(`?starting_before=${first.notifications.at(-1).id}`);
    expect(rest).toHaveLength(5);
    const all = [...first.notifications.map(({ id }: { id: string }) => id), ...rest];
    expect(new Set(all)).toEqual(new Set(ids));
    expect(await idsOf(`?starting_before=${rest.at(-1)}`)).toEqual([]);

    const read = await setRead(ids[3]!);
    expect(read.status).toBe(200);
    expect(read.body).toMatchObject({
      notification: { id: ids[3], read_at: api.clock.now.toISOString() },
      unread_count: 29,
    });
    expect((await list()).unread_count).toBe(29);
  });

  test('says what is read, and takes it back', async () => {
    const [older, newer] = await tellEach(2);
    const when = (await setRead(older!)).body.notification.read_at;
    api.clock.now = new Date(api.clock.now.getTime() + 1_000);
    expect((await setRead(older!)).body.notification.read_at).toBe(when);
    expect([await idsOf('?read_status=read'), await idsOf('?read_status=unread')]).toEqual([[older], [newer]]);
    expect((await setRead(older!, false)).body).toMatchObject({ notification: { read_at: null }, unread_count: 2 });
    const all = await api.request('PUT', `${path}/mark-all-as-read`, { token: user.token });
    expect([all.status, (await list()).unread_count]).toEqual([204, 0]);
    expect(await idsOf('?read_status=read')).toEqual([newer, older]);
  });

  test('is filtered by targets, of which all must be there, and by templates', async () => {
    const [a, b] = [randomUUID(), randomUUID()];
    const both = await tell(api.db, { userId: user.id, targets: [a, b, randomUUID()], now: at(0) });
    const disk = await tell(api.db, {
      userId: user.id,
      template: workspaceOutOfDisk,
      targets: [a],
      now: at(1),
    });
    expect(await idsOf(`?targets=${a}`)).toEqual([disk, both]);
    expect(await idsOf(`?targets=${b},${a.toUpperCase()}`)).toEqual([both]);
    expect(await idsOf(`?templates=${workspaceOutOfDisk.id}`)).toEqual([disk]);
    expect(await idsOf(`?templates=${workspaceOutOfDisk.id},${workspaceOutOfMemory.id}&targets=`)).toEqual([
      disk,
      both,
    ]);
    expect(await list(`?targets=${randomUUID()}`)).toEqual({ notifications: [], unread_count: 2 });
  });

  test.each(['targets=x', 'templates=1,2', 'read_status=new', 'starting_before=x'])('refuses %s', async (query) => {
    expect(await statusOf(`?${query}`)).toBe(400);
  });

  test('is nobody else’s, whatever the role', async () => {
    const [id] = await tellEach(1);
    const other = await api.createUser();
    for (const token of [other.token, api.ownerToken]) {
      expect(await list('', token)).toEqual({ notifications: [], unread_count: 0 });
      expect((await setRead(id!, true, token)).status).toBe(404);
      expect((await api.request('PUT', `${path}/mark-all-as-read`, { token })).status).toBe(204);
      expect((await api.request('GET', `${path}?starting_before=${id}`, { token })).status).toBe(400);
    }
    expect((await setRead(randomUUID())).status).toBe(404);
    expect((await list()).unread_count).toBe(1);
    const narrow = await api.createKey(user.id, { scopes: ['workspace:read'] });
    expect((await api.request('GET', path, { token: narrow })).status).toBe(403);
  });
});

interface Update {
  readonly notification: { readonly id: string; readonly title: string };
  readonly unread_count: number;
}
async function watch(query = '', token = user.token): Promise<TestSocket> {
  const socket = served.socket(`/notifications/inbox/watch${query}`, token);
  await waitFor('the socket', async () => socket.socket.readyState === socket.socket.OPEN, 10_000);
  return socket;
}
const updatesOf = ({ frames }: TestSocket) => frames.map((frame) => JSON.parse(frame) as Update);
const seen = (socket: TestSocket) => updatesOf(socket).map(({ notification }) => notification.id);
const until = (socket: TestSocket, count: number) =>
  waitFor(`${count} notifications`, async () => seen(socket).length >= count, 10_000);
/** Every watcher has looked at all that was committed before. */
async function settled(socket: TestSocket): Promise<void> {
  const before = seen(socket).length;
  const last = await tell(api.db, { userId: user.id, now: at(10_000) });
  await waitFor('the last one', async () => seen(socket).includes(last), 10_000);
  expect(seen(socket).slice(before)).toEqual([last]);
}

describe('Watching', () => {
  test('sends each new notification once, and none that was there', async () => {
    await tellEach(3);
    const [one, another] = [await watch(), await watch()];
    const other = await api.createUser();
    await tell(api.db, { userId: other.id, now: at(4) });
    const told = [await tell(api.db, { userId: user.id, now: at(5) }), ...(await tellEach(4, 6))];
    for (const socket of [one, another]) {
      await until(socket, 5);
      expect(seen(socket)).toEqual(told);
    }
    expect(updatesOf(one).at(-1)).toMatchObject({
      notification: { title: 'Your workspace "web" is low on memory' },
      unread_count: 8,
    });
    // Woken for nothing: nothing is sent again.
    await notify(api.db, inboxChannel, user.id);
    await settled(one);
  });

  test('misses none that is committed after a newer one', async () => {
    const socket = await watch();
    let commit: (() => void) | undefined;
    const held = new Promise<void>((resolve) => (commit = resolve));
    let late: string | undefined;
    const slow = transaction(api.db, async (tx) => {
      late = await enqueueNotification(tx, newNotification({ userId: user.id, now: at(1) }));
      await held;
    });
    const newer = await tell(api.db, { userId: user.id, now: at(2) });
    await until(socket, 1);
    // A watcher that comes now begins behind the newer one, and still hears of the older one.
    const second = await watch();
    commit!();
    await slow;
    await until(socket, 2);
    await until(second, 1);
    expect([seen(socket), seen(second)]).toEqual([[newer, late], [late]]);
    await settled(socket);
  });

  test('goes on behind `since`: what came in between is there, nothing is there twice', async () => {
    const first = await watch();
    const [seenOne] = await tellEach(1);
    await until(first, 1);
    first.socket.terminate();
    // More than one page of them, most at one instant.
    const between: string[] = [];
    await transaction(api.db, async (tx) => {
      for (let index = 0; index < 120; index += 1)
        between.push((await enqueueNotification(tx, newNotification({ userId: user.id, now: at(20) })))!);
    });
    const again = await watch(`?since=${seenOne}`);
    const after = await tell(api.db, { userId: user.id, now: at(60) });
    await until(again, 121);
    expect(seen(again)).toEqual([...between.sort(), after]);
    await settled(again);
  });

  test('sends what its filters say', async () => {
    const target = randomUUID();
    const socket = await watch(`?targets=${target}&templates=${workspaceOutOfDisk.id}&read_status=unread`);
    await tell(api.db, { userId: user.id, targets: [target], now: at(0) });
    await tell(api.db, { userId: user.id, template: workspaceOutOfDisk, now: at(1) });
    const wanted = await tell(api.db, { userId: user.id, template: workspaceOutOfDisk, targets: [target], now: at(2) });
    await until(socket, 1);
    expect(updatesOf(socket)).toMatchObject([{ notification: { id: wanted }, unread_count: 3 }]);
    // Unread again is not new.
    const [old] = await tellEach(1, 3);
    await setRead(old!);
    await setRead(old!, false);
    await notify(api.db, inboxChannel, user.id);
    const next = await tell(api.db, { userId: user.id, template: workspaceOutOfDisk, targets: [target], now: at(4) });
    await until(socket, 2);
    expect(seen(socket)).toEqual([wanted, next]);
  });

  test('hears nothing of a transaction that was undone', async () => {
    const socket = await watch();
    await transaction(api.db, async (tx) => {
      await enqueueNotification(tx, newNotification({ userId: user.id, now: at(0) }));
      throw new Error('no');
    }).catch(() => undefined);
    await settled(socket);
  });

  test('speaks server-sent events as well, and nothing else', async () => {
    const left = new AbortController();
    const response = await fetch(`${served.url}${path}/watch`, {
      headers: { 'Coder-Session-Token': user.token, Accept: 'text/event-stream' },
      signal: left.signal,
    });
    const id = await tell(api.db, { userId: user.id });
    const reader = response.body!.getReader();
    let text = '';
    await waitFor(
      'the event',
      async () => {
        text += Buffer.from((await reader.read()).value ?? []).toString();
        return text.includes(id);
      },
      10_000,
    );
    left.abort();
    expect(text).toMatch(/event: data\ndata: \{"notification":\{"id":/);
    expect(await statusOf('/watch')).toBe(400);
    const since = served.socket(`/notifications/inbox/watch?since=${id}`, api.ownerToken);
    await waitFor('the refusal', async () => since.refused !== undefined, 10_000);
    expect(since.refused).toBe(400);
  });
});

test('pages and counts are read from indexes, without sorting', async () => {
  const plans = await transaction(api.db, async (tx) => {
    await tx.execute(sql`set local enable_seqscan = off`);
    await tx.execute(sql`set local enable_bitmapscan = off`);
    const explain = async (query: ReturnType<typeof sql>) => JSON.stringify(await tx.execute(sql`explain ${query}`));
    return {
      page: await explain(sql`select id from ${inboxNotifications} where user_id = ${user.id}::uuid
        and (created_at, id) < (now(), ${user.id}::uuid) order by created_at desc, id desc limit 25`),
      unread: await explain(sql`select count(*) from ${inboxNotifications} where user_id = ${user.id}::uuid
        and read_at is null`),
    };
  });
  expect(plans.page).toMatch(/Backward.*inbox_notifications_user_idx/);
  expect(plans.page).not.toContain('Sort');
  expect(plans.unread).toContain('inbox_notifications_unread_idx');
});
