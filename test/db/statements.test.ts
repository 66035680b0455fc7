import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Db, isDatabaseAway, pipelined, transaction } from '../../db/client.ts';
import { findKeyWithUser } from '../../db/queries/api-keys.ts';
import { findBuildViewById } from '../../db/queries/build-views.ts';
import { readJobLog } from '../../db/queries/job-logs.ts';
import { findLatestBuild, getBuildRun } from '../../db/queries/workspace-builds.ts';
import { type TestApi, createTestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
});
afterAll(() => api.close());

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
      const add = (n: number) => tx.execute<{ n: number }>(sql`insert into counted values (${n}) returning n`);
      const [first, none, second] = await pipelined([add(1), false, add(2)]);
      const stored = await tx.execute<{ n: number }>(sql`select n from counted`);
      return { none, first: [...first], second: [...second], stored: [...stored] };
    });
    expect(answers).toEqual({ none: false, first: [{ n: 1 }], second: [{ n: 2 }], stored: [{ n: 1 }, { n: 2 }] });
  });
});
