import { and, eq } from 'drizzle-orm';
import { createHash, randomInt } from 'node:crypto';
import { TOKEN_ID_LENGTH, TOKEN_SECRET_LENGTH } from '../../domain/session-token.ts';
import type { Db } from '../client.ts';
import { apiKeys, users } from '../schema/users.ts';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const randomText = (length: number): string =>
  Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');

/** A new key: `id` and `hashedSecret` are stored, `token` is shown once. */
export function newApiKey(): { id: string; hashedSecret: Buffer; token: string } {
  const id = randomText(TOKEN_ID_LENGTH);
  const secret = randomText(TOKEN_SECRET_LENGTH);
  return { id, hashedSecret: createHash('sha256').update(secret).digest(), token: `${id}-${secret}` };
}

export async function deleteSessionToken(tx: Db, key: { userId: string; name: string }): Promise<void> {
  await tx.delete(apiKeys).where(and(eq(apiKeys.userId, key.userId), eq(apiKeys.tokenName, key.name)));
}

/** Token of a started workspace: the one before it stops working in the same transaction (spec/07 §3.2). */
export async function replaceSessionToken(
  tx: Db,
  key: { userId: string; name: string; lifetimeSeconds: number; now: Date },
): Promise<string> {
  await deleteSessionToken(tx, key);
  const { token, ...stored } = newApiKey();
  const { now, lifetimeSeconds } = key;
  const [owner] = await tx.select({ loginType: users.loginType }).from(users).where(eq(users.id, key.userId));
  await tx.insert(apiKeys).values({
    ...stored,
    userId: key.userId,
    tokenName: key.name,
    lifetimeSeconds,
    // The unique index on names covers tokens only; the delete above keeps this one single.
    loginType: owner?.loginType ?? 'password',
    scopes: ['coder:all'],
    allowList: ['*:*'],
    lastUsed: now,
    createdAt: now,
    updatedAt: now,
    expiresAt: new Date(now.getTime() + lifetimeSeconds * 1000),
  });
  return token;
}
