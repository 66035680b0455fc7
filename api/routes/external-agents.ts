import { z } from '@hono/zod-openapi';
import { readExternalAgentCredentials } from '../../commands/external-agent-credentials.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, uuid } from '../schemas.ts';

const Credentials = z.object({ command: z.string(), agent_token: z.string() }).openapi('ExternalAgentCredentials');
export type ExternalAgentCredentialsBody = z.infer<typeof Credentials>;

const credentials = defineRoute({
  method: 'get',
  path: '/workspaces/{workspace}/external-agent/{agent}/credentials',
  access: { type: 'workspace', action: 'update' },
  auditFailure: { resourceType: 'workspace_agent', action: 'write', param: 'agent' },
  tags: ['Workspaces'],
  summary: 'Token of an external agent and the command that starts it',
  request: { params: z.object({ workspace: uuid(), agent: z.string().min(1).max(64) }) },
  responses: {
    200: json(Credentials, 'A rebuild makes new ones'),
    409: { description: 'The latest build is not a start that succeeded' },
  },
});

/** Source: spec/05 §15. */
export function registerExternalAgentRoutes(app: App, deps: AppDeps): void {
  app.openapi(credentials, async (c) => {
    const { workspace, agent } = c.req.valid('param');
    const found = await readExternalAgentCredentials(deps, callerOf(c), { workspaceId: workspace, agentName: agent });
    c.header('Cache-Control', 'no-store');
    return c.json({ command: found.command, agent_token: found.agentToken }, 200);
  });
}
