import { gzipSync } from 'node:zlib';
import { type SQL, eq, sql } from 'drizzle-orm';
import { insertStateVersion } from '../../db/queries/state-versions.ts';
import { encodeState, setBuildState } from '../../db/queries/workspace-build-states.ts';
import { workspaceBuildStates, workspaceBuilds } from '../../db/schema/workspaces.ts';
import { type PlainState, packState, sealState } from '../../db/state-contents.ts';
import type { TestApi } from './api.ts';

export interface StateOptions {
  readonly serial?: number;
  readonly lineage?: string;
  readonly resources?: readonly unknown[];
}

/** A Terraform state as text. */
export const stateText = ({ serial = 1, lineage = 'l', resources = [] }: StateOptions = {}): string =>
  `${JSON.stringify({ version: 4, terraform_version: '1.11.4', serial, lineage, outputs: {}, resources }, null, 2)}\n`;

export const plainState = ({ serial = 1, lineage = 'l', ...rest }: StateOptions = {}): PlainState => ({
  bytes: Buffer.from(stateText({ serial, lineage, ...rest })),
  serial,
  lineage,
});

/** A resource of a state with instances by key; without keys the one that has none. */
export const stateResource = (type: string, name: string, keys: readonly (string | number)[] = []) => ({
  mode: 'managed',
  type,
  name,
  provider: 'provider["terraform.io/builtin/terraform"]',
  instances: (keys.length === 0 ? [undefined] : keys).map((key) => ({
    ...(key !== undefined && { index_key: key }),
    schema_version: 0,
    attributes: { id: `${name}${key ?? ''}` },
    sensitive_attributes: [],
  })),
});

/** Gives a build a state as an operator does. Answers the version. */
export async function giveState(
  { db, deps }: TestApi,
  buildId: string,
  state: PlainState,
  source: 'upload' | 'restore' | 'forget' | 'orphan' = 'upload',
): Promise<number> {
  const [build] = await db
    .select({ workspaceId: workspaceBuilds.workspaceId })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.id, buildId));
  return insertStateVersion(db, deps.cipher, {
    workspaceId: build!.workspaceId,
    buildId,
    source,
    createdBy: null,
    content: await packState(state),
  });
}

/** Stores a state as the run of a taken build does. */
export async function runStores(
  { db, deps }: TestApi,
  run: { buildId: string; jobId: string; attempt: number },
  state: PlainState,
): Promise<boolean> {
  return setBuildState(db, { ...run, state: await encodeState(deps.cipher, { buildId: run.buildId, ...state }) });
}

type Version = { readonly workspaceId: string; readonly version: number };
const rowOf = ({ workspaceId, version }: Version): SQL => sql`workspace_id = ${workspaceId} and version = ${version}`;
const change =
  (set: SQL) =>
  ({ db }: TestApi, of: Version): Promise<unknown> =>
    db.execute(sql`update workspace_build_states set ${set} where ${rowOf(of)}`);

/** What can have happened to a stored operator's state, what is said of it, and how it is done. */
export const damages: readonly (readonly [string, string, (api: TestApi, of: Version) => Promise<unknown>])[] = [
  ['one flipped bit', 'it cannot be decrypted', change(sql`state = set_byte(state, 20, get_byte(state, 20) # 1)`)],
  ['a cut end', 'it cannot be decrypted', change(sql`state = substr(state, 1, 20)`)],
  ['a checksum that is not its own', 'it does not match its checksum', change(sql`checksum = repeat('0', 64)`)],
  [
    'a key that nobody has',
    'it is encrypted with key 0123456789abcd, which is not configured',
    change(sql`state_key_id = '0123456789abcd'`),
  ],
  [
    'a compressed part that is torn',
    'it cannot be unzipped',
    async ({ db, deps }, of) => {
      const packed = gzipSync(Buffer.alloc(2_000, 'state')).subarray(0, -12);
      const content = { ...(await packState(plainState())), packed };
      const { state } = sealState(deps.cipher, { source: 'upload', ...of }, content);
      await db.update(workspaceBuildStates).set({ state, encoding: 'gzip' }).where(rowOf(of));
    },
  ],
];
