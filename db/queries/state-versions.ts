import { and, desc, eq, sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import type { ColumnCipher } from '../encryption.ts';
import { users } from '../schema/users.ts';
import { workspaceBuildStates, workspaceBuilds } from '../schema/workspaces.ts';
import { type PackedState, sealState } from '../state-contents.ts';

/** So many contents of a workspace are kept; of older ones only the row stays. */
export const keptStateVersions = 10;

export interface NewStateVersion {
  readonly workspaceId: string;
  readonly buildId: string;
  readonly source: 'upload' | 'restore' | 'forget' | 'orphan';
  /** null for a background actor. */
  readonly createdBy: string | null;
  readonly content: PackedState;
}

/**
 * Adds an operator's state as a version of its own and drops the content of what is beyond the last ten. The caller has locked
 * the workspace's row and made sure that no build is active. Returns the version.
 */
export async function insertStateVersion(tx: Db, cipher: ColumnCipher, input: NewStateVersion): Promise<number> {
  const { workspaceId, buildId, source, createdBy, content } = input;
  const [last] = await tx
    .select({ version: sql<number>`coalesce(max(${workspaceBuildStates.version}), 0)` })
    .from(workspaceBuildStates)
    .where(eq(workspaceBuildStates.workspaceId, workspaceId));
  const version = (last?.version ?? 0) + 1;
  // Not now(): this transaction may have waited for the lock while a build ended, and came after it all the same.
  const at = sql`clock_timestamp()`;
  await tx.insert(workspaceBuildStates).values({
    ...sealState(cipher, { source, workspaceId, version }, content),
    workspaceId,
    version,
    workspaceBuildId: buildId,
    source,
    createdBy,
    createdAt: at,
    updatedAt: at,
  });
  await pruneStateVersions(tx, workspaceId);
  return version;
}

/**
 * Drops the content of all but the ten newest versions, by build and version; their rows stay and say what there was. The
 * current version is the newest one, so it is always kept.
 */
export async function pruneStateVersions(tx: Db, workspaceId: string): Promise<void> {
  await tx.execute(sql`
    update workspace_build_states set state = null, updated_at = now()
    where workspace_id = ${workspaceId} and version in (
      select s.version from workspace_build_states s join workspace_builds b on b.id = s.workspace_build_id
      where s.workspace_id = ${workspaceId} and s.state is not null
      order by b.build_number desc, s.version desc offset ${keptStateVersions})`);
}

const columns = (workspaceId: string) => ({
  version: workspaceBuildStates.version,
  buildId: workspaceBuildStates.workspaceBuildId,
  buildNumber: workspaceBuilds.buildNumber,
  source: workspaceBuildStates.source,
  createdAt: workspaceBuildStates.createdAt,
  createdBy: workspaceBuildStates.createdBy,
  createdByName: users.username,
  serial: workspaceBuildStates.serial,
  lineage: workspaceBuildStates.lineage,
  checksum: workspaceBuildStates.checksum,
  sizeBytes: workspaceBuildStates.size,
  kept: sql<boolean>`${workspaceBuildStates.state} is not null`,
  current: sql<boolean>`${workspaceBuildStates.version} = (
    select c.version from workspace_build_states c join workspace_builds b on b.id = c.workspace_build_id
    where b.workspace_id = ${workspaceId} order by b.build_number desc, c.version desc limit 1)`,
});

const selectVersions = (db: Db, workspaceId: string) =>
  db
    .select(columns(workspaceId))
    .from(workspaceBuildStates)
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.id, workspaceBuildStates.workspaceBuildId))
    .leftJoin(users, eq(users.id, workspaceBuildStates.createdBy));
export type StateVersionRow = Awaited<ReturnType<typeof selectVersions>>[number];

/** Versions of a workspace's state without their contents, newest first: the first one is the current. */
export const listStateVersions = (
  db: Db,
  { workspaceId, limit, offset }: { workspaceId: string; limit: number; offset: number },
): Promise<StateVersionRow[]> =>
  selectVersions(db, workspaceId)
    .where(eq(workspaceBuildStates.workspaceId, workspaceId))
    .orderBy(desc(workspaceBuilds.buildNumber), desc(workspaceBuildStates.version))
    .limit(limit)
    .offset(offset);

/** What is known of one version, or of the current one; undefined when there is none. */
export async function findStateFacts(
  db: Db,
  workspaceId: string,
  version?: number,
): Promise<StateVersionRow | undefined> {
  const [row] = await selectVersions(db, workspaceId)
    .where(
      and(
        eq(workspaceBuildStates.workspaceId, workspaceId),
        version === undefined ? undefined : eq(workspaceBuildStates.version, version),
      ),
    )
    .orderBy(desc(workspaceBuilds.buildNumber), desc(workspaceBuildStates.version))
    .limit(1);
  return row;
}
