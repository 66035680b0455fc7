import { randomUUID } from 'node:crypto';
import { and, eq, sql } from 'drizzle-orm';
import { agentTokenPlace, hashAgentToken } from '../../db/queries/provisioned-resources.ts';
import {
  workspaceAgentConnections,
  workspaceAgentScripts,
  workspaceAgents,
  workspaceApps,
  workspaceResources,
} from '../../db/schema/workspace-agents.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import type { TestApi } from './api.ts';
import { insertWorkspaceOf } from './template-rows.ts';

type Template = Parameters<typeof insertWorkspaceOf>[1];

export interface TestAgent {
  readonly id: string;
  readonly token: string;
  readonly workspaceId: string;
  readonly resourceId: string;
  /** Ids by slug. */
  readonly apps: Readonly<Record<string, string>>;
  /** Ids by display name. */
  readonly scripts: Readonly<Record<string, string>>;
}

export interface NewTestAgent {
  readonly workspaceId: string;
  /** Default: a resource of its own in the workspace's latest build. */
  readonly resourceId?: string;
  readonly name?: string;
  readonly token?: string;
  readonly parentId?: string;
  readonly instanceId?: string;
  readonly apiKeyScope?: 'all' | 'no_user_data';
  readonly environment?: Readonly<Record<string, string>>;
  /** It has an open socket, as far as the rows say. */
  readonly connected?: boolean;
  readonly troubleshootingUrl?: string;
  readonly apps?: readonly { readonly slug: string; readonly healthcheckUrl?: string }[];
  readonly scripts?: readonly string[];
}

/** An agent of the workspace's latest build, as the end of a build would leave it. */
export async function insertAgentOf(api: TestApi, agent: NewTestAgent): Promise<TestAgent> {
  const { db } = api;
  const now = new Date();
  const [id, token] = [randomUUID(), agent.token ?? randomUUID()];
  const resourceId = agent.resourceId ?? randomUUID();
  if (agent.resourceId === undefined) {
    const [build] = await db
      .select({ jobId: workspaceBuilds.jobId })
      .from(workspaceBuilds)
      .where(and(eq(workspaceBuilds.workspaceId, agent.workspaceId), eq(workspaceBuilds.isLatest, true)));
    await db
      .insert(workspaceResources)
      .values({ id: resourceId, createdAt: now, jobId: build!.jobId, transition: 'start', type: 'null', name: 'dev' });
  }
  await db.insert(workspaceAgents).values({
    id,
    createdAt: now,
    updatedAt: now,
    resourceId,
    name: agent.name ?? 'main',
    authTokenHash: hashAgentToken(token),
    authTokenEnc: api.deps.cipher.encrypt(agentTokenPlace(id), Buffer.from(token)),
    authTokenEncKeyId: api.deps.cipher.keyId,
    authInstanceId: agent.instanceId ?? null,
    architecture: 'amd64',
    operatingSystem: 'linux',
    environmentVariables: agent.environment === undefined ? null : { ...agent.environment },
    displayApps: [],
    parentId: agent.parentId ?? null,
    apiKeyScope: agent.apiKeyScope ?? 'all',
    troubleshootingUrl: agent.troubleshootingUrl ?? '',
  });
  const seenAt = agent.connected === true ? now : null;
  await db.insert(workspaceAgentConnections).values({ agentId: id, firstConnectedAt: seenAt, lastConnectedAt: seenAt });
  const apps = (agent.apps ?? []).map(({ slug, healthcheckUrl = '' }) => ({
    id: randomUUID(),
    createdAt: now,
    agentId: id,
    slug,
    displayName: slug,
    healthcheckUrl,
    health: healthcheckUrl === '' ? ('disabled' as const) : ('initializing' as const),
  }));
  if (apps.length > 0) await db.insert(workspaceApps).values(apps);
  const scripts = (agent.scripts ?? []).map((displayName) => ({
    id: randomUUID(),
    workspaceAgentId: id,
    logSourceId: randomUUID(),
    logPath: '',
    createdAt: now,
    script: 'true',
    cron: '',
    startBlocksLogin: false,
    runOnStart: true,
    runOnStop: false,
    timeoutSeconds: 0,
    displayName,
  }));
  if (scripts.length > 0) await db.insert(workspaceAgentScripts).values(scripts);
  return {
    id,
    token,
    workspaceId: agent.workspaceId,
    resourceId,
    apps: Object.fromEntries(apps.map((app) => [app.slug, app.id])),
    scripts: Object.fromEntries(scripts.map((script) => [script.displayName, script.id])),
  };
}

/** A running workspace of the given owner with one agent. */
export async function insertRunningAgent(
  api: TestApi,
  template: Template,
  agent: Omit<NewTestAgent, 'workspaceId'> & { ownerId?: string } = {},
): Promise<TestAgent> {
  const { ownerId = api.owner.id, ...rest } = agent;
  return insertAgentOf(api, { workspaceId: await insertWorkspaceOf(api.db, template, { ownerId }), ...rest });
}

/** Notifications for these workspaces while `work` runs. */
export async function workspaceEvents(
  api: TestApi,
  workspaceId: string,
  work: () => Promise<unknown>,
): Promise<number> {
  let events = 0;
  const { unlisten } = await api.deps.sql.listen('berth_workspaces', (payload) => {
    if (payload.split(',').includes(workspaceId)) events += 1;
  });
  await work();
  // Notifications come in order: once this one is there, so are all before it.
  const mark = randomUUID();
  await new Promise<void>((done) => {
    void api.deps.sql
      .listen('berth_test_mark', (payload) => {
        if (payload === mark) done();
      })
      .then(() => api.db.execute(sql`select pg_notify('berth_test_mark', ${mark})`));
  });
  await unlisten();
  return events;
}
