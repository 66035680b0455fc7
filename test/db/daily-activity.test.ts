import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listActiveUsers, listDailyUsers } from '../../db/queries/daily-activity.ts';
import { activeSince, lastLocalDays } from '../../domain/daily-activity.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate } from '../support/template-rows.ts';

const userCount = 20;
const dayCount = 100;
const reportsPerDay = 50;
const reportCount = userCount * dayCount * reportsPerDay;
const now = new Date('2026-05-13T23:00:00Z');

let api: TestApi;
let template: JsonValue;
beforeAll(async () => {
  api = await createTestApi();
  template = await createTemplate(api);
  await createTemplate(api);
  await api.db.execute(sql`
    insert into workspace_agent_stats (created_at, user_id, agent_id, workspace_id, template_id, connection_count, usage)
    select ${now.toISOString()}::timestamptz - d * interval '1 day' - r * interval '1 minute', u.id, u.id, u.id,
      ${template.id}, 1, true
    from (select gen_random_uuid() as id from generate_series(1, ${userCount})) u,
      generate_series(0, ${dayCount - 1}) d, generate_series(1, ${reportsPerDay}) r`);
});
afterAll(() => api.close());

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: Plan[];
}
const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];

/** How the one statement of `work` reads the statistics: kinds of nodes, and rows in all. */
async function reads(work: () => Promise<unknown>): Promise<{ kinds: string[]; rows: number }> {
  const statements: { text: string; parameters: unknown[] }[] = [];
  const { sql: driver } = api.deps;
  const before = driver.options.debug;
  driver.options.debug = (_connection, text, parameters) => void statements.push({ text, parameters });
  try {
    await work();
  } finally {
    driver.options.debug = before;
  }
  expect(statements).toHaveLength(1);
  const { text, parameters } = statements[0]!;
  const [row] = await api.deps.sql.unsafe(`explain (analyze, format json) ${text}`, parameters as never[]);
  const [{ Plan: plan }] = row!['QUERY PLAN'] as [{ Plan: Plan }];
  const found = nodes(plan).filter((node) => node['Relation Name'] === 'workspace_agent_stats');
  const rowsOf = (node: Plan) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
  return {
    kinds: [...new Set(found.map((node) => node['Node Type']))],
    rows: found.reduce((sum, node) => sum + rowsOf(node), 0),
  };
}

describe.each(['before', 'after'])(`with ${reportCount} reports, %s the statistics of the planner are made`, (when) => {
  beforeAll(async () => {
    if (when === 'after') await api.db.execute(sql`vacuum analyze workspace_agent_stats`);
  });
  const range = lastLocalDays(now, 0);
  // One more where a user's days end; and PostgreSQL rounds the rows of a loop.
  const lookedAt = (looksPerUser: number) => userCount * (looksPerUser + 1);

  test('users by day are found by one look per user and day', async () => {
    const all = await listDailyUsers(api.db, range);
    expect(all).toEqual(range.dates.map((_, day) => ({ day, users: userCount })));
    expect(await listDailyUsers(api.db, { ...range, templateId: template.id })).toEqual(all);
    for (const templateId of [undefined, template.id as string]) {
      const of = { ...range, ...(templateId !== undefined && { templateId }) };
      const { kinds, rows } = await reads(() => listDailyUsers(api.db, of));
      expect(kinds.filter((kind) => !kind.startsWith('Index'))).toEqual([]);
      expect(rows).toBeLessThan(lookedAt(2 + range.dates.length));
    }
  });

  test('active users by two looks per user', async () => {
    expect(await listActiveUsers(api.db, [template.id], activeSince(now))).toEqual([
      { templateId: template.id, count: userCount, people: userCount },
    ]);
    const { kinds, rows } = await reads(() => listActiveUsers(api.db, [template.id], activeSince(now)));
    expect(kinds.filter((kind) => !kind.startsWith('Index'))).toEqual([]);
    expect(rows).toBeLessThan(lookedAt(2));
  });
});
