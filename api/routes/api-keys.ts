import { z } from '@hono/zod-openapi';
import { createSessionKey, createToken, endKey, maxTokenLifetimeMs, removeKey } from '../../commands/tokens.ts';
import { findKey, findTokenByName, listTokens } from '../../db/queries/api-keys.ts';
import type { ApiKeyRow } from '../../db/queries/api-keys.ts';
import { getUserByRef, loginTypes } from '../../db/queries/users.ts';
import { authorize } from '../../domain/authorization.ts';
import { notFound } from '../../domain/errors.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { exactInteger } from '../exact-integer.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, queryBoolean, timestamp, toWireTime, userRef, uuid } from '../schemas.ts';

const keyFields = {
  id: z.string(),
  user_id: uuid(),
  last_used: timestamp(),
  expires_at: timestamp(),
  created_at: timestamp(),
  updated_at: timestamp(),
  login_type: z.enum(loginTypes),
  scope: z.enum(['all', 'application_connect']),
  scopes: z.array(z.string()),
  token_name: z.string(),
  lifetime_seconds: z.number().int(),
  allow_list: z.array(z.string()),
};
const ApiKey = z.object(keyFields).openapi('APIKey');
const ApiKeyWithOwner = z.object({ ...keyFields, username: z.string() }).openapi('APIKeyWithOwner');
const GeneratedKey = z.object({ key: z.string() }).openapi('GenerateAPIKeyResponse');
const NewToken = z
  .object({
    // Not `.int()`: that stops at 2^53, which is 104 days in nanoseconds.
    lifetime: z
      .number()
      .refine(Number.isInteger, 'must be a whole number')
      .optional()
      .openapi({ type: 'integer', description: 'nanoseconds', format: 'int64' }),
    token_name: z.string().optional(),
    scope: z.enum(['all', 'application_connect', '']).optional(),
    scopes: z.array(z.string()).default([]),
    allow_list: z.array(z.string()).default([]),
  })
  .openapi('CreateTokenRequest');

const toApiKey = (row: ApiKeyRow): z.input<typeof ApiKey> => ({
  id: row.id,
  user_id: row.userId,
  last_used: toWireTime(row.lastUsed),
  expires_at: toWireTime(row.expiresAt),
  created_at: toWireTime(row.createdAt),
  updated_at: toWireTime(row.updatedAt),
  login_type: row.loginType,
  // The old form of `scopes`, which knew two values.
  scope: row.scopes.every((scope) => scope === 'coder:application_connect') ? 'application_connect' : 'all',
  scopes: row.scopes,
  token_name: row.tokenName,
  lifetime_seconds: row.lifetimeSeconds,
  allow_list: row.allowList,
});

const tags = ['API keys'];
const params = z.object({ user: userRef() });
const keyParams = params.extend({ keyid: z.string().max(10) });
const create = { method: 'post', access: { type: 'api_key', action: 'create' }, tags } as const;
const auditFailure = { resourceType: 'api_key', action: 'create', param: 'user' } as const;

const postKey = defineRoute({
  ...create,
  auditFailure,
  path: '/users/{user}/keys',
  summary: 'Session token for a command line, 7 days, renewed by use',
  request: { params },
  responses: { 201: json(GeneratedKey, 'Shown once') },
});
const postToken = defineRoute({
  ...create,
  auditFailure,
  path: '/users/{user}/keys/tokens',
  summary: 'Named token with a fixed lifetime',
  request: { params, ...jsonBody(NewToken) },
  responses: { 201: json(GeneratedKey, 'Shown once'), 409: json(MessageResponse, 'Name taken') },
});
const listRoute = defineRoute({
  method: 'get',
  path: '/users/{user}/keys/tokens',
  access: { type: 'api_key', action: 'read' },
  tags,
  summary: 'Named tokens',
  request: {
    params,
    query: z.object({ include_all: queryBoolean().optional(), include_expired: queryBoolean().optional() }),
  },
  responses: { 200: json(z.array(ApiKeyWithOwner), 'Tokens') },
});
const tokenConfig = defineRoute({
  method: 'get',
  path: '/users/{user}/keys/tokens/tokenconfig',
  access: { type: 'api_key', action: 'read' },
  tags,
  summary: 'Longest lifetime of a token, in nanoseconds',
  request: { params },
  responses: { 200: json(z.object({ max_token_lifetime: z.number() }).openapi('TokenConfig'), 'Limits') },
});
const tokenByName = defineRoute({
  method: 'get',
  path: '/users/{user}/keys/tokens/{keyname}',
  access: { type: 'api_key', action: 'read' },
  tags,
  summary: 'One token by its name',
  request: { params: params.extend({ keyname: z.string().max(64) }) },
  responses: { 200: json(ApiKey, 'Token') },
});
const getKey = defineRoute({
  method: 'get',
  path: '/users/{user}/keys/{keyid}',
  access: { type: 'api_key', action: 'read' },
  tags,
  summary: 'One key by its id',
  request: { params: keyParams },
  responses: { 200: json(ApiKey, 'Key') },
});
const deleteKeyRoute = defineRoute({
  method: 'delete',
  path: '/users/{user}/keys/{keyid}',
  access: { type: 'api_key', action: 'delete' },
  auditFailure: { resourceType: 'api_key', action: 'delete', param: 'user' },
  tags,
  summary: 'Delete a key',
  request: { params: keyParams },
  responses: { 204: { description: 'Deleted' } },
});
const expireRoute = defineRoute({
  method: 'put',
  path: '/users/{user}/keys/{keyid}/expire',
  access: { type: 'api_key', action: 'update' },
  auditFailure: { resourceType: 'api_key', action: 'write', param: 'user' },
  tags,
  summary: 'End a key now; its row stays',
  request: { params: keyParams },
  responses: { 204: { description: 'Expired' } },
});

/** Sessions and tokens. Source: spec/06 §3, spec/07 §3.2. */
export function registerApiKeyRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  app.openapi(postKey, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    return c.json({ key: await createSessionKey(deps, callerOf(c), user) }, 201);
  });
  app.openapi(postToken, async (c) => {
    // Found, so that the answer is that they get none.
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user, { includeSystem: true });
    const body = c.req.valid('json');
    const key = await createToken(deps, callerOf(c), {
      user,
      lifetimeNs: body.lifetime === undefined ? undefined : exactInteger(await c.req.text(), 'lifetime', body.lifetime),
      name: body.token_name === '' ? undefined : body.token_name,
      scopes: body.scopes.length > 0 || body.scope === undefined || body.scope === '' ? body.scopes : [body.scope],
      allowList: body.allow_list,
    });
    return c.json({ key }, 201);
  });
  app.openapi(listRoute, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    const { include_all: all = false, include_expired: includeExpired = false } = c.req.valid('query');
    const options = { includeExpired, now: deps.now(), ...(!all && { userId: user.id }) };
    const rows = await listTokens(db, c.var.subject, options);
    return c.json(
      rows.map((row) => ({ ...toApiKey(row), username: row.username })),
      200,
    );
  });
  app.openapi(tokenConfig, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    authorize(c.var.subject, 'read', { type: 'api_key', ownerId: user.id });
    return c.json({ max_token_lifetime: maxTokenLifetimeMs(deps, user) * 1_000_000 }, 200);
  });
  const readable = async (userRefText: string, c: Parameters<typeof callerOf>[0]) => {
    const user = await getUserByRef(db, c.var.subject, userRefText);
    authorize(c.var.subject, 'read', { type: 'api_key', ownerId: user.id });
    return user.id;
  };
  const found = (row: ApiKeyRow | undefined) => {
    if (row === undefined) throw notFound();
    return toApiKey(row);
  };
  app.openapi(tokenByName, async (c) => {
    const { user, keyname } = c.req.valid('param');
    return c.json(found(await findTokenByName(db, await readable(user, c), keyname)), 200);
  });
  app.openapi(getKey, async (c) => {
    const { user, keyid } = c.req.valid('param');
    return c.json(found(await findKey(db, await readable(user, c), keyid)), 200);
  });
  app.openapi(deleteKeyRoute, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    await removeKey(deps, callerOf(c), { userId: user.id, keyId: c.req.valid('param').keyid });
    return c.body(null, 204);
  });
  app.openapi(expireRoute, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    await endKey(deps, callerOf(c), { userId: user.id, keyId: c.req.valid('param').keyid });
    return c.body(null, 204);
  });
}
