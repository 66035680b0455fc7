import { createHash, timingSafeEqual } from 'node:crypto';
import type { Config } from '../config.ts';
import type { Db } from '../db/client.ts';
import { transaction } from '../db/client.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { findKeyWithUser, touchKey } from '../db/queries/api-keys.ts';
import type { KeyWithUser } from '../db/queries/api-keys.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { activateDormantUser } from '../db/queries/users.ts';
import { agentApi } from '../domain/actors.ts';
import { DomainError } from '../domain/errors.ts';
import { isUuid } from '../domain/ids.ts';
import { ownerWorkspaceAccessDisabled, unknownRoles, workspaceSharingDisabled } from '../domain/roles.ts';
import { isTouchDue, parseSessionToken, slidingExpiry } from '../domain/session-token.ts';
import type { Subject } from '../domain/subject.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Where a request carried its token. Only the cookie needs a CSRF proof. */
export type TokenCarrier = 'header' | 'bearer' | 'query' | 'cookie';

export interface Session {
  readonly keyId: string;
  readonly carrier: TokenCarrier;
  readonly expiresAt: Date;
}

interface Deps {
  readonly db: Db;
  readonly config: Config;
  readonly logger: Logger;
  now(): Date;
}

const unauthenticated = (message: string) => new DomainError('UNAUTHENTICATED', message);
const badToken = () => unauthenticated('The token is not valid or has expired; sign in again');

export const hashTokenSecret = (secret: string): Buffer => createHash('sha256').update(secret).digest();

const warnedRoles = new WeakMap<Config, Set<string>>();

/** The subject behind a loaded key or user; settings add roles that no row names. */
export function subjectOf(
  row: Omit<KeyWithUser, 'key'>,
  key: { scopes: string[]; allowList: string[] },
  deps: Deps,
): Subject {
  const organizations = Object.fromEntries(
    Object.entries(row.organizations).map(([id, membership]) => [
      id,
      [
        membership.sharing === 'none' ? 'organization-member-unshared' : 'organization-member',
        ...membership.defaults,
        ...membership.roles,
      ],
    ]),
  );
  const roles = [
    ...row.user.rbacRoles,
    ...(deps.config.CODER_DISABLE_OWNER_WORKSPACE_ACCESS ? [ownerWorkspaceAccessDisabled] : []),
    ...(deps.config.CODER_DISABLE_WORKSPACE_SHARING ? [workspaceSharingDisabled] : []),
  ];
  const warned = warnedRoles.get(deps.config) ?? new Set();
  warnedRoles.set(deps.config, warned);
  for (const role of unknownRoles([...roles, ...Object.values(organizations).flat()]))
    if (!warned.has(role)) {
      warned.add(role);
      deps.logger.warn({ role }, 'a stored role is unknown to this version and grants nothing');
    }
  return {
    kind: 'user',
    id: row.user.id,
    name: row.user.username,
    roles,
    organizations,
    groups: [...row.groups, ...Object.keys(organizations)],
    scopes: key.scopes,
    allowList: key.allowList,
  };
}

/**
 * Token → subject in one query. Order of checks: syntax (no query), key row, secret in constant time, expiry, user.
 * At most once per hour it writes `last_used`, the address, `last_seen_at` and the sliding expiry, in one statement; a
 * dormant user becomes active in the same transaction. Throws UNAUTHENTICATED. Source: spec/07 §3.2, spec/06 §1.1.
 */
export function createAuthenticate(deps: Deps) {
  return async function authenticate(
    token: string,
    request: { carrier: TokenCarrier; ip: string | null; origin: AuditOrigin },
  ): Promise<{ subject: Subject; session: Session }> {
    const parsed = parseSessionToken(token);
    if (parsed === undefined) throw badToken();
    const row = await findKeyWithUser(deps.db, parsed.id);
    const hashed = hashTokenSecret(parsed.secret);
    if (row === undefined || !timingSafeEqual(hashed, row.key.hashedSecret)) throw badToken();
    const now = deps.now();
    if (row.key.expiresAt.getTime() <= now.getTime() || row.user.deleted || row.user.isSystem) throw badToken();
    if (row.user.status === 'suspended') throw unauthenticated('Your account is suspended; ask an administrator');

    // Named tokens and those of workspaces end when they were said to; sessions live as long as they are used.
    const slides =
      row.key.loginType !== 'token' && row.key.tokenName === '' && !deps.config.CODER_DISABLE_SESSION_EXPIRY_REFRESH;
    const expiresAt = (slides ? slidingExpiry(row.key, now) : undefined) ?? row.key.expiresAt;
    const dormant = row.user.status === 'dormant';
    if (
      dormant ||
      expiresAt !== row.key.expiresAt ||
      isTouchDue(row.key.lastUsed, now) ||
      isTouchDue(row.user.lastSeenAt, now)
    )
      await transaction(deps.db, async (tx) => {
        await touchKey(tx, { keyId: row.key.id, userId: row.user.id, now, expiresAt, ip: request.ip });
        if (!dormant || !(await activateDormantUser(tx, row.user.id, now))) return;
        await insertAudit(tx, {
          origin: { ...request.origin, userId: row.user.id, actor: 'authenticator' },
          time: now,
          resourceType: 'user',
          resourceId: row.user.id,
          resourceTarget: row.user.username,
          action: 'write',
          diff: { status: { old: 'dormant', new: 'active', secret: false } },
          additionalFields: { automatic_actor: 'dormancy' },
        });
      });
    return {
      subject: subjectOf(row, row.key, deps),
      session: { keyId: row.key.id, carrier: request.carrier, expiresAt },
    };
  };
}

/** Agent token (a uuid) → the agent and its actor. Throws UNAUTHENTICATED. Source: spec/05 §2, spec/06 §1.1. */
export async function authenticateAgent(
  auth: { find(tokenHash: Buffer, options: { fresh: boolean }): Promise<AgentIdentity | undefined> },
  token: string | undefined,
  options: { fresh: boolean },
): Promise<{ agent: AgentIdentity; subject: Subject }> {
  if (token === undefined) throw unauthenticated('An agent token is needed');
  if (!isUuid(token)) throw refusedAgent(`the token is no uuid, it has ${token.length} characters`);
  const agent = await auth.find(hashTokenSecret(token.toLowerCase()), options);
  if (agent === undefined)
    throw refusedAgent('the build of this agent is not finished, or the agent is no longer valid');
  return { agent, subject: agentApi(agent) };
}
const refusedAgent = (detail: string) =>
  new DomainError('UNAUTHENTICATED', 'The agent token is not accepted', { detail });
