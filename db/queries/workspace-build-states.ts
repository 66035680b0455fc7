import { type SQL, and, desc, eq, lte, sql } from 'drizzle-orm';
import { DomainError } from '../../domain/errors.ts';
import { type Db, transaction } from '../client.ts';
import type { ColumnCipher } from '../encryption.ts';
import { users } from '../schema/users.ts';
import { workspaceBuildStates, workspaceBuilds, workspaces } from '../schema/workspaces.ts';
import {
  type PlainState,
  type SealedState,
  type StatePlace,
  openState,
  packState,
  sealState,
} from '../state-contents.ts';
import { keptStateVersions } from './state-versions.ts';

export interface StoredState extends PlainState {
  readonly version: number;
  readonly buildId: string;
}

/** Compresses and encrypts what a build's run has to store; done outside the transaction that writes. */
export const encodeState = async (
  cipher: ColumnCipher,
  { buildId, ...state }: PlainState & { readonly buildId: string },
): Promise<SealedState> => sealState(cipher, { source: 'build', buildId }, await packState(state));

/** The build's newest row of any source, that `insert` must fit behind: same lineage (an empty state has none), lower serial. */
const newestOfBuild = sql`left join lateral (
  select s.lineage, s.serial from workspace_build_states s where s.workspace_build_id = b.id order by s.version desc limit 1
) newest on true`;
const fitsBehindNewest = ({ lineage, serial }: SealedState): SQL =>
  sql`(newest.serial is null or (newest.lineage in ('', ${lineage}) and newest.serial < ${serial}))`;
const runColumns = sql`(workspace_id, version, workspace_build_id, source, created_at, updated_at,
  state, state_key_id, encoding, serial, lineage, checksum, size)`;
const runValues = (state: SealedState): SQL => sql`b.workspace_id,
  (select coalesce(max(v.version), 0) + 1 from workspace_build_states v where v.workspace_id = b.workspace_id),
  b.id, 'build', now(), now(), ${state.state}::bytea, ${state.stateKeyId}, ${state.encoding}, ${state.serial},
  ${state.lineage}, ${state.checksum}, ${state.size}`;
const orReplaceRunsOwn = sql`on conflict (workspace_build_id) where source = 'build' do update
  set state = excluded.state, state_key_id = excluded.state_key_id, encoding = excluded.encoding, serial = excluded.serial,
    lineage = excluded.lineage, checksum = excluded.checksum, size = excluded.size, updated_at = excluded.updated_at
  where workspace_build_states.lineage in ('', excluded.lineage) and workspace_build_states.serial < excluded.serial
  returning version`;

/**
 * Stores a newer state of the attempt's build in the one row that its run has. Refused (false) when the attempt is fenced, the
 * job is over, the lineage differs or the serial does not grow (spec/02 §5.5): a stored state is never replaced by an older
 * one. An empty state that an operator gave has no lineage, any follows it; an operator's row is never touched.
 */
export async function setBuildState(
  db: Db,
  input: { buildId: string; jobId: string; attempt: number; state: SealedState },
): Promise<boolean> {
  const { buildId, jobId, attempt, state } = input;
  // The job's row is locked, so that two attempts come one after the other: only the arbiter index may see a twin, not the
  // primary key, for which both would have counted the same version.
  const rows = await db.execute(sql`
    insert into workspace_build_states ${runColumns}
    select ${runValues(state)}
    from provisioner_jobs j join workspace_builds b on b.job_id = j.id ${newestOfBuild}
    where j.id = ${jobId} and b.id = ${buildId} and j.attempt = ${attempt} and j.completed_at is null
      and ${fitsBehindNewest(state)}
    for no key update of j
    ${orReplaceRunsOwn}`);
  return rows.length > 0;
}

/**
 * Stores a state that was found after its build was over. Refused (false) when another build began since, when the stored one
 * is of another lineage, not older, or was given by an operator after the build.
 */
export async function setLateState(db: Db, input: { buildId: string; state: SealedState }): Promise<boolean> {
  const { buildId, state } = input;
  return transaction(db, async (tx) => {
    // Operators number their versions under the same lock.
    await tx.execute(sql`
      select w.id from workspaces w join workspace_builds b on b.workspace_id = w.id where b.id = ${buildId} for update of w`);
    const rows = await tx.execute(sql`
      insert into workspace_build_states ${runColumns}
      select ${runValues(state)}
      from workspace_builds b join provisioner_jobs j on j.id = b.job_id ${newestOfBuild}
      where b.id = ${buildId} and b.is_latest and not b.active and j.completed_at is not null
        and not exists (
          select from workspace_build_states o
          where o.workspace_build_id = b.id and o.source <> 'build' and o.created_at > j.completed_at)
        and ${fitsBehindNewest(state)}
      ${orReplaceRunsOwn}`);
    return rows.length > 0;
  });
}

const columns = {
  workspaceId: workspaceBuildStates.workspaceId,
  version: workspaceBuildStates.version,
  buildId: workspaceBuildStates.workspaceBuildId,
  buildNumber: workspaceBuilds.buildNumber,
  source: workspaceBuildStates.source,
  state: workspaceBuildStates.state,
  stateKeyId: workspaceBuildStates.stateKeyId,
  encoding: workspaceBuildStates.encoding,
  serial: workspaceBuildStates.serial,
  lineage: workspaceBuildStates.lineage,
  checksum: workspaceBuildStates.checksum,
};

const newestFirst = [desc(workspaceBuilds.buildNumber), desc(workspaceBuildStates.version)] as const;

/** The newest row among those that fit, with its content. */
async function findRow(db: Db, where: SQL | undefined) {
  const [row] = await db
    .select(columns)
    .from(workspaceBuilds)
    .innerJoin(workspaceBuildStates, eq(workspaceBuildStates.workspaceBuildId, workspaceBuilds.id))
    .where(where)
    .orderBy(...newestFirst)
    .limit(1);
  return row;
}
type StateRow = NonNullable<Awaited<ReturnType<typeof findRow>>>;

const placeOf = ({ source, buildId, workspaceId, version }: StateRow): StatePlace =>
  source === 'build' ? { source, buildId } : { source, workspaceId, version };

/** Its content. Throws GONE when it is no longer kept, STATE_DAMAGED when it cannot be trusted. */
async function contentOf(db: Db, cipher: ColumnCipher, row: StateRow): Promise<StoredState> {
  const { version, buildId, buildNumber, serial, lineage, state } = row;
  if (state === null)
    throw new DomainError('GONE', `The content of state version ${version} (build ${buildNumber}) is no longer kept`, {
      detail: `the last ${keptStateVersions} versions of a workspace are`,
    });
  const opened = await openState(cipher, placeOf(row), { ...row, state });
  if (opened.kind === 'intact') return { version, buildId, serial, lineage, bytes: opened.bytes };
  throw await damaged(db, cipher, row, opened.reason);
}

/**
 * Names what is damaged and offers the newest older version that is intact, with the command that restores it. It is only
 * offered: going on from an older state unasked would make things twice that it does not know of.
 */
async function damaged(db: Db, cipher: ColumnCipher, row: StateRow, reason: string): Promise<DomainError> {
  const [names] = await db
    .select({ owner: users.username, workspace: workspaces.name })
    .from(workspaces)
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .where(eq(workspaces.id, row.workspaceId));
  const name = `${names?.owner}/${names?.workspace}`;
  const about = ({ version, buildNumber, serial }: StateRow) =>
    [`version ${version}`, `build ${buildNumber}, serial ${serial}`] as const;
  const intact = await findIntactBefore(db, cipher, row);
  const [version, facts] = about(row);
  return new DomainError('STATE_DAMAGED', `State ${version} of ${name} (${facts}) is damaged: ${reason}`, {
    detail:
      intact === undefined
        ? `no older version is intact; berth state push ${name} <file> gives another one`
        : `${about(intact)[0]} (${about(intact)[1]}) is intact: berth state restore ${name} ${intact.version}`,
  });
}

async function findIntactBefore(db: Db, cipher: ColumnCipher, damagedRow: StateRow): Promise<StateRow | undefined> {
  // One at a time: ten states of many megabytes each would be held at once, and mostly the first one is intact.
  for (let before = damagedRow; ;) {
    const older = await findRow(
      db,
      and(
        eq(workspaceBuilds.workspaceId, before.workspaceId),
        sql`(${workspaceBuilds.buildNumber}, ${workspaceBuildStates.version}) < (${before.buildNumber}, ${before.version})`,
        sql`${workspaceBuildStates.state} is not null`,
      ),
    );
    if (older?.state === undefined || older.state === null) return undefined;
    const opened = await openState(cipher, placeOf(older), { ...older, state: older.state });
    if (opened.kind === 'intact') return older;
    before = older;
  }
}

/** The newest state of a build; undefined when its run left none and nobody gave one. Throws GONE, STATE_DAMAGED. */
export async function getBuildState(db: Db, cipher: ColumnCipher, buildId: string): Promise<StoredState | undefined> {
  const row = await findRow(db, eq(workspaceBuilds.id, buildId));
  return row === undefined ? undefined : contentOf(db, cipher, row);
}

/**
 * What a build starts from: the newest state of the workspace at or below its number, whatever that build's status. Throws
 * STATE_DAMAGED, never falls back to an older one.
 */
export async function getStartingState(
  db: Db,
  cipher: ColumnCipher,
  { workspaceId, buildNumber }: { workspaceId: string; buildNumber: number },
): Promise<StoredState | undefined> {
  const row = await findRow(
    db,
    and(eq(workspaceBuilds.workspaceId, workspaceId), lte(workspaceBuilds.buildNumber, buildNumber)),
  );
  return row === undefined ? undefined : contentOf(db, cipher, row);
}

/** The same for one of its builds, of which only the id is known. */
export async function getStartingStateOf(
  db: Db,
  cipher: ColumnCipher,
  buildId: string,
): Promise<StoredState | undefined> {
  const at = (column: SQL) => sql`(select ${column} from workspace_builds b where b.id = ${buildId})`;
  const row = await findRow(
    db,
    and(
      eq(workspaceBuilds.workspaceId, at(sql`b.workspace_id`)),
      lte(workspaceBuilds.buildNumber, at(sql`b.build_number`)),
    ),
  );
  return row === undefined ? undefined : contentOf(db, cipher, row);
}

/** One version of a workspace's state; undefined when there never was one. Throws GONE, STATE_DAMAGED. */
export async function findStateVersion(
  db: Db,
  cipher: ColumnCipher,
  { workspaceId, version }: { workspaceId: string; version: number },
): Promise<StoredState | undefined> {
  const row = await findRow(
    db,
    and(eq(workspaceBuilds.workspaceId, workspaceId), eq(workspaceBuildStates.version, version)),
  );
  return row === undefined ? undefined : contentOf(db, cipher, row);
}
