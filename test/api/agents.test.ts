import { z } from '@hono/zod-openapi';
import { sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defineRoute } from '../../api/route.ts';
import { json } from '../../api/schemas.ts';
import { authenticateAgent, hashTokenSecret } from '../../commands/authenticate.ts';
import { authorizeWorkspace } from '../../domain/authorization.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
beforeAll(async () => {
  api = await createTestApi();
  const route = defineRoute({
    method: 'get',
    path: '/workspaceagents/me/test',
    access: 'agent',
    responses: { 200: json(z.object({ workspace_id: z.string(), actor: z.string() }), 'Who I am') },
  });
  api.app.openapi(route, (c) => c.json({ workspace_id: c.var.agent.workspaceId, actor: c.var.subject.name }, 200));
  template = await createTemplate(api);
});
afterAll(() => api.close());

/** An agent of the workspace's latest build; returns its token. */
async function insertAgent(workspaceId: string): Promise<string> {
  const [token, resourceId] = [randomUUID(), randomUUID()];
  await api.db.execute(sql`insert into workspace_resources (id, created_at, job_id, transition, type, name)
    select ${resourceId}, now(), job_id, 'start', 'null_resource', 'dev' from workspace_builds
    where workspace_id = ${workspaceId} and is_latest`);
  await api.db.execute(sql`insert into workspace_agents
    (id, created_at, updated_at, resource_id, name, auth_token_hash, auth_token_enc, architecture, operating_system, display_apps)
    values (gen_random_uuid(), now(), now(), ${resourceId}, 'main', ${hashTokenSecret(token)}, '', 'amd64', 'linux', '{}')`);
  return token;
}
const ask = (token: string) => api.request('GET', '/api/v2/workspaceagents/me/test', { token });

describe('an agent token', () => {
  test('stands for its workspace only, under the actor that serves agents', async () => {
    const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
    const token = await insertAgent(workspaceId);
    const answer = await ask(token);
    expect([answer.status, answer.body]).toEqual([200, { workspace_id: workspaceId, actor: 'agent-api' }]);
    expect((await ask(token.toUpperCase())).status).toBe(200);
  });

  test('is no user token, and a user token is no agent token', async () => {
    const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
    const token = await insertAgent(workspaceId);
    expect((await api.request('GET', '/api/v2/users/me', { token })).status).toBe(401);
    expect((await ask(api.ownerToken)).status).toBe(401);
    expect((await ask(randomUUID())).status).toBe(401);
  });

  test('whose owner’s rights go further still may not touch another workspace', async () => {
    const [mine, other] = [
      await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id }),
      await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id }),
    ];
    const { subject } = await authenticateAgent(api.deps.agents.auth, await insertAgent(mine), { fresh: false });
    const row = (id: string) => ({
      id,
      ownerId: api.owner.id,
      organizationId: api.organizationId,
      dormantAt: null,
      userAcl: {},
      groupAcl: {},
    });
    expect(() => authorizeWorkspace(subject, 'update', row(mine))).not.toThrow();
    expect(() => authorizeWorkspace(subject, 'read', row(other))).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND' }),
    );
  });
});
