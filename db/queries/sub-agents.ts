import { and, asc, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { DisplayApp } from '../../domain/provisioned.ts';
import type { SharingLevel } from '../../domain/sub-agents.ts';
import type { Db } from '../client.ts';
import type { ColumnCipher } from '../encryption.ts';
import { templates } from '../schema/templates.ts';
import {
  liveWorkspaceAgents,
  workspaceAgentConnections,
  workspaceAgents,
  workspaceApps,
  workspaceResources,
} from '../schema/workspace-agents.ts';
import { agentTokenPlace, hashAgentToken } from './provisioned-resources.ts';

/** What a child takes over from its parent. The identity of the parent's machine is never among it. */
const parentColumns = {
  resourceId: liveWorkspaceAgents.resourceId,
  connectionTimeoutSeconds: liveWorkspaceAgents.connectionTimeoutSeconds,
  troubleshootingUrl: liveWorkspaceAgents.troubleshootingUrl,
  apiKeyScope: liveWorkspaceAgents.apiKeyScope,
};
export type ParentAgent = NonNullable<Awaited<ReturnType<typeof lockParentAgent>>>;

const resourcesOfSameJob = (db: Db, resourceId: string) =>
  db
    .select({ id: workspaceResources.id })
    .from(workspaceResources)
    .where(
      eq(workspaceResources.jobId, sql`(select job_id from ${workspaceResources} own where own.id = ${resourceId})`),
    );

/**
 * The parent, after a lock on all top-level agents of its build: names are unique within the build, so children of two
 * parents wait for each other as well. Read the other agents after this.
 */
export async function lockParentAgent(tx: Db, agent: { agentId: string; resourceId: string }) {
  const locked = await tx
    .select({ id: liveWorkspaceAgents.id, ...parentColumns })
    .from(liveWorkspaceAgents)
    .where(
      and(
        isNull(liveWorkspaceAgents.parentId),
        inArray(liveWorkspaceAgents.resourceId, resourcesOfSameJob(tx, agent.resourceId)),
      ),
    )
    .orderBy(asc(liveWorkspaceAgents.id))
    .for('no key update');
  return locked.find(({ id }) => id === agent.agentId);
}

/** Live agents of the build, whosesoever. */
export async function listAgentsOfBuild(tx: Db, resourceId: string) {
  return tx
    .select({ name: liveWorkspaceAgents.name, parentId: liveWorkspaceAgents.parentId })
    .from(liveWorkspaceAgents)
    .where(inArray(liveWorkspaceAgents.resourceId, resourcesOfSameJob(tx, resourceId)));
}

export interface NewSubAgent {
  readonly id: string;
  readonly parentId: string;
  readonly name: string;
  readonly token: string;
  readonly directory: string;
  readonly architecture: string;
  readonly operatingSystem: string;
  readonly displayApps: readonly DisplayApp[];
  readonly inherited: ParentAgent;
  readonly now: Date;
}

export async function insertSubAgent(tx: Db, cipher: ColumnCipher, agent: NewSubAgent): Promise<void> {
  const { id, inherited, token, now } = agent;
  await tx.insert(workspaceAgents).values({
    id,
    parentId: agent.parentId,
    createdAt: now,
    updatedAt: now,
    resourceId: inherited.resourceId,
    connectionTimeoutSeconds: inherited.connectionTimeoutSeconds,
    troubleshootingUrl: inherited.troubleshootingUrl,
    apiKeyScope: inherited.apiKeyScope,
    name: agent.name,
    authTokenHash: hashAgentToken(token),
    authTokenEnc: cipher.encrypt(agentTokenPlace(id), Buffer.from(token)),
    authTokenEncKeyId: cipher.keyId,
    architecture: agent.architecture,
    operatingSystem: agent.operatingSystem,
    directory: agent.directory,
    displayApps: [...agent.displayApps],
  });
  await tx.insert(workspaceAgentConnections).values({ agentId: id });
}

export type NewApp = typeof workspaceApps.$inferInsert;
export async function insertApps(tx: Db, apps: readonly NewApp[]): Promise<void> {
  if (apps.length > 0) await tx.insert(workspaceApps).values([...apps]);
}

const childColumns = {
  id: liveWorkspaceAgents.id,
  name: liveWorkspaceAgents.name,
  authTokenEnc: liveWorkspaceAgents.authTokenEnc,
  authTokenEncKeyId: liveWorkspaceAgents.authTokenEncKeyId,
};
export type ChildAgent = Awaited<ReturnType<typeof listSubAgents>>[number];

/** Live children, oldest first. */
export async function listSubAgents(db: Db, parentId: string) {
  return db
    .select(childColumns)
    .from(liveWorkspaceAgents)
    .where(eq(liveWorkspaceAgents.parentId, parentId))
    .orderBy(asc(liveWorkspaceAgents.createdAt), asc(liveWorkspaceAgents.id));
}

export async function findSubAgent(db: Db, parentId: string, id: string): Promise<ChildAgent | undefined> {
  const [row] = await db
    .select(childColumns)
    .from(liveWorkspaceAgents)
    .where(and(eq(liveWorkspaceAgents.id, id), eq(liveWorkspaceAgents.parentId, parentId)));
  return row;
}

/** False when no live child of the parent has this id. An empty directory keeps the one that the template states. */
export async function updateSubAgent(
  tx: Db,
  child: { id: string; parentId: string; displayApps: readonly DisplayApp[]; directory: string; now: Date },
): Promise<boolean> {
  const updated = await tx
    .update(workspaceAgents)
    .set({
      displayApps: [...child.displayApps],
      ...(child.directory !== '' && { directory: child.directory }),
      updatedAt: child.now,
    })
    .where(
      and(
        eq(workspaceAgents.id, child.id),
        eq(workspaceAgents.parentId, child.parentId),
        eq(workspaceAgents.deleted, false),
      ),
    )
    .returning({ id: workspaceAgents.id });
  return updated.length > 0;
}

/** Marks the child: nothing reads it any more, and its token is refused. `gone`: it was marked before. */
export async function softDeleteSubAgent(
  tx: Db,
  child: { id: string; parentId: string; now: Date },
): Promise<'deleted' | 'gone' | 'unknown'> {
  const ofParent = and(eq(workspaceAgents.id, child.id), eq(workspaceAgents.parentId, child.parentId));
  const deleted = await tx
    .update(workspaceAgents)
    .set({ deleted: true, updatedAt: child.now })
    .where(and(ofParent, eq(workspaceAgents.deleted, false)))
    .returning({ id: workspaceAgents.id });
  if (deleted.length > 0) return 'deleted';
  // The one read that sees deleted rows: a repeated request is answered like the first.
  const [known] = await tx.select({ id: workspaceAgents.id }).from(workspaceAgents).where(ofParent);
  return known === undefined ? 'unknown' : 'gone';
}

/** How far apps of this template may be shared. */
export async function getMaxSharingLevel(db: Db, templateId: string): Promise<SharingLevel> {
  const [row] = await db
    .select({ level: templates.maxPortSharingLevel })
    .from(templates)
    .where(eq(templates.id, templateId));
  return row?.level ?? 'owner';
}
