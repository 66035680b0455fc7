import { and, eq, sql } from 'drizzle-orm';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findAgentByToken } from '../../db/queries/agent-tokens.ts';
import { agentTokenPlace, hashAgentToken } from '../../db/queries/provisioned-resources.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { templateVersions } from '../../db/schema/templates.ts';
import { workspaceAgents, workspaceResources } from '../../db/schema/workspace-agents.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { externalAgentCommand } from '../../domain/external-agents.ts';
import { type JsonValue, type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { createTemplate, insertBuildOf, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
let template: JsonValue;
let plain: JsonValue;
let alice: TestUser;
let workspaceId: string;
beforeAll(async () => {
  api = await createTestApi({ env: { CODER_ACCESS_URL: 'https://berth.example/' } });
  alice = await api.createUser({ username: 'alice', organizationRoles: ['organization-workspace-access'] });
  template = await createTemplate(api, { name: 'outside' });
  plain = await createTemplate(api, { name: 'inside' });
  for (const [of, hasExternalAgent] of [
    [template, true],
    [plain, false],
  ] as const)
    await api.db
      .update(templateVersions)
      .set({ hasExternalAgent })
      .where(eq(templateVersions.id, of.active_version_id));
});
afterAll(() => api.close());
beforeEach(async () => {
  workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: alice.id });
  await markBuild({ hasExternalAgent: true });
});

const markBuild = (set: Partial<typeof workspaceBuilds.$inferInsert>) =>
  api.db
    .update(workspaceBuilds)
    .set(set)
    .where(and(eq(workspaceBuilds.workspaceId, workspaceId), eq(workspaceBuilds.isLatest, true)));

async function insertAgent(
  agent: Partial<typeof workspaceAgents.$inferInsert> = {},
): Promise<{ id: string; token: string }> {
  const [build] = await api.db
    .select({ jobId: workspaceBuilds.jobId })
    .from(workspaceBuilds)
    .where(and(eq(workspaceBuilds.workspaceId, workspaceId), eq(workspaceBuilds.isLatest, true)));
  const [id, token, resourceId] = [agent.id ?? randomUUID(), randomUUID(), randomUUID()];
  const stamps = { createdAt: new Date(), updatedAt: new Date() };
  const { cipher } = api.deps;
  await api.db.insert(workspaceResources).values({
    id: resourceId,
    createdAt: new Date(),
    jobId: build!.jobId,
    transition: 'start',
    type: 'coder_external_agent',
    name: 'dev',
  });
  await api.db.insert(workspaceAgents).values({
    ...stamps,
    resourceId,
    name: 'main',
    architecture: 'amd64',
    operatingSystem: 'linux',
    displayApps: [],
    authTokenHash: hashAgentToken(token),
    authTokenEnc: cipher.encrypt(agentTokenPlace(id), Buffer.from(token)),
    authTokenEncKeyId: cipher.keyId,
    ...agent,
    id,
  });
  return { id, token };
}
const ask = (options: { agent?: string; token?: string; id?: string } = {}) =>
  api.request(
    'GET',
    `/api/v2/workspaces/${options.id ?? workspaceId}/external-agent/${options.agent ?? 'main'}/credentials`,
    { token: options.token ?? alice.token },
  );

describe('credentials of an external agent', () => {
  test('are the token and a command, for the owner and whoever may update; the token lets the agent in', async () => {
    const { id, token } = await insertAgent();
    for (const who of [alice.token, api.ownerToken]) {
      const answer = await ask({ token: who });
      expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
      expect(answer.body).toEqual({
        agent_token: token,
        command: `curl -fsSL "https://berth.example/api/v2/init-script/linux/amd64" | CODER_AGENT_TOKEN="${token}" sh`,
      });
    }
    expect(await findAgentByToken(api.db, hashAgentToken(token))).toMatchObject({ agentId: id, workspaceId });
  });

  test('of a Windows machine come as PowerShell', async () => {
    const { token } = await insertAgent({ operatingSystem: 'windows', architecture: 'arm64' });
    expect((await ask()).body.command).toBe(
      `$env:CODER_AGENT_TOKEN="${token}"; iwr -useb "https://berth.example/api/v2/init-script/windows/arm64" | iex`,
    );
  });

  test('are audited without the token, also when they are refused', async () => {
    const { id, token } = await insertAgent();
    await ask();
    const guest = await share('use');
    await ask({ token: guest.token });
    const rows = await api.db
      .select({
        action: auditLogs.action,
        status: auditLogs.statusCode,
        target: auditLogs.resourceTarget,
        userId: auditLogs.userId,
        fields: auditLogs.additionalFields,
      })
      .from(auditLogs)
      .where(eq(auditLogs.resourceType, 'workspace_agent'));
    expect(rows.filter(({ userId }) => userId === guest.id)).toMatchObject([{ status: 403, target: 'main' }]);
    expect(rows).toContainEqual({
      action: 'write',
      status: 200,
      target: 'main',
      userId: alice.id,
      fields: expect.objectContaining({ workspace_id: workspaceId, credentials_read: true }) as object,
    });
    const dump = await api.db.execute(sql`select a::text from audit_logs a`);
    expect(JSON.stringify(dump).includes(token) || api.logs.join('').includes(token)).toBe(false);
    expect(JSON.stringify(dump)).toContain(id);
  });

  const share = async (role: 'use' | 'admin') => {
    const guest = await api.createUser({ organizationRoles: ['organization-workspace-access'] });
    await api.db
      .update(workspaces)
      .set({ userAcl: { [guest.id]: [role] } })
      .where(eq(workspaces.id, workspaceId));
    return guest;
  };

  test('are not there for those who cannot see the workspace, and forbidden to those who only see it', async () => {
    await insertAgent();
    const stranger = await api.createUser();
    const templateAdmin = await api.createUser({ roles: ['template-admin'] });
    expect((await ask({ token: stranger.token })).status).toBe(404);
    expect((await ask({ token: templateAdmin.token })).status).toBe(403);
    expect((await ask({ token: (await share('use')).token })).status).toBe(403);
    expect((await ask({ token: (await share('admin')).token })).status).toBe(200);
    const reading = await api.createKey(alice.id, { scopes: ['workspace:read'] });
    expect((await ask({ token: reading })).status).toBe(403);
    expect((await ask({ id: randomUUID() })).status).toBe(404);
    expect((await ask({ id: 'no-uuid' })).status).toBe(400);
  });

  test('exist only for top-level agents with a token of a build with external agents', async () => {
    const { id } = await insertAgent();
    await insertAgent({ name: 'child', parentId: id });
    await insertAgent({ name: 'identity', authInstanceId: 'i-123' });
    await insertAgent({ name: 'gone', deleted: true });
    const statuses = await Promise.all(
      ['main', 'child', 'identity', 'gone', 'unknown', 'MAIN'].map(async (agent) => (await ask({ agent })).status),
    );
    expect(statuses).toEqual([200, 404, 404, 404, 404, 404]);
    await markBuild({ hasExternalAgent: false });
    expect((await ask()).status).toBe(404);
  });

  test('of an ordinary workspace never exist, whatever its state', async () => {
    workspaceId = await insertWorkspaceOf(api.db, plain, { ownerId: alice.id });
    await insertAgent();
    expect((await ask()).status).toBe(404);
    await insertBuildOf(api.db, {
      workspaceId,
      versionId: plain.active_version_id,
      transition: 'stop',
      runMs: 1,
    });
    expect((await ask()).status).toBe(404);
    await api.db.update(workspaces).set({ deleted: true }).where(eq(workspaces.id, workspaceId));
    expect((await ask()).status).toBe(404);
  });

  test.each([
    ['stopped', { transition: 'stop' }, {}],
    ['waiting for its start', { transition: 'start' }, { startedAt: null, completedAt: null }],
    ['starting', { transition: 'start' }, { completedAt: null }],
    ['broken', { transition: 'start' }, { error: 'no' }],
    ['canceled', { transition: 'start', canceled: true }, {}],
  ] as const)('of a workspace that is %s answer 409', async (_state, build, job) => {
    await insertAgent();
    await insertBuildOf(api.db, { workspaceId, versionId: template.active_version_id, runMs: 1, ...build });
    await api.db
      .update(provisionerJobs)
      .set({ ...job, updatedAt: new Date() })
      .where(sql`id = (select job_id from workspace_builds where workspace_id = ${workspaceId} and is_latest)`);
    expect((await ask()).status).toBe(409);
  });

  test('are new after a rebuild, and the old token is refused', async () => {
    const { token: old } = await insertAgent();
    await insertBuildOf(api.db, {
      workspaceId,
      versionId: template.active_version_id,
      transition: 'start',
      runMs: 1,
    });
    await markBuild({ hasExternalAgent: true });
    const { token } = await insertAgent();
    expect((await ask()).body.agent_token).toBe(token);
    expect(await findAgentByToken(api.db, hashAgentToken(old))).toBeUndefined();
    expect(await findAgentByToken(api.db, hashAgentToken(token))).toBeDefined();
  });
});

describe('the command', () => {
  const platform = { accessUrl: 'http://x:1', token: '0b9ea8c4-8f4b-4c61-9c6b-2a5c8f1d0e11' };

  test('gives the shell one URL, whatever the template calls its platform', () => {
    const words = ['linux";touch /tmp/x;"', '$(id)', '`id`', 'a\\b', "it's", '!!', '../../x', 'a b'];
    for (const word of words) {
      const command = externalAgentCommand({ ...platform, operatingSystem: word, architecture: word });
      const seen = execFileSync('sh', ['-c', `curl() { printf '%s\\n' "$#" "$2"; }; ${command.split(' | ')[0]}`], {
        encoding: 'utf8',
      }).split('\n');
      expect(seen[0]).toBe('2');
      expect(seen[1]).toMatch(/^http:\/\/x:1\/api\/v2\/init-script\/[\w.%-]+\/[\w.%-]+$/);
    }
  });
});

describe('has_external_agent', () => {
  const names = async (list: 'workspaces' | 'templates', q: string) => {
    const { body } = await api.request('GET', `/api/v2/${list}?q=${encodeURIComponent(q)}`, { token: api.ownerToken });
    return (list === 'workspaces' ? body.workspaces : body).map((each: { name: string }) => each.name) as string[];
  };

  test('finds workspaces by their latest build', async () => {
    await api.db.update(workspaces).set({ name: 'far' }).where(eq(workspaces.id, workspaceId));
    const near = await insertWorkspaceOf(api.db, plain, { ownerId: alice.id });
    await api.db.update(workspaces).set({ name: 'near' }).where(eq(workspaces.id, near));
    const [far, not] = [
      await names('workspaces', 'has_external_agent:true'),
      await names('workspaces', 'has_external_agent:false'),
    ];
    expect([far.includes('far'), far.includes('near')]).toEqual([true, false]);
    expect([not.includes('far'), not.includes('near')]).toEqual([false, true]);
    const { body } = await api.request('GET', `/api/v2/workspaces/${workspaceId}`, { token: alice.token });
    expect(body.latest_build.has_external_agent).toBe(true);
  });

  test('finds templates by their active version', async () => {
    expect(await names('templates', 'has_external_agent:true')).toEqual(['outside']);
    expect(await names('templates', 'has_external_agent:false')).toEqual(['inside']);
  });
});
