import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { hashTokenSecret } from '../../commands/authenticate.ts';
import type { Db } from '../../db/client.ts';
import { workspacesChannel } from '../../db/notifications.ts';
import { agentTokenPlace } from '../../db/queries/provisioned-resources.ts';
import {
  workspaceAgentConnections,
  workspaceAgentLogSources,
  workspaceAgentMetadata,
  workspaceAgentScripts,
  workspaceAgents,
  workspaceApps,
  workspaceResources,
} from '../../db/schema/workspace-agents.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import type { TestApi } from './api.ts';

export interface TestAgent {
  readonly id: string;
  readonly token: string;
  readonly workspaceId: string;
  readonly resourceId: string;
}

type AgentColumns = Partial<typeof workspaceAgents.$inferInsert>;

/** An agent of the workspace's latest build (or the build given), as a completed start would have made it. */
export async function insertAgentOf(
  api: TestApi,
  workspaceId: string,
  options: {
    token?: string;
    buildNumber?: number;
    /** Of another agent; default: one of its own. */
    resourceId?: string;
    connectedAt?: Date;
    metadataKeys?: string[];
    sources?: string[];
    columns?: AgentColumns;
  } = {},
): Promise<TestAgent> {
  const { db } = api;
  const { token = randomUUID(), metadataKeys = [], sources = [], columns } = options;
  const id = randomUUID();
  const now = new Date();
  const resourceId = options.resourceId ?? (await insertResourceOf(db, workspaceId, options.buildNumber));
  await db.insert(workspaceAgents).values({
    id,
    createdAt: now,
    updatedAt: now,
    resourceId,
    name: 'main',
    authTokenHash: hashTokenSecret(token),
    authTokenEnc: api.deps.cipher.encrypt(agentTokenPlace(id), Buffer.from(token)),
    authTokenEncKeyId: api.deps.cipher.keyId,
    architecture: 'amd64',
    operatingSystem: 'linux',
    displayApps: [],
    ...columns,
  });
  const seen = options.connectedAt ?? null;
  await db.insert(workspaceAgentConnections).values({ agentId: id, firstConnectedAt: seen, lastConnectedAt: seen });
  if (metadataKeys.length > 0)
    await db.insert(workspaceAgentMetadata).values(
      metadataKeys.map((key, index) => ({
        workspaceAgentId: id,
        key,
        displayName: key,
        script: `echo ${key}`,
        intervalSeconds: 10,
        timeoutSeconds: 1,
        displayOrder: index,
      })),
    );
  if (sources.length > 0)
    await db
      .insert(workspaceAgentLogSources)
      .values(sources.map((source) => ({ workspaceAgentId: id, id: source, createdAt: now, displayName: 'Script' })));
  return { id, token, workspaceId, resourceId };
}

async function insertResourceOf(db: Db, workspaceId: string, buildNumber: number | undefined): Promise<string> {
  const id = randomUUID();
  const ofBuild = buildNumber === undefined ? sql`is_latest` : sql`build_number = ${buildNumber}`;
  const [build] = await db
    .select({ jobId: workspaceBuilds.jobId })
    .from(workspaceBuilds)
    .where(sql`workspace_id = ${workspaceId} and ${ofBuild}`);
  await db.insert(workspaceResources).values({
    id,
    createdAt: new Date(),
    jobId: build!.jobId,
    transition: 'start',
    type: 'null_resource',
    name: 'dev',
  });
  return id;
}

export async function insertScriptOf(
  db: Db,
  agentId: string,
  script: Partial<typeof workspaceAgentScripts.$inferInsert> = {},
): Promise<string> {
  const id = script.id ?? randomUUID();
  await db.insert(workspaceAgentScripts).values({
    id,
    workspaceAgentId: agentId,
    logSourceId: randomUUID(),
    logPath: '',
    createdAt: new Date(),
    script: 'true',
    cron: '',
    startBlocksLogin: false,
    runOnStart: true,
    runOnStop: false,
    timeoutSeconds: 0,
    displayName: 'Script',
    ...script,
  });
  return id;
}

export async function insertAppOf(
  db: Db,
  agentId: string,
  app: Partial<typeof workspaceApps.$inferInsert> = {},
): Promise<string> {
  const id = app.id ?? randomUUID();
  await db
    .insert(workspaceApps)
    .values({ id, agentId, createdAt: new Date(), slug: `app-${id.slice(0, 8)}`, displayName: 'App', ...app });
  return id;
}

/** Tells every process that rows which decide about the workspace's agents have changed, as commands do. */
export const announce = (db: Db, workspaceId: string): Promise<unknown> =>
  db.execute(sql`select pg_notify(${workspacesChannel}, ${workspaceId})`);
