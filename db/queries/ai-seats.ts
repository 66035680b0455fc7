import { sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import type { aiSeatState } from '../schema/agent-reports.ts';

export interface AiUse {
  readonly userId: string;
  readonly event: (typeof aiSeatState.$inferSelect)['lastEventType'];
  readonly description: string;
}

/**
 * One row per user that used AI; written at most once in `debounceMs`, however many processes saw a use. Never for system or
 * deleted users. Source: spec/07 §13.
 */
export async function upsertAiSeat(db: Db, use: AiUse, options: { now: Date; debounceMs: number }): Promise<void> {
  const now = sql`${options.now.toISOString()}::timestamptz`;
  const before = sql`${new Date(options.now.getTime() - options.debounceMs).toISOString()}::timestamptz`;
  await db.execute(sql`
    insert into ai_seat_state
      (user_id, first_used_at, last_used_at, last_event_type, last_event_description, updated_at)
    select u.id, ${now}, ${now}, ${use.event}::ai_seat_usage_reason, ${use.description}, ${now}
    from users u where u.id = ${use.userId} and not u.is_system and not u.deleted
    on conflict (user_id) do update set
      last_used_at = excluded.last_used_at, last_event_type = excluded.last_event_type,
      last_event_description = excluded.last_event_description, updated_at = excluded.updated_at
    where ai_seat_state.last_used_at <= ${before}`);
}
