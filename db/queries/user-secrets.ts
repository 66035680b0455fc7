import { and, eq, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import type { ColumnCipher } from '../encryption.ts';
import { userSecrets } from '../schema/user-secrets.ts';

/** Everything but the value: what lists, answers and conflicts are made of. */
const secretColumns = {
  id: userSecrets.id,
  userId: userSecrets.userId,
  name: userSecrets.name,
  description: userSecrets.description,
  envName: userSecrets.envName,
  filePath: userSecrets.filePath,
  enabled: userSecrets.enabled,
  createdAt: userSecrets.createdAt,
  updatedAt: userSecrets.updatedAt,
};
/** The same order whatever the database's locale: at injection the name that sorts last wins (spec/05 §3). */
const byName = sql`${userSecrets.name} collate "C"`;

export async function listSecrets(db: Db, userId: string) {
  return db.select(secretColumns).from(userSecrets).where(eq(userSecrets.userId, userId)).orderBy(byName);
}
export type SecretRow = Awaited<ReturnType<typeof listSecrets>>[number];

export async function findSecret(db: Db, userId: string, name: string): Promise<SecretRow | undefined> {
  const [row] = await db
    .select(secretColumns)
    .from(userSecrets)
    .where(and(eq(userSecrets.userId, userId), eq(userSecrets.name, name)));
  return row;
}

/** Seals a value for the row with this id; it cannot be moved to another one (spec/07 §10.1). */
export function sealSecret(cipher: ColumnCipher, id: string, value: string) {
  const plain = Buffer.from(value, 'utf8');
  return { value: cipher.encrypt(place(id), plain), valueKeyId: cipher.keyId, valueBytes: plain.length };
}
export type SealedValue = ReturnType<typeof sealSecret>;
const place = (id: string): string => `user_secrets:value:${id}`;

/**
 * Inserts secrets of one user. Violates `user_secrets_*_idx` when a field is taken, and the trigger's `user_secrets_count`,
 * `_bytes`, `_env_bytes` and `_owner_usable`.
 */
export async function insertSecrets(tx: Db, rows: readonly (SecretRow & SealedValue)[]): Promise<void> {
  await tx.insert(userSecrets).values([...rows]);
}

/** Constraints as for `insertSecrets`; the row's own old bytes do not count. */
export async function updateSecret(
  tx: Db,
  id: string,
  change: Partial<Omit<SecretRow, 'id' | 'userId' | 'createdAt'> & SealedValue>,
): Promise<void> {
  await tx.update(userSecrets).set(change).where(eq(userSecrets.id, id));
}

export async function deleteSecret(tx: Db, id: string): Promise<void> {
  await tx.delete(userSecrets).where(eq(userSecrets.id, id));
}

export interface InjectedSecret {
  readonly name: string;
  readonly envName: string;
  readonly filePath: string;
  readonly value: Buffer;
}

/**
 * The enabled secrets of a user with their plain values, by name: for the manifest of his own agents and nothing else. Names
 * that became reserved are still among them. Throws UnknownKeyError. Source: spec/07 §9 "Injection", spec/05 §3.
 */
export async function listInjectedSecrets(db: Db, cipher: ColumnCipher, ownerId: string): Promise<InjectedSecret[]> {
  const rows = await db
    .select({
      id: userSecrets.id,
      name: userSecrets.name,
      envName: userSecrets.envName,
      filePath: userSecrets.filePath,
      value: userSecrets.value,
      valueKeyId: userSecrets.valueKeyId,
    })
    .from(userSecrets)
    .where(and(eq(userSecrets.userId, ownerId), eq(userSecrets.enabled, true)))
    .orderBy(byName);
  return rows.map(({ id, value, valueKeyId, ...secret }) => ({
    ...secret,
    value: cipher.decrypt(place(id), valueKeyId, value),
  }));
}
