import { z } from '@hono/zod-openapi';
import { createExchangeInstanceIdentity } from '../../commands/exchange-instance-identity.ts';
import { createIdentityVerifiers } from '../../commands/verify-instance-identity.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody } from '../schemas.ts';

const proof = () => z.string().min(1).max(65_536);
const agentName = { agent_name: z.string().max(64).default('') };
const SessionToken = z.object({ session_token: z.string() }).openapi('AgentAuthenticateResponse');
const route = {
  method: 'post',
  access: 'public',
  rateLimit: 'identity',
  tags: ['Agents'],
  responses: {
    200: json(SessionToken, "The agent's token"),
    401: { description: 'The identity is not valid' },
    409: { description: 'Several agents; state agent_name' },
  },
} as const;
const aws = defineRoute({
  ...route,
  path: '/workspaceagents/aws-instance-identity',
  summary: 'Sign an agent in by the identity of its AWS machine',
  request: jsonBody(z.object({ signature: proof(), document: proof(), ...agentName })),
});
const azure = defineRoute({
  ...route,
  path: '/workspaceagents/azure-instance-identity',
  summary: 'Sign an agent in by the identity of its Azure machine',
  request: jsonBody(z.object({ signature: proof(), encoding: z.string().max(64).default('pkcs7'), ...agentName })),
});
const google = defineRoute({
  ...route,
  path: '/workspaceagents/google-instance-identity',
  summary: 'Sign an agent in by the identity of its Google machine',
  request: jsonBody(z.object({ json_web_token: proof(), ...agentName })),
});

/** Tokens for agents whose machine vouches for them. Source: spec/05 §2. */
export function registerInstanceIdentityRoutes(app: App, deps: AppDeps): void {
  const verify = createIdentityVerifiers(deps);
  const exchange = createExchangeInstanceIdentity(deps);
  app.openapi(aws, async (c) => {
    const { agent_name: name, ...identity } = c.req.valid('json');
    const instanceId = await verify.aws(identity);
    return c.json({ session_token: await exchange({ instanceId, agentName: name }) }, 200);
  });
  app.openapi(azure, async (c) => {
    const { agent_name: name, ...identity } = c.req.valid('json');
    const instanceId = await verify.azure(identity);
    return c.json({ session_token: await exchange({ instanceId, agentName: name }) }, 200);
  });
  app.openapi(google, async (c) => {
    const { agent_name: name, json_web_token: token } = c.req.valid('json');
    const instanceId = await verify.google({ token });
    return c.json({ session_token: await exchange({ instanceId, agentName: name }) }, 200);
  });
}
