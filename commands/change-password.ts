import { transaction } from '../db/client.ts';
import { deleteKeysOf } from '../db/queries/api-keys.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { lockUser, updateUser } from '../db/queries/users.ts';
import { authorize, userObject } from '../domain/authorization.ts';
import { DomainError, invalidField } from '../domain/errors.ts';
import { passwordProblem } from '../domain/passwords.ts';
import { isSiteOwner } from '../domain/subject.ts';
import { requireValid } from './caller.ts';
import type { AccessDeps, Caller } from './caller.ts';
import type { PasswordHasher } from './password-hash.ts';

/**
 * One's own password needs the old one and must differ from it; another's needs user.update. Every session and token
 * of the user ends, the caller's too. Hashing happens outside the transaction; the row is compared again in it.
 * Source: spec/07 §3.1.
 */
export async function changePassword(
  deps: AccessDeps & { passwords: PasswordHasher },
  caller: Caller,
  input: { userId: string; oldPassword: string; password: string },
): Promise<void> {
  const { subject } = caller;
  const own = input.userId === subject.id;
  const user = await transaction(deps.db, (tx) => lockUser(tx, input.userId));
  authorize(subject, own ? 'update_personal' : 'update', userObject(user.id));
  if (user.loginType !== 'password')
    throw new DomainError('INVALID_INPUT', 'This account does not sign in with a password');
  // Whoever could set an owner's password could become one.
  if (!own && user.rbacRoles.includes('owner') && !isSiteOwner(subject))
    throw new DomainError('FORBIDDEN', 'Only owners may change the password of an owner');
  requireValid('password', passwordProblem(input.password, user));
  if (own) {
    const { valid } = await deps.passwords.verify(input.oldPassword, user.hashedPassword);
    if (!valid) throw invalidField('old_password', 'is not the current password');
    if (input.oldPassword === input.password) throw invalidField('password', 'must differ from the old one');
  }
  const hashedPassword = await deps.passwords.hash(input.password);
  await transaction(deps.db, async (tx) => {
    const current = await lockUser(tx, user.id);
    if (own && current.hashedPassword !== user.hashedPassword)
      throw new DomainError('CONFLICT', 'The password was changed at the same time, try again');
    const now = deps.now();
    await updateUser(tx, user.id, { hashedPassword, updatedAt: now });
    await deleteKeysOf(tx, user.id);
    await insertAudit(tx, {
      origin: caller.origin,
      time: now,
      resourceType: 'user',
      resourceId: user.id,
      resourceTarget: user.username,
      action: 'write',
      statusCode: 204,
      diff: auditDiff('user', current, { ...current, hashedPassword }),
    });
  });
}
