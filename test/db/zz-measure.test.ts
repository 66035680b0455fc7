import { sql } from 'drizzle-orm';
import { test } from 'vitest';
import { listActiveUsers, listDailyUsers } from '../../db/queries/daily-activity.ts';
import { activeSince, lastLocalDays } from '../../domain/daily-activity.ts';
import { createTestApi } from '../support/api.ts';
import { createTemplate } from '../support/template-rows.ts';
test('m', { timeout: 600_000 }, async () => {
  const api = await createTestApi();
  for (let i = 0; i < 10; i++) await createTemplate(api);
  const now = new Date();
  for (const [users, per] of [[100, 2], [1000, 5]] as const) {
    await api.db.execute(sql`truncate workspace_agent_stats`);
    await api.db.execute(sql`insert into workspace_agent_stats (created_at, user_id, agent_id, workspace_id, template_id, usage)
      select now() - d * interval '1 day' - r * interval '1 minute', u.id, u.id, u.id, t.id, true
      from (select gen_random_uuid() as id, i from generate_series(1, ${users}) i) u, (select id, row_number() over () as n from templates) t, generate_series(0, 99) d, generate_series(1, ${per}) r where t.n in (u.i % 10 + 1, (u.i + 3) % 10 + 1, (u.i + 5) % 10 + 1, (u.i+7)%10+1, (u.i+8)%10+1)`);
    await api.db.execute(sql`vacuum analyze workspace_agent_stats`);
    const ids = (await api.db.execute<{ id: string }>(sql`select id from templates`)).map((r) => r.id);
    const [n] = await api.db.execute(sql`select count(*) from workspace_agent_stats`);
    const time = async (name: string, f: () => Promise<unknown>) => { let best = Infinity; for (let i = 0; i < 4; i++) { const t = performance.now(); await f(); best = Math.min(best, performance.now() - t); } console.log(users, JSON.stringify(n), name, best.toFixed(1)); };
    await time('all', () => listDailyUsers(api.db, lastLocalDays(now, 2)));
    await time('one', () => listDailyUsers(api.db, { ...lastLocalDays(now, 2), templateId: ids[0]! }));
    await time('active of 10', () => listActiveUsers(api.db, ids, activeSince(now)));
  }
  await api.close();
});
