import { and, eq, sql } from 'drizzle-orm';
import { type Db, preparedQuery } from '../client.ts';
import { templates } from '../schema/templates.ts';
import { users } from '../schema/users.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

const decisionColumns = {
  id: workspaces.id,
  name: workspaces.name,
  ownerId: workspaces.ownerId,
  organizationId: workspaces.organizationId,
  templateId: workspaces.templateId,
  deleted: workspaces.deleted,
  dormantAt: workspaces.dormantAt,
  deletingAt: workspaces.deletingAt,
  automaticUpdates: workspaces.automaticUpdates,
  autostartSchedule: workspaces.autostartSchedule,
  nextStartAt: workspaces.nextStartAt,
  ttlMs: workspaces.ttlMs,
  favorite: workspaces.favorite,
  lastUsedAt: workspaces.lastUsedAt,
  latestBuildId: workspaces.latestBuildId,
  claimedAt: workspaces.claimedAt,
  userAcl: workspaces.userAcl,
  groupAcl: workspaces.groupAcl,
};

/** The row that every decision about a workspace rests on, including deleted ones. */
export async function findWorkspaceIncludingDeleted(db: Db, workspaceId: string): Promise<WorkspaceRow | undefined> {
  const [row] = await workspacesById(db, { workspaceId });
  return row;
}
const selectWorkspaces = (db: Db) =>
  db
    .select(decisionColumns)
    .from(workspaces)
    .where(eq(workspaces.id, sql.placeholder('workspaceId')));
export type WorkspaceRow = Awaited<ReturnType<typeof selectWorkspaces>>[number];
const workspacesById = preparedQuery<{ workspaceId: string }, WorkspaceRow>((db) =>
  selectWorkspaces(db).prepare('workspace'),
);

/** Locks the workspace first: whoever decides about its builds reads everything else after this (spec/01 §0). */
export async function lockWorkspace(tx: Db, workspaceId: string): Promise<WorkspaceRow | undefined> {
  const [row] = await lockedWorkspaces(tx, { workspaceId });
  return row;
}
const lockedWorkspaces = preparedQuery<{ workspaceId: string }, WorkspaceRow>((db) =>
  selectWorkspaces(db).for('update').prepare('lock_workspace'),
);

/** Live workspace of an owner by name, case-insensitively; with `includeDeleted` else the newest deleted one. */
export async function findWorkspaceByName(
  db: Db,
  input: { ownerId: string; name: string; includeDeleted?: boolean },
): Promise<WorkspaceRow | undefined> {
  const [row] = await db
    .select(decisionColumns)
    .from(workspaces)
    .where(
      and(
        eq(workspaces.ownerId, input.ownerId),
        sql`lower(${workspaces.name}) = lower(${input.name})`,
        input.includeDeleted === true ? undefined : eq(workspaces.deleted, false),
      ),
    )
    .orderBy(workspaces.deleted, sql`${workspaces.updatedAt} desc`)
    .limit(1);
  return row;
}

export interface NewWorkspace {
  id: string;
  ownerId: string;
  organizationId: string;
  templateId: string;
  name: string;
  autostartSchedule: string | null;
  nextStartAt: Date | null;
  ttlMs: number | null;
  automaticUpdates: 'always' | 'never';
  now: Date;
}

/** Inserts a workspace. A taken name violates `workspaces_owner_name_idx`. */
export async function insertWorkspace(tx: Db, { now, ...workspace }: NewWorkspace): Promise<void> {
  await tx.insert(workspaces).values({ ...workspace, createdAt: now, updatedAt: now, lastUsedAt: now });
}

/** Owner and template words that a build's summary and search attributes need. */
export async function getWorkspaceNames(db: Db, workspaceId: string) {
  const [row] = await db
    .select({ ownerName: users.username, templateName: templates.name })
    .from(workspaces)
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .where(eq(workspaces.id, workspaceId));
  return row!;
}

/** Template settings that limit a workspace's own. */
export async function findWorkspaceTemplate(db: Db, workspaceId: string) {
  const [row] = await db
    .select({
      allowUserAutostart: templates.allowUserAutostart,
      allowUserAutostop: templates.allowUserAutostop,
      autostartBlockDaysOfWeek: templates.autostartBlockDaysOfWeek,
    })
    .from(workspaces)
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .where(eq(workspaces.id, workspaceId));
  return row!;
}

/** Without a time to live a running build stops only at its hard limit, if it has one (spec/06 §8.2). */
export async function setRunningDeadline(tx: Db, buildId: string): Promise<void> {
  await tx
    .update(workspaceBuilds)
    .set({ deadline: sql`max_deadline`, updatedAt: sql`now()` })
    .where(eq(workspaceBuilds.id, buildId));
}

/** A running build stops then. Beyond its hard limit violates `workspace_builds_deadline_below_max_deadline`. */
export async function moveDeadline(tx: Db, buildId: string, deadline: Date): Promise<void> {
  await tx
    .update(workspaceBuilds)
    .set({ deadline, updatedAt: sql`now()` })
    .where(eq(workspaceBuilds.id, buildId));
}
