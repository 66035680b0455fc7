import { transaction } from '../db/client.ts';
import { deleteKey } from '../db/queries/api-keys.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { countLoginAttempt, takeBackLoginAttempt } from '../db/queries/login-failures.ts';
import { activateDormantUser, findLoginAccount, updateUser } from '../db/queries/users.ts';
import { authenticator } from '../domain/actors.ts';
import { authorize } from '../domain/authorization.ts';
import { DomainError } from '../domain/errors.ts';
import type { AccessDeps, Caller } from './caller.ts';
import type { PasswordHasher } from './password-hash.ts';
import { issueKey } from './sessions.ts';

const refused = (message: string) => new DomainError('UNAUTHENTICATED', message);

/**
 * Password → browser session. Unknown address, wrong password and account without a password get one text after the
 * same work; only who knows the password learns that the account is suspended or signs in otherwise. Attempts of an
 * account or address inside their wait are refused without hashing. Source: spec/07 §3.1, §7, spec/06 §3.
 */
export async function logIn(
  deps: AccessDeps & { passwords: PasswordHasher },
  input: { email: string; password: string },
  origin: AuditOrigin,
): Promise<{ sessionToken: string; lifetimeMs: number }> {
  const now = deps.now();
  const actor = authenticator();
  const account = `account:${input.email.trim().toLowerCase().slice(0, 254)}`;
  const address = origin.ip === null ? undefined : `ip:${origin.ip}`;
  const wait = await countLoginAttempt(deps.db, address === undefined ? [account] : [account, address], now);
  if (wait > 0)
    throw new DomainError('RATE_LIMITED', 'Too many failed sign-ins, wait before the next one', {
      retryAfterSeconds: wait,
    });

  authorize(actor, 'read', { type: 'user' });
  const user = await findLoginAccount(deps.db, input.email.trim());
  const hash = user?.hashedPassword;
  const checked = await deps.passwords.verify(input.password, hash === undefined || hash === '' ? null : hash);
  const auditLogin = (statusCode: number) => ({
    origin: { ...origin, userId: user?.id ?? null },
    time: now,
    resourceType: 'user',
    resourceId: user?.id ?? '',
    resourceTarget: user?.username ?? '',
    action: 'login' as const,
    statusCode,
  });
  if (user === undefined || !checked.valid) {
    // Attempts on unknown accounts leave no row: anybody could fill the log with them.
    if (user !== undefined) await insertAudit(deps.db, auditLogin(401));
    throw refused('Incorrect e-mail address or password');
  }
  if (user.status === 'suspended' || user.loginType !== 'password') {
    await insertAudit(deps.db, auditLogin(401));
    throw refused(
      user.status === 'suspended'
        ? 'Your account is suspended; ask an administrator'
        : `This account signs in with ${user.loginType}, not with a password`,
    );
  }

  const rehashed = checked.outdated ? await deps.passwords.hash(input.password) : undefined;
  const lifetimeMs = deps.config.CODER_SESSION_DURATION;
  const sessionToken = await transaction(deps.db, async (tx) => {
    authorize(actor, 'create', { type: 'api_key', ownerId: user.id });
    await takeBackLoginAttempt(tx, { account, address });
    if (rehashed !== undefined) await updateUser(tx, user.id, { hashedPassword: rehashed, updatedAt: now });
    if (user.status === 'dormant' && (await activateDormantUser(tx, user.id, now)))
      await insertAudit(tx, {
        ...auditLogin(200),
        origin: { ...origin, userId: user.id, actor: actor.name },
        action: 'write',
        diff: { status: { old: 'dormant', new: 'active', secret: false } },
        additionalFields: { automatic_actor: 'dormancy' },
      });
    return issueKey(
      tx,
      {
        userId: user.id,
        lifetimeMs,
        loginType: 'password',
        scopes: ['coder:all'],
        allowList: ['*:*'],
        action: 'login',
        target: user.username,
      },
      { now, origin },
    );
  });
  return { sessionToken, lifetimeMs };
}

/** Ends the session that the request came with. */
export async function logOut(deps: AccessDeps, caller: Caller, keyId: string): Promise<void> {
  await transaction(deps.db, async (tx) => {
    authorize(caller.subject, 'delete', { type: 'api_key', ownerId: caller.subject.id });
    if (!(await deleteKey(tx, keyId))) return;
    await insertAudit(tx, {
      origin: caller.origin,
      time: deps.now(),
      resourceType: 'api_key',
      resourceId: caller.subject.id,
      resourceTarget: caller.subject.name,
      action: 'logout',
      additionalFields: { key_id: keyId },
    });
  });
}
