import type { Db } from '../db/client.ts';
import { type ActiveUsers, type DailyUsers, listActiveUsers, listDailyUsers } from '../db/queries/daily-activity.ts';
import { type LocalDays, activeSince } from '../domain/daily-activity.ts';
import { createKeptAnswers } from './kept-answers.ts';

type Deps = { readonly db: Db; now(): Date };

const keptMs = 60_000;
/** A look into the index for each: some milliseconds. */
const keptFromLooks = 1_000;

/** Users by day of a template or of all; where there are many, as they were within the last minute. */
export function createDailyUsers({ db, now }: Deps) {
  const kept = createKeptAnswers<DailyUsers[]>({
    keptMs,
    isCostly: (days) => days.reduce((sum, { users }) => sum + users, 0) >= keptFromLooks,
    now,
  });
  return async ({ from, to }: LocalDays, templateId?: string): Promise<DailyUsers[]> => {
    // The range changes at midnight, and so does the answer.
    const key = `${templateId ?? ''}/${from.toISOString()}`;
    const answers = await kept([key], async () => {
      const of = templateId === undefined ? { from, to } : { from, to, templateId };
      return new Map([[key, await listDailyUsers(db, of)]]);
    });
    return answers.get(key) ?? [];
  };
}

/** Active users of templates (spec/01 §6.6); where many used one, as they were within the last minute. */
export function createActiveUsers({ db, now }: Deps) {
  const kept = createKeptAnswers<ActiveUsers>({ keptMs, isCostly: ({ people }) => people >= keptFromLooks / 2, now });
  return async (templateIds: readonly string[]): Promise<ActiveUsers[]> => {
    const answers = await kept(templateIds, async (missing) => {
      const rows = await listActiveUsers(db, missing, activeSince(now()));
      return new Map(rows.map((row) => [row.templateId, row]));
    });
    return [...answers.values()];
  };
}
