import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Db,
  isDatabaseAway,
  pipelined,
  planOnce,
  preparedByIds,
  preparedQuery,
  transaction,
} from '../../db/client.ts';
import { findKeyWithUser } from '../../db/queries/api-keys.ts';
import { findBuildViewById } from '../../db/queries/build-views.ts';
import { readJobLog } from '../../db/queries/job-logs.ts';
import { findLatestBuild, getBuildRun } from '../../db/queries/workspace-builds.ts';
import { organizations } from '../../db/schema/users.ts';
import { type TestApi, createTestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
});
afterAll(() => api.close());

const organization = (name: string) => ({
  name,
  displayName: name,
  createdAt: new Date(),
  updatedAt: new Date(),
});
const numbersAbove = preparedQuery<{ n: number }, { n: number }>((db) =>
  db
    .select({ n: sql<number>`n` })
    .from(sql`generate_series(1, 9) n where n > ${sql.placeholder('n')}`)
    .prepare('numbers_above'),
);

describe('Statements with values', () => {
  test('are planned once per connection, whether drizzle makes their text each time or once', async () => {
    const asked = await transaction(api.db, async (tx) => {
      for (let time = 0; time < 8; time += 1) {
        await findLatestBuild(tx, randomUUID());
        await findKeyWithUser(tx, 'nobody');
        await findBuildViewById(tx, randomUUID());
        await getBuildRun(tx, randomUUID());
        await readJobLog(tx, { jobId: randomUUID(), after: time, limit: 10 });
      }
      return tx.execute<{ statement: string; plans: number }>(sql`
        select statement, custom_plans::int as plans
        from pg_prepared_statements where custom_plans + generic_plans >= 8`);
    });
    const planned = (text: string) =>
      asked.filter(({ statement }) => statement.includes(text)).map(({ plans }) => plans);
    // PostgreSQL plans the first five anew, to see what that is worth.
    expect(planned('"api_keys"')).toEqual([5]);
    expect(planned('"workspace_builds"')).toEqual([5, 5, 5]);
    expect(planned('"provisioner_job_logs"')).toEqual([5]);
  });

  test('are planned once for all values in a transaction that says so', async () => {
    const plans = await transaction(api.db, async (tx) => {
      await planOnce(tx);
      await numbersAbove(tx, { n: 3 });
      return tx.execute<{ plans: number }>(sql`
        select custom_plans::int as plans from pg_prepared_statements where statement like '%generate_series%'`);
    });
    expect([...plans]).toEqual([{ plans: 0 }]);
  });

  test('whose text is made once are sent by whoever asks: the pool, or a transaction that sees its own changes', async () => {
    const name = `kept-${randomUUID()}`;
    const kept = preparedQuery<{ name: string }, { name: string }>((db) =>
      db
        .select({ name: organizations.name })
        .from(organizations)
        .where(eq(organizations.name, sql.placeholder('name')))
        .prepare('kept'),
    );
    await kept(api.db, { name });
    const seen = await transaction(api.db, async (tx) => {
      await tx.insert(organizations).values(organization(name));
      return { within: await kept(tx, { name }), outside: await kept(api.db, { name }) };
    });
    expect(seen).toEqual({ within: [{ name }], outside: [] });
    expect(await kept(api.db, { name })).toEqual([{ name }]);
  });

  test('by ids are for one, for some and for none', async () => {
    const ids = await Promise.all(
      [1, 2, 3].map(async () => {
        const [row] = await api.db
          .insert(organizations)
          .values(organization(`by-id-${randomUUID()}`))
          .returning();
        return row!.id;
      }),
    );
    const byId = preparedByIds<{ id: string }>((db, among) =>
      db
        .select({ id: organizations.id })
        .from(organizations)
        .where(among(organizations.id))
        .orderBy(organizations.id)
        .prepare('by_id'),
    );
    for (const asked of [ids.slice(0, 1), ids.slice(0, 2), ids.toReversed(), []])
      expect(await byId(api.db, asked)).toEqual(asked.toSorted().map((id) => ({ id })));
  });
});

describe('A transaction that stands still', () => {
  test('is given up by the server, and its error says that the same may work later', async () => {
    const held = transaction(api.db, async (tx) => {
      await tx.execute(sql`set local idle_in_transaction_session_timeout = 100`);
      await delay(500);
      await tx.execute(sql`select 1`);
    });
    const err: unknown = await held.catch((failure: unknown) => failure);
    expect(isDatabaseAway(err)).toBe(true);
    const [row] = await api.db.execute(sql`show idle_in_transaction_session_timeout`);
    expect(row).toEqual({ idle_in_transaction_session_timeout: '10s' });
  });
});

describe('Statements sent at once', () => {
  test('fail with the error of the one that failed, wherever the others stand', async () => {
    const failing = (tx: Db) => tx.execute(sql`select 1 / ${0}::int`);
    const fine = (tx: Db) => tx.execute(sql`select ${1}::int`);
    for (const order of [
      [failing, fine, fine],
      [fine, failing, fine],
    ]) {
      const nested = (tx: Db) => pipelined(order.map((statement) => statement(tx)));
      await expect(transaction(api.db, (tx) => pipelined([nested(tx), fine(tx)]))).rejects.toMatchObject({
        cause: { code: '22012' },
      });
    }
  });

  test('run in their order, once each, and answer in it', async () => {
    const answers = await transaction(api.db, async (tx) => {
      await tx.execute(sql`create temporary table counted (n int)`);
      const add = async (n: number) => tx.execute<{ n: number }>(sql`insert into counted values (${n}) returning n`);
      const counted = preparedQuery<{ least: number }, { n: number }>((db) =>
        db
          .select({ n: sql<number>`count(*)::int` })
          .from(sql`counted where n >= ${sql.placeholder('least')}`)
          .prepare('counted'),
      );
      const [first, none, between, second] = await pipelined([add(1), false, counted(tx, { least: 1 }), add(2)]);
      const stored = await tx.execute<{ n: number }>(sql`select n from counted`);
      return { none, between, first: [...first], second: [...second], stored: [...stored] };
    });
    expect(answers).toEqual({
      none: false,
      first: [{ n: 1 }],
      between: [{ n: 1 }],
      second: [{ n: 2 }],
      stored: [{ n: 1 }, { n: 2 }],
    });
  });
});
