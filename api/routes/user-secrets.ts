import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import {
  authorizeSecret,
  changeSecret,
  createSecret,
  createSecretsOfFile,
  getSecret,
  removeSecret,
} from '../../commands/user-secrets.ts';
import { type SecretRow, listSecrets } from '../../db/queries/user-secrets.ts';
import { findUserByRef } from '../../db/queries/users.ts';
import { notFound } from '../../domain/errors.ts';
import { secretFileFormats } from '../../domain/secret-files.ts';
import { callerOf } from '../context.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, timestamp, toWireTime, userRef } from '../schemas.ts';

/** Never the value: it reaches the owner's agents and nobody else. */
const UserSecret = z
  .object({
    id: z.string(),
    name: z.string(),
    description: z.string(),
    env_name: z.string(),
    file_path: z.string(),
    enabled: z.boolean(),
    created_at: timestamp(),
    updated_at: timestamp(),
  })
  .openapi('UserSecret');
export type UserSecretBody = z.infer<typeof UserSecret>;
const NewUserSecret = z
  .object({
    name: z.string(),
    value: z.string(),
    description: z.string().default(''),
    env_name: z.string().default(''),
    file_path: z.string().default(''),
    enabled: z.boolean().default(true),
  })
  .openapi('CreateUserSecretRequest');
const UserSecretFile = z
  .object({ format: z.enum(secretFileFormats), content: z.string() })
  .openapi('CreateUserSecretsRequest');
const UserSecretChange = z
  .object({
    value: z.string().optional(),
    description: z.string().optional(),
    env_name: z.string().optional(),
    file_path: z.string().optional(),
    enabled: z.boolean().optional(),
  })
  .openapi('UpdateUserSecretRequest');

const tags = ['User secrets'];
const params = z.object({ user: userRef() });
const oneParams = params.extend({ name: z.string().min(1) });
const taken = { 409: { description: 'name, env_name or file_path is taken: `validations` names each' } } as const;
const of = (action: 'create' | 'read' | 'update' | 'delete') => ({ type: 'user_secret', action }) as const;
/** A file of 1 MiB, as JSON text. */
const maxBatchBody = 2 * 1_048_576;

const list = defineRoute({
  method: 'get',
  path: '/users/{user}/secrets',
  access: of('read'),
  tags,
  summary: 'Your secrets, by name',
  request: { params },
  responses: { 200: json(z.array(UserSecret), 'Secrets without their values') },
});
const create = defineRoute({
  method: 'post',
  path: '/users/{user}/secrets',
  access: of('create'),
  auditFailure: { resourceType: 'user_secret', action: 'create', param: 'user' },
  tags,
  summary: 'Keep a secret for your workspaces',
  request: { params, ...jsonBody(NewUserSecret) },
  responses: { 201: json(UserSecret, 'Kept'), ...taken },
});
const createBatch = defineRoute({
  method: 'post',
  path: '/users/{user}/secrets/batch',
  access: of('create'),
  auditFailure: { resourceType: 'user_secret', action: 'create', param: 'user' },
  maxBodyBytes: maxBatchBody,
  tags,
  summary: 'Keep all secrets of a file, or none',
  request: { params, ...jsonBody(UserSecretFile) },
  responses: {
    201: json(z.array(UserSecret), 'Kept, in the order of the file; each is a variable of its own name'),
    413: { description: 'The file is larger than 1 MiB' },
    ...taken,
  },
});
const get = defineRoute({
  method: 'get',
  path: '/users/{user}/secrets/{name}',
  access: of('read'),
  tags,
  summary: 'One of your secrets',
  request: { params: oneParams },
  responses: { 200: json(UserSecret, 'Without its value') },
});
const change = defineRoute({
  method: 'patch',
  path: '/users/{user}/secrets/{name}',
  access: of('update'),
  auditFailure: { resourceType: 'user_secret', action: 'write', param: 'name' },
  tags,
  summary: 'Change a secret; running workspaces get it at their next start',
  request: { params: oneParams, ...jsonBody(UserSecretChange) },
  responses: { 200: json(UserSecret, 'Changed'), ...taken },
});
const remove = defineRoute({
  method: 'delete',
  path: '/users/{user}/secrets/{name}',
  access: of('delete'),
  auditFailure: { resourceType: 'user_secret', action: 'delete', param: 'name' },
  tags,
  summary: 'Delete a secret; files that it became in running workspaces stay',
  request: { params: oneParams },
  responses: { 204: { description: 'Deleted' } },
});

const toUserSecret = (row: SecretRow): UserSecretBody => ({
  id: row.id,
  name: row.name,
  description: row.description,
  env_name: row.envName,
  file_path: row.filePath,
  enabled: row.enabled,
  created_at: toWireTime(row.createdAt),
  updated_at: toWireTime(row.updatedAt),
});

/** Source: spec/07 §9, spec/06 §12. */
export function registerUserSecretRoutes(app: App, deps: AppDeps): void {
  /** System users are nobody here; whether the caller may is the command's to decide. */
  const ownerOf = async (c: Context<ApiEnv>, ref: string): Promise<string> => {
    const user = await findUserByRef(deps.db, c.var.subject, ref);
    if (user === undefined) throw notFound();
    return user.id;
  };
  app.openapi(list, async (c) => {
    const ownerId = await ownerOf(c, c.req.valid('param').user);
    authorizeSecret(callerOf(c), 'read', { ownerId });
    return c.json((await listSecrets(deps.db, ownerId)).map(toUserSecret), 200);
  });
  app.openapi(create, async (c) => {
    const ownerId = await ownerOf(c, c.req.valid('param').user);
    const { env_name: envName, file_path: filePath, ...rest } = c.req.valid('json');
    const row = await createSecret(deps, callerOf(c), { ownerId, secret: { ...rest, envName, filePath } });
    return c.json(toUserSecret(row), 201);
  });
  app.openapi(createBatch, async (c) => {
    const ownerId = await ownerOf(c, c.req.valid('param').user);
    const rows = await createSecretsOfFile(deps, callerOf(c), { ownerId, ...c.req.valid('json') });
    return c.json(rows.map(toUserSecret), 201);
  });
  app.openapi(get, async (c) => {
    const { user, name } = c.req.valid('param');
    return c.json(toUserSecret(await getSecret(deps, callerOf(c), { ownerId: await ownerOf(c, user), name })), 200);
  });
  app.openapi(change, async (c) => {
    const { user, name } = c.req.valid('param');
    const { env_name: envName, file_path: filePath, value, description, enabled } = c.req.valid('json');
    const row = await changeSecret(deps, callerOf(c), {
      ownerId: await ownerOf(c, user),
      name,
      change: {
        ...(value !== undefined && { value }),
        ...(description !== undefined && { description }),
        ...(envName !== undefined && { envName }),
        ...(filePath !== undefined && { filePath }),
        ...(enabled !== undefined && { enabled }),
      },
    });
    return c.json(toUserSecret(row), 200);
  });
  app.openapi(remove, async (c) => {
    const { user, name } = c.req.valid('param');
    await removeSecret(deps, callerOf(c), { ownerId: await ownerOf(c, user), name });
    return c.body(null, 204);
  });
}
