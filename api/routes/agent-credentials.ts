import { z } from '@hono/zod-openapi';
import { createGetOwnerSshKey, requireUserData } from '../../commands/agent-credentials.ts';
import { invalidField, notFound } from '../../domain/errors.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json } from '../schemas.ts';

const route = {
  method: 'get',
  access: 'agent',
  agentRate: 'secrets',
  freshAgent: true,
  tags: ['Agents'],
} as const;
const gitSshKey = defineRoute({
  ...route,
  path: '/workspaceagents/me/gitsshkey',
  summary: "The owner's git key",
  responses: {
    200: json(z.object({ public_key: z.string(), private_key: z.string() }).openapi('AgentGitSSHKey'), 'Both halves'),
  },
});
const ExternalAuth = z
  .object({
    access_token: z.string(),
    token_extra: z.record(z.string(), z.unknown()),
    url: z.string(),
    type: z.string(),
    expires_at: z.string().nullable(),
    username: z.string(),
    password: z.string(),
  })
  .openapi('ExternalAuthResponse');
const externalAuth = defineRoute({
  ...route,
  path: '/workspaceagents/me/external-auth',
  summary: "The owner's token at another service",
  request: {
    query: z.object({
      match: z.string().max(2_048).optional(),
      id: z.string().max(256).optional(),
      listen: z.string().optional(),
    }),
  },
  responses: { 200: json(ExternalAuth, 'Token') },
});

/** What belongs to the owner and agents may use. Source: spec/05 §17, §18. */
export function registerAgentCredentialRoutes(app: App, deps: AppDeps): void {
  const getOwnerSshKey = createGetOwnerSshKey(deps);
  app.openapi(gitSshKey, async (c) => {
    const key = await getOwnerSshKey(c.var.agent);
    return c.json({ public_key: key.publicKey, private_key: key.privateKey }, 200);
  });
  app.openapi(externalAuth, (c) => {
    requireUserData(c.var.agent);
    const { match = '', id = '' } = c.req.valid('query');
    if ((match === '') === (id === '')) throw invalidField('match', 'state exactly one of match and id');
    // No service is connected to this product yet, so none has this name or address.
    throw notFound();
  });
}
