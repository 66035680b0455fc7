import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestApi, createTestApi } from '../support/api.ts';
import { addWorker, build, runTick, startedWorkspace } from '../support/lifecycle-rows.ts';
import { dailyStarts, localDates } from '../support/lifecycle-zones.ts';
import { createTemplate } from '../support/template-rows.ts';

const firstDay = Date.UTC(2023, 9, 20);
const days = 400;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
  await addWorker(api.db);
});
afterAll(() => api.close());

/** What a tick has started is stopped again at once, without a build: the next start stays as the tick has written it. */
const stopAll = () =>
  api.db.execute<{ id: string }>(sql`
    with stopped as (
      update workspace_builds set transition = 'stop', active = false where active returning workspace_id, job_id),
    ended as (
      update provisioner_jobs j set started_at = now(), completed_at = now() from stopped where j.id = stopped.job_id)
    select workspace_id as id from stopped`);

/**
 * The executor on the real database over 400 days with a leap day and every change of the clocks, ticked at each minute at which
 * something is due (test/domain/lifecycle-year.test.ts goes through all minutes).
 */
test(
  '400 days in 12 time zones: one start on each local day, none missed and none twice',
  { timeout: 600_000 },
  async () => {
    const template = await createTemplate(api);
    const ids = new Map<string, string>();
    for (const [zone, fields] of dailyStarts) {
      const schedule = `CRON_TZ=${zone} ${fields}`;
      const id = await startedWorkspace(api, template, { at: new Date(firstDay), autostart_schedule: schedule });
      await build(api, id, { transition: 'stop', at: new Date(firstDay + minuteMs) });
      ids.set(id, zone);
    }
    // However long this takes, its worker lives.
    await api.db.execute(sql`update provisioner_daemons set last_seen_at = now() + interval '1 hour'`);
    const starts = new Map([...ids.keys()].map((id) => [id, [] as Date[]]));
    const end = firstDay + days * dayMs;
    const nextStart = async (): Promise<number> => {
      const [row] = await api.db.execute<{ at: string }>(sql`select min(next_start_at) as at from workspaces`);
      return new Date(row!.at).getTime();
    };
    for (let at = await nextStart(), last = firstDay; at < end; last = at, at = await nextStart()) {
      expect(at).toBeGreaterThan(last);
      const { builds, skipped } = await runTick(api, new Date(at));
      expect(skipped).toEqual({});
      const started = await stopAll();
      expect(started).toHaveLength(builds);
      for (const { id } of started) starts.get(id)!.push(new Date(at));
    }
    for (const [id, zone] of ids) {
      const dateOf = localDates(zone);
      const seen = starts.get(id)!.map(dateOf);
      expect(new Set(seen).size, `${zone}: twice on a day`).toBe(seen.length);
      const expected: string[] = [];
      // Every local date that begins and ends within the time.
      for (let at = firstDay + 2 * dayMs; at < end - 2 * dayMs; at += 6 * hourMs) {
        const date = dateOf(at);
        if (expected.at(-1) !== date) expected.push(date);
      }
      expect(expected.length).toBeGreaterThan(390);
      expect(
        expected.filter((date) => !seen.includes(date)),
        `${zone}: missed`,
      ).toEqual([]);
    }
  },
);
