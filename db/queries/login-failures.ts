import { eq, inArray, sql } from 'drizzle-orm';
import { loginWaitSeconds } from '../../domain/passwords.ts';
import type { Db } from '../client.ts';
import { transaction } from '../client.ts';
import { loginFailures } from '../schema/users.ts';

/** A row that old starts again: the longest wait is over then. */
const forgetAfterMs = 900_000;

class MustWait extends Error {
  readonly seconds: number;
  constructor(seconds: number) {
    super('wait');
    this.seconds = seconds;
  }
}

/**
 * Counts an attempt as failed before the password is looked at, so that parallel guesses cannot slip past the counter;
 * a success takes it back. Returns the seconds to wait when one of the keys is inside its wait (nothing is counted
 * then), else 0. Source: spec/07 §7 "brute force".
 */
export async function countLoginAttempt(db: Db, keys: readonly string[], now: Date): Promise<number> {
  try {
    await transaction(db, async (tx) => {
      // One order for all, so that two attempts never wait for each other crosswise.
      for (const key of [...keys].sort()) {
        await tx.insert(loginFailures).values({ key, failures: 0, lastFailureAt: now }).onConflictDoNothing();
        const [row] = await tx
          .select({ failures: loginFailures.failures, lastFailureAt: loginFailures.lastFailureAt })
          .from(loginFailures)
          .where(eq(loginFailures.key, key))
          .for('update');
        const sinceMs = now.getTime() - (row?.lastFailureAt.getTime() ?? 0);
        const failures = row === undefined || sinceMs >= forgetAfterMs ? 0 : row.failures;
        const waitMs = loginWaitSeconds(failures) * 1000 - sinceMs;
        if (waitMs > 0) throw new MustWait(Math.ceil(waitMs / 1000));
        await tx
          .update(loginFailures)
          .set({ failures: failures + 1, lastFailureAt: now })
          .where(eq(loginFailures.key, key));
      }
    });
    return 0;
  } catch (err) {
    if (err instanceof MustWait) return err.seconds;
    throw err;
  }
}

/** A success forgets the account's failures; of an address only the attempt itself is taken back. */
export async function takeBackLoginAttempt(
  tx: Db,
  keys: { account: string; address: string | undefined },
): Promise<void> {
  await tx.delete(loginFailures).where(eq(loginFailures.key, keys.account));
  if (keys.address !== undefined)
    await tx
      .update(loginFailures)
      .set({ failures: sql`greatest(${loginFailures.failures} - 1, 0)` })
      .where(inArray(loginFailures.key, [keys.address]));
}
