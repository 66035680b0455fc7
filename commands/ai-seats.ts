import type { Db } from '../db/client.ts';
import { type AiUse, upsertAiSeat } from '../db/queries/ai-seats.ts';
import type { Logger } from '../telemetry/logger.ts';

const writtenForMs = 60 * 60_000;
const retryAfterMs = 60_000;
/** Users of this process whose next write is not due yet; far more than use AI within an hour. */
const rememberedUsers = 50_000;

export type RecordAiUse = (use: AiUse) => Promise<void>;

/**
 * Notes that a user used AI. At most one write per user and hour here, and per hour in all by the statement itself; after a
 * failed one the next is tried a minute later. Never throws: counting seats must not break what is counted. One per process.
 * Source: spec/07 §13.
 */
export function createRecordAiUse(deps: { db: Db; logger: Logger; now(): Date }): RecordAiUse {
  const notBefore = new Map<string, number>();
  const waitFor = (userId: string, untilMs: number) => {
    notBefore.delete(userId);
    notBefore.set(userId, untilMs);
    if (notBefore.size <= rememberedUsers) return;
    const [oldest] = notBefore.keys();
    if (oldest !== undefined) notBefore.delete(oldest);
  };
  return async function recordAiUse(use) {
    const now = deps.now();
    if (now.getTime() < (notBefore.get(use.userId) ?? 0)) return;
    // Before the write, so that uses at the same moment do not all try.
    waitFor(use.userId, now.getTime() + writtenForMs);
    try {
      await upsertAiSeat(deps.db, use, { now, debounceMs: writtenForMs });
    } catch (err) {
      waitFor(use.userId, now.getTime() + retryAfterMs);
      deps.logger.warn({ err, user_id: use.userId }, 'the use of AI was not recorded');
    }
  };
}
