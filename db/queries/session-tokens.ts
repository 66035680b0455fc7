import { and, eq, sql } from 'drizzle-orm';
import { createHash, randomInt } from 'node:crypto';
import { TOKEN_ID_LENGTH, TOKEN_SECRET_LENGTH } from '../../domain/session-token.ts';
import type { Db } from '../client.ts';
import { apiKeys } from '../schema/users.ts';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const randomText = (length: number): string =>
  Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');

/** A new key: `id` and `hashedSecret` are stored, `token` is shown once. */
export function newApiKey(): { id: string; hashedSecret: Buffer; token: string } {
  const id = randomText(TOKEN_ID_LENGTH);
  const secret = randomText(TOKEN_SECRET_LENGTH);
  return { id, hashedSecret: createHash('sha256').update(secret).digest(), token: `${id}-${secret}` };
}

/** Name of the token that a workspace's builds give to its owner (spec/02 §3.2). */
export const sessionTokenName = (ownerId: string, workspaceId: string): string =>
  `${ownerId}_${workspaceId}_session_token`;

export async function deleteSessionToken(tx: Db, key: { userId: string; name: string }): Promise<void> {
  await tx.delete(apiKeys).where(and(eq(apiKeys.userId, key.userId), eq(apiKeys.tokenName, key.name)));
}

/** Token of a started workspace: the one before it stops working in the same statement (spec/07 §3.2). */
export async function replaceSessionToken(
  db: Db,
  key: {
    userId: string;
    name: string;
    /** The owner's. */
    loginType: (typeof apiKeys.$inferInsert)['loginType'];
    lifetimeSeconds: number;
    now: Date;
  },
): Promise<string> {
  const { id, hashedSecret, token } = newApiKey();
  const { userId, name, loginType, lifetimeSeconds } = key;
  const now = key.now.toISOString();
  const expiresAt = new Date(key.now.getTime() + lifetimeSeconds * 1000).toISOString();
  // The insert reads what the delete returns, so that the delete comes first.
  await db.execute(sql`
    with gone as (delete from api_keys where user_id = ${userId} and token_name = ${name} returning id)
    insert into api_keys (id, hashed_secret, user_id, token_name, lifetime_seconds, login_type, scopes, allow_list,
      last_used, created_at, updated_at, expires_at)
    select ${id}, ${hashedSecret}::bytea, ${userId}, ${name}, ${lifetimeSeconds}, ${loginType}::login_type,
      '{coder:all}', '{*:*}', ${now}, ${now}, ${now}, ${expiresAt}
    from (select count(*) from gone) as first`);
  return token;
}
