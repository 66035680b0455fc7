import { and, desc, eq, lt, sql } from 'drizzle-orm';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { Db } from '../client.ts';
import type { ColumnCipher } from '../encryption.ts';
import { workspaceBuildStates, workspaceBuilds } from '../schema/workspaces.ts';

const compressAboveBytes = 1_048_576;
const place = (buildId: string) => `workspace_build_states:state:${buildId}`;

export interface StoredState {
  readonly buildId: string;
  readonly bytes: Buffer;
  readonly serial: number;
  readonly lineage: string;
}

interface EncodedState {
  state: Buffer;
  stateKeyId: string;
  encoding: 'raw' | 'gzip';
  serial: number;
  lineage: string;
}

/** Compresses (above 1 MiB) and encrypts; done outside the transaction that writes. */
export async function encodeState(
  cipher: ColumnCipher,
  input: { buildId: string; bytes: Buffer; serial: number; lineage: string },
): Promise<EncodedState> {
  const encoding = input.bytes.length > compressAboveBytes ? 'gzip' : 'raw';
  const packed = encoding === 'gzip' ? await promisify(gzip)(input.bytes) : input.bytes;
  return {
    state: cipher.encrypt(place(input.buildId), packed),
    stateKeyId: cipher.keyId,
    encoding,
    serial: input.serial,
    lineage: input.lineage,
  };
}

/**
 * Stores a newer state of the attempt's build. Refused (false) when the attempt is fenced, the job is over, the lineage
 * differs or the serial does not grow (spec/02 §5.5): a stored state is never replaced by an older one. An empty state that an
 * operator gave has no lineage, any follows it.
 */
export async function setBuildState(
  db: Db,
  input: { buildId: string; jobId: string; attempt: number; state: EncodedState },
): Promise<boolean> {
  const { state } = input;
  const rows = await db.execute(sql`
    insert into workspace_build_states (workspace_build_id, state, state_key_id, encoding, serial, lineage, updated_at)
    select ${input.buildId}, ${state.state}::bytea, ${state.stateKeyId}, ${state.encoding}, ${state.serial}, ${state.lineage}, now()
    from provisioner_jobs where id = ${input.jobId} and attempt = ${input.attempt} and completed_at is null
    on conflict (workspace_build_id) do update
    set state = excluded.state, state_key_id = excluded.state_key_id, encoding = excluded.encoding,
      serial = excluded.serial, lineage = excluded.lineage, updated_at = excluded.updated_at
    where workspace_build_states.lineage in ('', excluded.lineage) and workspace_build_states.serial < excluded.serial
    returning workspace_build_id`);
  return rows.length > 0;
}

/**
 * Stores a state that was found after its build was over. Refused (false) when another build began since, when the stored one
 * is of another lineage, not older, or was given by an operator after the build.
 */
export async function setLateState(db: Db, input: { buildId: string; state: EncodedState }): Promise<boolean> {
  const { state } = input;
  const rows = await db.execute(sql`
    insert into workspace_build_states (workspace_build_id, state, state_key_id, encoding, serial, lineage, updated_at)
    select b.id, ${state.state}::bytea, ${state.stateKeyId}, ${state.encoding}, ${state.serial}, ${state.lineage}, now()
    from workspace_builds b
    join provisioner_jobs j on j.id = b.job_id
    left join workspace_build_states s on s.workspace_build_id = b.id
    where b.id = ${input.buildId} and b.is_latest and not b.active and j.completed_at is not null
      and (s.workspace_build_id is null or s.updated_at <= j.completed_at)
    on conflict (workspace_build_id) do update
    set state = excluded.state, state_key_id = excluded.state_key_id, encoding = excluded.encoding,
      serial = excluded.serial, lineage = excluded.lineage, updated_at = excluded.updated_at
    where workspace_build_states.lineage in ('', excluded.lineage) and workspace_build_states.serial < excluded.serial
    returning workspace_build_id`);
  return rows.length > 0;
}

/** An operator's state (request body or PUT): replaces whatever the build has. */
export async function replaceBuildState(tx: Db, buildId: string, state: EncodedState): Promise<void> {
  await tx
    .insert(workspaceBuildStates)
    .values({ workspaceBuildId: buildId, ...state, updatedAt: sql`now()` })
    .onConflictDoUpdate({ target: workspaceBuildStates.workspaceBuildId, set: { ...state, updatedAt: sql`now()` } });
}

const columns = {
  buildId: workspaceBuildStates.workspaceBuildId,
  state: workspaceBuildStates.state,
  stateKeyId: workspaceBuildStates.stateKeyId,
  encoding: workspaceBuildStates.encoding,
  serial: workspaceBuildStates.serial,
  lineage: workspaceBuildStates.lineage,
};

async function decodeState(cipher: ColumnCipher, row: EncodedState & { buildId: string }): Promise<StoredState> {
  const packed = cipher.decrypt(place(row.buildId), row.stateKeyId, row.state);
  const bytes = row.encoding === 'gzip' ? await promisify(gunzip)(packed) : packed;
  return { buildId: row.buildId, bytes, serial: row.serial, lineage: row.lineage };
}

/** The build's own state; undefined when its run left none. */
export async function getBuildState(db: Db, cipher: ColumnCipher, buildId: string): Promise<StoredState | undefined> {
  const [row] = await db
    .select(columns)
    .from(workspaceBuildStates)
    .where(eq(workspaceBuildStates.workspaceBuildId, buildId));
  return row === undefined ? undefined : decodeState(cipher, row);
}

/** What a build starts from: the newest state of the workspace at or below its number, whatever that build's status. */
export async function getStartingState(
  db: Db,
  cipher: ColumnCipher,
  input: { workspaceId: string; buildNumber: number },
): Promise<StoredState | undefined> {
  const [row] = await db
    .select(columns)
    .from(workspaceBuildStates)
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.id, workspaceBuildStates.workspaceBuildId))
    .where(
      and(eq(workspaceBuilds.workspaceId, input.workspaceId), lt(workspaceBuilds.buildNumber, input.buildNumber + 1)),
    )
    .orderBy(desc(workspaceBuilds.buildNumber))
    .limit(1);
  return row === undefined ? undefined : decodeState(cipher, row);
}
