import type { Context } from './context.ts';
import { finishLife, judgeBuild } from './judge.ts';
import { findDoubleApplies, findInterleavings, worldOf } from './oracle.ts';
import { patiently } from './pools.ts';
import { type Run, type Transition, addFindings, createRun } from './run.ts';

/** A workspace of a pool as a run of its own, with the builds that it has by now, oldest first. */
export async function lifeOf(context: Context, run: Run, workspaceId: string): Promise<Run> {
  const life = createRun({ ...run, name: `${run.name} ${workspaceId}` });
  await adoptBuilds(context, life, workspaceId);
  return life;
}

/** Takes up the builds that others have requested. */
export async function adoptBuilds(context: Context, run: Run, workspaceId: string): Promise<void> {
  run.workspaceId = workspaceId;
  const builds = await patiently(
    () => context.stack.sql<{ id: string; jobId: string; transition: Transition; atMs: number }[]>`
      select b.id, b.job_id as "jobId", b.transition, (extract(epoch from b.created_at) * 1000)::float8 as "atMs"
      from workspace_builds b where b.workspace_id = ${workspaceId} order by b.build_number`,
  );
  run.builds.length = 0;
  for (const { atMs, ...build } of builds) run.builds.push({ ...build, requestedAtMs: atMs });
}

interface EndedBuild {
  readonly id: string;
  readonly status: string;
  readonly error: string | null;
}

/**
 * Compares the newest state with the world, and the whole ledger with itself. A build that was canceled before anybody took it has
 * made nothing.
 */
export async function judgeLife(context: Context, life: Run): Promise<void> {
  const { sql, ledger, watch } = context.stack;
  const build = life.builds.at(-1);
  if (build === undefined) return addFindings(life, [{ kind: 'lost', what: `${life.workspaceId} has no build` }]);
  const rows = await patiently(
    () => sql<EndedBuild[]>`
      select b.id, j.job_status as status, j.error from workspace_builds b join provisioner_jobs j on j.id = b.job_id
      where b.workspace_id = ${life.workspaceId} order by b.build_number`,
  );
  const effects = ledger.effectsOf(life.workspaceId);
  const canceled = rows.some(({ status }) => status === 'canceled');
  const last = rows.at(-1)!;
  if (canceled) {
    if (effects.length > 0)
      addFindings(life, [{ kind: 'orphan', what: `${life.workspaceId} was canceled and had effects` }]);
  } else {
    const unknown = { attempt: 0, leaseUntilMs: 0, hostId: null, over: true, stateSerial: -1 };
    const row = watch.row(build.jobId) ?? { ...last, ...unknown, id: build.jobId };
    await judgeBuild(context, life, { build, row, expected: ['succeeded'] });
  }
  for (const { status, error } of rows)
    if (status === 'failed')
      addFindings(life, [{ kind: 'wrong', what: `a build failed: ${error ?? 'no reason given'}` }]);
  const created = effects.filter(({ verb }) => verb === 'create').map(({ address }) => address);
  if (new Set(created).size < created.length)
    addFindings(life, [{ kind: 'double_apply', what: `made more than once: ${created.join(', ')}` }]);
  if (build.transition === 'delete')
    for (const { address } of worldOf(effects).values())
      addFindings(life, [{ kind: 'orphan', what: `${address} of the deleted ${life.workspaceId} is left` }]);
  addFindings(life, findDoubleApplies({ ...life, effects }));
  addFindings(life, findInterleavings(effects));
}

/** Whatever had effects is a workspace that the database knows. Answers the others. */
export async function untrackedIn({ stack: { ledger, sql } }: Context): Promise<readonly string[]> {
  const ids = ledger.workspaceIds();
  const known = await patiently(
    () => sql<{ id: string }[]>`select id from workspaces where id = any(${[...ids]}::uuid[])`,
  );
  const rows = new Set(known.map(({ id }) => id));
  return ids.filter((id) => !rows.has(id));
}

/** Deletes it, and judges what is left then. */
export async function endLife(context: Context, life: Run): Promise<void> {
  await finishLife(context, life, false);
  for (const { address } of worldOf(context.stack.ledger.effectsOf(life.workspaceId)).values())
    addFindings(life, [{ kind: 'orphan', what: `${address} of the deleted ${life.workspaceId} is left` }]);
}
