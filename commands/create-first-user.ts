import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { transaction } from '../db/client.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { insertMember } from '../db/queries/members.ts';
import { getDefaultOrganization } from '../db/queries/organizations.ts';
import { hasHumanUser, insertUser } from '../db/queries/users.ts';
import { bootstrap } from '../domain/actors.ts';
import { authorize } from '../domain/authorization.ts';
import { DomainError } from '../domain/errors.ts';
import type { AccessDeps } from './caller.ts';
import type { PasswordHasher } from './password-hash.ts';
import { requireNewUser } from './user-input.ts';

export interface FirstUser {
  readonly email: string;
  readonly username: string;
  readonly name: string;
  readonly password: string;
}

/**
 * The owner of a fresh deployment. Only while there is no human user: an advisory lock makes one of two racing calls
 * wait and then meet the other's user. Throws CONFLICT. Source: spec/07 §3.2.
 */
export async function createFirstUser(
  deps: AccessDeps & { passwords: PasswordHasher },
  input: FirstUser,
  origin: AuditOrigin,
): Promise<{ userId: string; organizationId: string }> {
  const email = requireNewUser(input);
  const conflict = () => new DomainError('CONFLICT', 'The first user exists already');
  if (await hasHumanUser(deps.db)) throw conflict();
  const hashedPassword = await deps.passwords.hash(input.password);
  return transaction(deps.db, async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(hashtext('berth-first-user'))`);
    if (await hasHumanUser(tx)) throw conflict();
    const actor = bootstrap();
    authorize(actor, 'create', { type: 'user' });
    const now = deps.now();
    const user = {
      id: randomUUID(),
      email,
      username: input.username,
      name: input.name,
      hashedPassword,
      status: 'active' as const,
      rbacRoles: ['owner'],
      loginType: 'password' as const,
      createdAt: now,
      updatedAt: now,
    };
    const organization = await getDefaultOrganization(tx);
    await insertUser(tx, user);
    await insertMember(tx, { organizationId: organization.id, userId: user.id, roles: [], now });
    await insertAudit(tx, {
      origin: { ...origin, userId: user.id, actor: actor.name },
      time: now,
      resourceType: 'user',
      resourceId: user.id,
      resourceTarget: user.username,
      action: 'create',
      statusCode: 201,
      diff: auditDiff('user', null, user),
    });
    return { userId: user.id, organizationId: organization.id };
  });
}
