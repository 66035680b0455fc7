import { type SQL, sql } from 'drizzle-orm';
import { NIL_UUID } from '../../domain/ids.ts';
import type { Db } from '../client.ts';

/**
 * The first report of a template's user from the instant on, or what follows in the index of activity: the caller compares. With
 * equality PostgreSQL may take the index by time instead and read everybody's reports.
 */
const nextReport = (who: SQL, from: SQL) => sql`
  select s.template_id, s.user_id, s.created_at from workspace_agent_stats s
  where s.usage and (s.template_id, s.user_id, s.created_at) >= (${who}.template_id, ${who}.user_id, ${from})
  order by s.template_id, s.user_id, s.created_at limit 1`;
const isOf = (who: SQL) => sql`report.template_id = ${who}.template_id and report.user_id = ${who}.user_id`;

/**
 * `person (template_id, user_id)`: whoever used a template, ever. System users are not among them. Skips from user to user in the
 * index of activity: one look for each, however often their agents reported.
 */
const people = (templateIds: readonly string[] | undefined) => {
  const listed = sql`select jsonb_array_elements_text(${JSON.stringify(templateIds ?? [])}::text::jsonb)::uuid`;
  return sql`
    known as (
      select t.id as template_id, ${NIL_UUID}::uuid as user_id from templates t
      where ${templateIds === undefined ? sql`true` : sql`t.id in (${listed})`}
      union all
      select k.template_id, (
        select s.user_id from workspace_agent_stats s
        where s.usage and s.template_id = k.template_id and s.user_id > k.user_id order by s.user_id limit 1)
      from known k where k.user_id is not null
    ), person as (
      select k.template_id, k.user_id from known k
      where k.user_id <> ${NIL_UUID}::uuid and not exists (select 1 from users u where u.id = k.user_id and u.is_system)
    )`;
};

export interface DailyUsers extends Record<string, unknown> {
  /** Days after `from`. */
  readonly day: number;
  readonly users: number;
}

/**
 * Distinct users with activity (spec/04 §8) for each 24 hours after `from`, of one template or of all; a day without any has no
 * row. From a user's first report of a day it goes to the first one after that day.
 */
export async function listDailyUsers(
  db: Db,
  { from, to, templateId }: { from: Date; to: Date; templateId?: string },
): Promise<DailyUsers[]> {
  const [start, end] = [from, to].map((at) => sql`${at.toISOString()}::timestamptz`) as [SQL, SQL];
  const day = sql`floor(extract(epoch from report.created_at - ${start}) / 86400)::int`;
  const nextDay = sql`${start} + (seen.day + 1) * interval '24 hours'`;
  const rows = await db.execute<DailyUsers>(sql`
    with recursive ${people(templateId === undefined ? undefined : [templateId])}, seen as (
      select p.template_id, p.user_id, ${day} as day
      from person p cross join lateral (${nextReport(sql`p`, start)}) report
      where ${isOf(sql`p`)} and report.created_at < ${end}
      union all
      select seen.template_id, seen.user_id, ${day}
      from seen cross join lateral (${nextReport(sql`seen`, nextDay)}) report
      where ${isOf(sql`seen`)} and report.created_at < ${end}
    )
    select day, count(distinct user_id)::int as users from seen group by day order by day`);
  return [...rows];
}

export interface ActiveUsers {
  readonly templateId: string;
  readonly count: number;
  /** Whoever used it while statistics are kept. */
  readonly people: number;
}

/**
 * Distinct users of each template with activity from the instant on; a template that nobody ever used has no row. Not by `exists`,
 * which PostgreSQL turns into a join with all of their reports.
 */
export async function listActiveUsers(db: Db, templateIds: readonly string[], since: Date): Promise<ActiveUsers[]> {
  if (templateIds.length === 0) return [];
  const rows = await db.execute<{ template_id: string; count: number; people: number }>(sql`
    with recursive ${people(templateIds)}
    select p.template_id, count(*)::int as people, count(*) filter (where ${isOf(sql`p`)})::int as count
    from person p left join lateral (${nextReport(sql`p`, sql`${since.toISOString()}::timestamptz`)}) report on true
    group by p.template_id`);
  return rows.map((row) => ({ templateId: row.template_id, count: row.count, people: row.people }));
}
