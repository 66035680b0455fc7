import { type Server, type Socket, connect as connectSocket, createServer } from 'node:net';
import { setImmediate as checkPhase } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { type Database, connect, isDatabaseAway, transaction } from '../../db/client.ts';
import { type TestDatabase, createTestDatabase } from '../support/services.ts';

/** What becomes of connections that are cut in the middle of something (docs/adr/0024). */
let server: TestDatabase;
let proxy: Server;
const sockets = new Set<Socket>();
let database: Database;
const cut = (): void => {
  for (const socket of sockets) socket.destroy();
};

beforeAll(async () => {
  server = await createTestDatabase();
  const url = new URL(server.url);
  proxy = createServer((near) => {
    const far = connectSocket(Number(url.port), url.hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('data', (bytes) => other.write(bytes));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
});
afterAll(async () => {
  cut();
  proxy.close();
  await server.drop();
});

beforeEach(() => {
  const url = new URL(server.url);
  url.port = String((proxy.address() as { port: number }).port);
  database = connect(url.href, { max: 2, applicationName: 'berth-test' });
});
afterEach(() => database.close());

test('a pool is whole again after its connections were cut a hundred times, wherever the writes were', async () => {
  const { db } = database;
  const count = { done: 0, failed: 0 };
  let over = false;
  onTestFinished(() => void (over = true));
  // Statements begin in the phase before the one in which the driver hears of the end of its connection.
  const writer = async () => {
    while (!over) {
      await checkPhase();
      await transaction(db, async (tx) => {
        for (let statement = 0; statement < 20; statement += 1) {
          await checkPhase();
          await tx.execute(sql`select ${statement}::int`);
          count.done += 1;
        }
      }).catch((err: unknown) => {
        if (!isDatabaseAway(err)) throw err;
        count.failed += 1;
      });
    }
  };
  const passes = async (what: keyof typeof count, act: () => void = () => undefined) => {
    const before = count[what];
    while (count[what] === before && !over) {
      act();
      await checkPhase();
    }
  };
  const writers = Promise.all([writer(), writer()]);
  for (let time = 0; time < 100; time += 1) {
    await passes('done');
    for (let phases = time % 7; phases > 0; phases -= 1) await checkPhase();
    await passes('failed', cut);
  }
  over = true;
  await writers;
  expect(await Promise.all([1, 2].map((each) => db.execute(sql`select ${each}::int as n`)))).toEqual([
    [{ n: 1 }],
    [{ n: 2 }],
  ]);
});

test('a transaction that lost its connection does nothing in that of another which has it now', async () => {
  const { db } = database;
  await db.execute(sql`create table said (who text)`);
  let lost = () => {};
  const isLost = new Promise<void>((done) => (lost = done));
  let began = () => {};
  const hasBegun = new Promise<void>((done) => (began = done));
  let tried = () => {};
  const hasTried = new Promise<void>((done) => (tried = done));
  const first = transaction(db, async (tx) => {
    await tx.execute(sql`insert into said values ('first')`);
    cut();
    await expect(tx.execute(sql`insert into said values ('first')`)).rejects.toSatisfy(isDatabaseAway);
    lost();
    await hasBegun;
    await expect(tx.execute(sql`insert into said values ('first')`)).rejects.toSatisfy(isDatabaseAway);
    await expect(tx.execute(sql`commit`)).rejects.toSatisfy(isDatabaseAway);
    tried();
  });
  await expect(first).rejects.toSatisfy(isDatabaseAway);
  await isLost;
  // Both connections of the pool, one of which was that of the first.
  const others = [1, 2].map((each) =>
    transaction(db, async (tx) => {
      await tx.execute(sql`insert into said values (${`other ${each}`})`);
      if (each === 2) began();
      await hasTried;
      throw new Error('not after all');
    }),
  );
  expect(await Promise.allSettled(others)).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
  expect(await db.execute(sql`select who from said`)).toEqual([]);
});
