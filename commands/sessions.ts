import type { Db } from '../db/client.ts';
import { insertKey } from '../db/queries/api-keys.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { newApiKey } from '../db/queries/session-tokens.ts';
import type { loginTypes } from '../db/queries/users.ts';

export interface NewKey {
  readonly userId: string;
  readonly lifetimeMs: number;
  readonly loginType: (typeof loginTypes)[number];
  readonly tokenName?: string;
  readonly scopes: readonly string[];
  readonly allowList: readonly string[];
  readonly action: 'login' | 'create';
  readonly target: string;
}

/** Inserts a key with its audit row and returns the token, which is stored nowhere and shown once. */
export async function issueKey(tx: Db, key: NewKey, at: { now: Date; origin: AuditOrigin }): Promise<string> {
  const { token, ...stored } = newApiKey();
  const expiresAt = new Date(at.now.getTime() + key.lifetimeMs);
  await insertKey(tx, {
    ...stored,
    userId: key.userId,
    loginType: key.loginType,
    tokenName: key.tokenName ?? '',
    lifetimeSeconds: Math.floor(key.lifetimeMs / 1000),
    scopes: [...key.scopes],
    allowList: [...key.allowList],
    ipAddress: at.origin.ip ?? '0.0.0.0',
    lastUsed: at.now,
    expiresAt,
    createdAt: at.now,
    updatedAt: at.now,
  });
  await insertAudit(tx, {
    origin: { ...at.origin, userId: at.origin.userId ?? key.userId },
    time: at.now,
    resourceType: 'api_key',
    // Key ids are no uuids; the row points at the owner and names the key.
    resourceId: key.userId,
    resourceTarget: key.target,
    action: key.action,
    statusCode: 201,
    diff: {
      expires_at: { old: null, new: expiresAt.toISOString(), secret: false },
      scopes: { old: null, new: [...key.scopes], secret: false },
      hashed_secret: { old: '', new: '', secret: true },
    },
    additionalFields: { key_id: stored.id },
  });
  return token;
}
