import { and, eq, lte } from 'drizzle-orm';
import { createHash } from 'node:crypto';
import { DomainError, invalidField } from '../domain/errors.ts';
import { type Db, violatedConstraint } from '../db/client.ts';
import { idempotencyKeys } from '../db/schema/users.ts';

export interface IdempotentRequest {
  readonly userId: string;
  readonly key: string;
  readonly route: string;
  readonly body: unknown;
  readonly now: Date;
}

/** A key means something for a day; then it is as if it had never been used (spec/06 §1). */
const keptForMs = 24 * 3_600_000;

const hashOf = (body: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(body) ?? '')
    .digest('hex');

const forgottenAt = (request: IdempotentRequest): Date => new Date(request.now.getTime() - keptForMs);

/**
 * The resource that the first request with this key made; undefined when there was none. Throws CONFLICT when the key was
 * used with another body or route. Source: spec/06 §1 "Idempotency".
 */
export async function findIdempotentResult(
  db: Db,
  request: IdempotentRequest | undefined,
): Promise<string | undefined> {
  if (request === undefined) return undefined;
  if (request.key === '' || request.key.length > 128)
    throw invalidField('Idempotency-Key', 'must have 1 to 128 characters');
  const [row] = await db
    .select({
      route: idempotencyKeys.route,
      requestHash: idempotencyKeys.requestHash,
      resourceId: idempotencyKeys.resourceId,
      createdAt: idempotencyKeys.createdAt,
    })
    .from(idempotencyKeys)
    .where(and(eq(idempotencyKeys.userId, request.userId), eq(idempotencyKeys.key, request.key)));
  if (row === undefined || row.createdAt <= forgottenAt(request)) return undefined;
  if (row.route !== request.route || row.requestHash !== hashOf(request.body))
    throw new DomainError('CONFLICT', 'This Idempotency-Key was used with another request');
  return row.resourceId;
}

/** Remembers the result in the command's transaction; a racing twin makes this throw `KeyTaken`, see `isKeyTaken`. */
export async function rememberResult(
  tx: Db,
  request: IdempotentRequest | undefined,
  result: { resourceId: string; statusCode: number },
): Promise<void> {
  if (request === undefined) return;
  const { userId, key } = request;
  await tx
    .delete(idempotencyKeys)
    .where(
      and(
        eq(idempotencyKeys.userId, userId),
        eq(idempotencyKeys.key, key),
        lte(idempotencyKeys.createdAt, forgottenAt(request)),
      ),
    );
  await tx.insert(idempotencyKeys).values({
    userId,
    key,
    route: request.route,
    requestHash: hashOf(request.body),
    resourceId: result.resourceId,
    statusCode: result.statusCode,
    createdAt: request.now,
  });
}

/** The twin with the same key committed first: read its result. */
export const isKeyTaken = (err: unknown): boolean => violatedConstraint(err)?.startsWith('idempotency_keys') === true;

/** Runs `work` once per key: a repeat, also a concurrent one, gets the id of the first result. */
export async function once(
  db: Db,
  request: IdempotentRequest | undefined,
  work: () => Promise<string>,
): Promise<string> {
  const earlier = await findIdempotentResult(db, request);
  if (earlier !== undefined) return earlier;
  try {
    return await work();
  } catch (err) {
    // Both twins passed the look-up; the loser may also meet the winner's name or active build first.
    const winner = request === undefined ? undefined : await findIdempotentResult(db, request);
    if (winner !== undefined && (isKeyTaken(err) || (err instanceof DomainError && err.code === 'CONFLICT')))
      return winner;
    throw err;
  }
}
