import { randomBytes } from 'node:crypto';
import { transaction } from '../db/client.ts';
import { deleteKey, expireKey, findKey, keyRefused } from '../db/queries/api-keys.ts';
import type { ApiKeyRow } from '../db/queries/api-keys.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import type { UserRow } from '../db/queries/users.ts';
import { allowListWithin, isAllowListEntry } from '../domain/allow-list.ts';
import { authorize } from '../domain/authorization.ts';
import { invalidField, notFound } from '../domain/errors.ts';
import { nameProblem } from '../domain/names.ts';
import { scopeFromWire, scopesWithin } from '../domain/scopes.ts';
import { requireValid, withConflicts } from './caller.ts';
import type { AccessDeps, Caller } from './caller.ts';
import { issueKey } from './sessions.ts';

const cliLifetimeMs = 7 * 24 * 3_600_000;
const maxEntries = 128;
const tokenNameTaken = { api_keys_token_name_idx: 'name' };

/** Longest lifetime that a token of this user may have, in milliseconds. */
export const maxTokenLifetimeMs = (deps: AccessDeps, user: Pick<UserRow, 'rbacRoles'>): number =>
  user.rbacRoles.includes('owner') ? deps.config.CODER_MAX_ADMIN_TOKEN_LIFETIME : deps.config.CODER_MAX_TOKEN_LIFETIME;

/** A session for a command line; it may do what the caller's own key may do. Self only. */
export async function createSessionKey(deps: AccessDeps, caller: Caller, user: UserRow): Promise<string> {
  const { subject, origin } = caller;
  authorize(subject, 'create', { type: 'api_key', ownerId: user.id });
  if (user.id !== subject.id) throw notFound();
  return transaction(deps.db, (tx) =>
    issueKey(
      tx,
      {
        userId: user.id,
        lifetimeMs: cliLifetimeMs,
        loginType: user.loginType === 'token' ? 'password' : user.loginType,
        scopes: subject.scopes,
        allowList: subject.allowList,
        action: 'create',
        target: user.username,
      },
      { now: deps.now(), origin },
    ),
  );
}

export interface NewToken {
  readonly user: UserRow;
  /** Nanoseconds, exact; undefined = the default. */
  readonly lifetimeNs: bigint | undefined;
  readonly name: string | undefined;
  readonly scopes: readonly string[];
  readonly allowList: readonly string[];
}

/** Named API token with a fixed end. Throws INVALID_INPUT, CONFLICT (field `name`). Source: spec/07 §3.2. */
export async function createToken(deps: AccessDeps, caller: Caller, input: NewToken): Promise<string> {
  const { subject, origin } = caller;
  const { user } = input;
  authorize(subject, 'create', { type: 'api_key', ownerId: user.id });
  if (user.isSystem) throw keyRefused();
  const maximumMs = maxTokenLifetimeMs(deps, user);
  const lifetimeNs =
    input.lifetimeNs ?? BigInt(Math.min(deps.config.CODER_DEFAULT_TOKEN_LIFETIME, maximumMs)) * 1_000_000n;
  if (lifetimeNs <= 0n) throw invalidField('lifetime', 'must be more than 0');
  if (lifetimeNs > BigInt(maximumMs) * 1_000_000n)
    throw invalidField('lifetime', `must be at most ${maximumMs / 3_600_000} hours`);
  const name = input.name ?? `token-${randomBytes(6).toString('hex')}`;
  requireValid('token_name', nameProblem('token', name));
  const scopes = (input.scopes.length === 0 ? subject.scopes : input.scopes).map((text) => {
    const scope = scopeFromWire(text);
    if (scope === undefined) throw invalidField('scopes', `"${text}" is not a scope`);
    return scope;
  });
  const allowList = input.allowList.length === 0 ? [...subject.allowList] : input.allowList.map((e) => e.toLowerCase());
  if (scopes.length > maxEntries) throw invalidField('scopes', `at most ${maxEntries}`);
  if (allowList.length > maxEntries) throw invalidField('allow_list', `at most ${maxEntries}`);
  const bad = allowList.find((entry) => !isAllowListEntry(entry));
  if (bad !== undefined) throw invalidField('allow_list', `"${bad}" is not <type>:<uuid or *>`);
  if (!scopesWithin(scopes, subject.scopes)) throw invalidField('scopes', 'wider than the token that asks');
  if (!allowListWithin(allowList, subject.allowList))
    throw invalidField('allow_list', 'wider than the token that asks');
  return withConflicts(tokenNameTaken, () =>
    transaction(deps.db, (tx) =>
      issueKey(
        tx,
        {
          userId: user.id,
          lifetimeMs: Math.max(1, Number(lifetimeNs / 1_000_000n)),
          loginType: 'token',
          tokenName: name,
          scopes,
          allowList,
          action: 'create',
          target: name,
        },
        { now: deps.now(), origin },
      ),
    ),
  );
}

async function changeKey(
  deps: AccessDeps,
  caller: Caller,
  step: { userId: string; keyId: string; action: 'delete' | 'update' },
): Promise<void> {
  const { userId, keyId, action } = step;
  await transaction(deps.db, async (tx) => {
    authorize(caller.subject, action, { type: 'api_key', ownerId: userId });
    const key: ApiKeyRow | undefined = await findKey(tx, userId, keyId);
    if (key === undefined) throw notFound();
    const now = deps.now();
    if (action === 'delete') await deleteKey(tx, keyId);
    else await expireKey(tx, keyId, now);
    await insertAudit(tx, {
      origin: caller.origin,
      time: now,
      resourceType: 'api_key',
      resourceId: userId,
      resourceTarget: key.tokenName === '' ? key.username : key.tokenName,
      action: action === 'delete' ? 'delete' : 'write',
      statusCode: 204,
      diff:
        action === 'delete'
          ? {}
          : { expires_at: { old: key.expiresAt.toISOString(), new: now.toISOString(), secret: false } },
      additionalFields: { key_id: keyId },
    });
  });
}

export const removeKey = (deps: AccessDeps, caller: Caller, key: { userId: string; keyId: string }): Promise<void> =>
  changeKey(deps, caller, { ...key, action: 'delete' });
/** Ends a key now; its row stays in the list of expired ones. */
export const endKey = (deps: AccessDeps, caller: Caller, key: { userId: string; keyId: string }): Promise<void> =>
  changeKey(deps, caller, { ...key, action: 'update' });
