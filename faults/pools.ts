import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDatabaseAway } from '../db/client.ts';
import { prebuildsChannel } from '../db/notifications.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import { packDirectory } from '../scripts/stack/example-template.ts';
import type { Context } from './context.ts';
import { demand, eventually } from './patience.ts';
import type { PoolRow } from './pool-oracle.ts';
import { createTemplate, importVersion } from './template.ts';

/** A template with one pool. Its versions are alike, so that it can be promoted from one to the other and back. */
export interface Pool {
  readonly name: string;
  readonly templateId: string;
  readonly versions: readonly { readonly id: string; readonly presetId: string }[];
  /** Place of the active version. */
  active: number;
  /** What the pool is to have. */
  size: number;
}

export const machinesFile = ({ stack }: Pick<Context, 'stack'>): string => join(stack.services.root, 'machines');
const sourceOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** `named` = its infrastructure depends on who owns the workspace: a claim has to wait for Terraform. */
export async function createPool(
  context: Context,
  { name, named = false, versions: count = 1 }: { name: string; named?: boolean; versions?: number },
): Promise<Pool> {
  const { api, stack } = context;
  const directory = join(stack.services.root, 'templates', name);
  cpSync(sourceOf('./template-pool'), directory, { recursive: true });
  if (named) cpSync(join(directory, 'named', 'named.tf'), join(directory, 'named.tf'));
  rmSync(join(directory, 'named'), { recursive: true });
  cpSync(sourceOf('./template/object'), join(directory, 'object'), { recursive: true });
  const tar = await packDirectory(directory);
  const variables = { ledger: stack.ledger.file, machines: machinesFile(context) };
  const first = await importVersion(api, { tar, variables });
  const templateId = await createTemplate(api, name, first);
  const more = Array.from({ length: count - 1 }, () => importVersion(api, { tar, variables, templateId }));
  const ids = [first, ...(await Promise.all(more))];
  const presets = await stack.sql<{ id: string; versionId: string }[]>`
    select id, template_version_id as "versionId" from template_version_presets where template_version_id = any(${ids}::uuid[])`;
  const versions = ids.map((id) => ({ id, presetId: presets.find(({ versionId }) => versionId === id)!.id }));
  return { name, templateId, versions, active: 0, size: 0 };
}

/** Asks the database again and again while it is away. */
export const patiently = <T>(ask: () => Promise<T>): Promise<T> =>
  demand(
    'the database',
    async () => {
      try {
        return { answer: await ask() };
      } catch (err) {
        if (isDatabaseAway(err)) return undefined;
        throw err;
      }
    },
    { boundMs: 60_000, everyMs: 50 },
  ).then(({ answer }) => answer);

/** As the product does it: the change and the kick in one transaction. */
export async function resize({ stack: { sql } }: Context, pool: Pool, size: number): Promise<void> {
  pool.size = size;
  const presets = pool.versions.map(({ presetId }) => presetId);
  await patiently(
    async () => sql`
      with resized as (
        update template_version_presets set desired_instances = ${size} where id = any(${presets}::uuid[]) returning id)
      select pg_notify(${prebuildsChannel}, ${pool.templateId}) from resized`,
  );
}

/** Every workspace that its template ever had, with its newest build. */
export async function rowsOf({ stack: { sql } }: Context, pool: Pool): Promise<readonly PoolRow[]> {
  const rows = await patiently(
    () => sql<(Omit<PoolRow, 'isPrebuild'> & { ownerId: string })[]>`
      select w.id, w.owner_id as "ownerId", w.deleted, b.transition, b.template_version_id as "versionId",
        j.job_status as status, j.completed_at is not null as over, coalesce(j.error, '') as error,
        w.claimed_at is not null as claimed
      from workspaces w join workspace_builds b on b.id = w.latest_build_id join provisioner_jobs j on j.id = b.job_id
      where w.template_id = ${pool.templateId} order by w.created_at, w.id`,
  );
  return rows.map((row) => ({ ...row, isPrebuild: row.ownerId === PREBUILDS_SYSTEM_USER_ID }));
}

/** Waits until nothing is going on in the pool and it has what it is to have. Undefined when that does not come in time. */
export async function restOf(
  context: Context,
  pool: Pool,
  isAtRest: (rows: readonly PoolRow[], wanted: { versionId: string; size: number }) => boolean,
): Promise<{ rows: readonly PoolRow[]; atMs: number } | undefined> {
  const wanted = { versionId: pool.versions[pool.active]!.id, size: pool.size };
  return eventually(
    async () => {
      const rows = await rowsOf(context, pool);
      return isAtRest(rows, wanted) && { rows, atMs: Date.now() };
    },
    { boundMs: context.boundMs, everyMs: 100 },
  );
}

/** Empties pools, so that what they have does not occupy later scenarios. Throws when they do not get empty. */
export async function drainPools(context: Context, pools: readonly Pool[]): Promise<void> {
  for (const pool of pools) await resize(context, pool, 0);
  await demand(
    'the end of all prebuilds',
    async () => {
      const rows = (await Promise.all(pools.map((pool) => rowsOf(context, pool)))).flat();
      return rows.every(({ deleted, over }) => deleted && over);
    },
    { boundMs: context.boundMs, everyMs: 200 },
  );
}
