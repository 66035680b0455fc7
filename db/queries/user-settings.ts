import { and, eq } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { gitsshkeys, userConfigs } from '../schema/users.ts';

export async function findUserConfig(db: Db, userId: string, key: string): Promise<string | undefined> {
  const [row] = await db
    .select({ value: userConfigs.value })
    .from(userConfigs)
    .where(and(eq(userConfigs.userId, userId), eq(userConfigs.key, key)));
  return row?.value;
}

export async function setUserConfig(tx: Db, userId: string, config: { key: string; value: string }): Promise<void> {
  await tx
    .insert(userConfigs)
    .values({ userId, ...config })
    .onConflictDoUpdate({ target: [userConfigs.userId, userConfigs.key], set: { value: config.value } });
}

export async function findGitSshKey(db: Db, userId: string) {
  const [row] = await db
    .select({
      userId: gitsshkeys.userId,
      privateKey: gitsshkeys.privateKey,
      publicKey: gitsshkeys.publicKey,
      createdAt: gitsshkeys.createdAt,
      updatedAt: gitsshkeys.updatedAt,
    })
    .from(gitsshkeys)
    .where(eq(gitsshkeys.userId, userId));
  return row;
}

/** Inserts or replaces; with `keepExisting` a key that is already there stays. */
export async function putGitSshKey(
  tx: Db,
  key: typeof gitsshkeys.$inferInsert,
  options: { keepExisting: boolean },
): Promise<void> {
  const insert = tx.insert(gitsshkeys).values(key);
  await (options.keepExisting
    ? insert.onConflictDoNothing()
    : insert.onConflictDoUpdate({
        target: gitsshkeys.userId,
        set: { privateKey: key.privateKey, publicKey: key.publicKey, updatedAt: key.updatedAt },
      }));
}
