import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { insertLifecycleRows } from '../../bench/lifecycle/rows.ts';
import type { Db } from '../../db/client.ts';
import { firstDue, scanDue } from '../../db/queries/lifecycle.ts';
import { type TestApi, createTestApi } from '../support/api.ts';

let api: TestApi;
let client: postgres.Sql;
beforeAll(async () => {
  api = await createTestApi();
  client = postgres(api.deps.config.CODER_PG_CONNECTION_URL!, { max: 1, onnotice: () => undefined });
  // Every build before the last one has a deadline that is over; `npm run bench -- tick` has a million of them.
  const nextStartAt = new Date('2100-01-01T09:00:00Z');
  await insertLifecycleRows(client, { workspaces: 2_000, buildsBefore: 20, nextStartAt });
});
afterAll(async () => {
  await client.end();
  await api.close();
});

interface PlanNode {
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Relation Name'?: string;
  readonly Plans?: readonly PlanNode[];
}
const rowsRead = (node: PlanNode): number =>
  (node['Relation Name'] === undefined
    ? 0
    : (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']) +
  (node.Plans ?? []).reduce((sum, child) => sum + rowsRead(child), 0);

test('what is due is found without a look at history or at what is not due', async () => {
  await api.db.execute(sql`
    update workspaces set next_start_at = '2026-05-13T09:00:00Z'
    where id in (select id from workspaces order by id limit 10)`);
  await api.db.execute(sql`analyze workspaces`);
  const tick = new Date('2026-05-13T09:00:00Z');
  const due = await scanDue(api.db, { tick, after: firstDue, limit: 500 });
  expect(due.map(({ kind }) => kind)).toEqual(Array.from({ length: 10 }, () => 'autostart'));
  const seen: { text: string; values: unknown[] }[] = [];
  const recording = drizzle(client, { logger: { logQuery: (text, values) => void seen.push({ text, values }) } });
  await scanDue(recording as unknown as Db, { tick, after: firstDue, limit: 500 });
  const [row] = await client.unsafe(`explain (analyze, format json) ${seen[0]!.text}`, seen[0]!.values as never[]);
  const [{ Plan: plan }] = (row as unknown as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'];
  expect(rowsRead(plan)).toBeLessThan(200);
});
