import { join } from 'node:path';
import { buildOver, newestState, requestBuild } from './builds.ts';
import { type Context, read } from './context.ts';
import type { JobRow } from './job-watch.ts';
import { compareWithState, findDoubleApplies, findInterleavings, isOfTheWorld } from './oracle.ts';
import { eventually } from './patience.ts';
import { processesBelow } from './process-table.ts';
import { type RequestedBuild, type Run, type Transition, addFindings } from './run.ts';

const goneWithinMs = 5_000;

/** After each build: its end is one of those that are expected, and world and stored state agree. */
export async function judgeBuild(
  context: Context,
  run: Run,
  { build, row, expected }: { build: RequestedBuild; row: JobRow; expected: readonly string[] },
): Promise<void> {
  if (!expected.includes(row.status))
    addFindings(run, [{ kind: 'lost', what: `${build.transition} ${row.status}: ${row.error ?? 'no reason given'}` }]);
  const view = await read<{ possible_orphans: string[] }>(context, `/workspacebuilds/${build.id}`);
  if (view.status !== 200) {
    addFindings(run, [{ kind: 'lost', what: `${build.transition} has vanished: ${view.status}` }]);
    return;
  }
  run.possibleOrphans.set(build.id, new Set(view.body.possible_orphans));
  const { objects } = await newestState(context, run);
  const stored = objects.filter(isOfTheWorld);
  const effects = context.stack.ledger.effectsOf(run.workspaceId);
  const { tainted, possibleOrphans } = run;
  const succeeded = row.status === 'succeeded';
  const { findings, listed } = compareWithState({ effects, stored, succeeded, tainted, possibleOrphans });
  addFindings(run, findings);
  run.listed = listed;
}

/** A build without a fault, to its end. True when it succeeded. */
export async function undisturbed(context: Context, run: Run, transition: Transition): Promise<boolean> {
  const build = await requestBuild(context, run, { transition });
  const row = build === undefined ? undefined : await buildOver(context, run, build);
  if (build === undefined || row === undefined) return false;
  await judgeBuild(context, run, { build, row, expected: ['succeeded'] });
  return row.status === 'succeeded';
}

/**
 * What follows the build that was struck: perhaps the opposite transition, then the delete, and an empty world. `detour`
 * chooses. Then the account of the whole life: nothing made twice, nothing left running.
 */
export async function finishLife(context: Context, run: Run, detour: boolean): Promise<void> {
  const last = run.builds.at(-1);
  const deleted = last?.transition === 'delete' && (await isDeleted(context, run));
  if (last !== undefined && !deleted) {
    if (detour && last.transition !== 'delete')
      await undisturbed(context, run, last.transition === 'start' ? 'stop' : 'start');
    await undisturbed(context, run, 'delete');
  }
  const effects = context.stack.ledger.effectsOf(run.workspaceId);
  addFindings(run, findDoubleApplies({ ...run, effects }));
  addFindings(run, findInterleavings(effects));
  await findLeftProcesses(context, run);
}

async function isDeleted(context: Context, run: Run): Promise<boolean> {
  const { status, body } = await read<{ job: { status: string } }>(
    context,
    `/workspacebuilds/${run.builds.at(-1)?.id}`,
  );
  return status === 200 && body.job.status === 'succeeded';
}

async function findLeftProcesses(context: Context, run: Run): Promise<void> {
  const left = () =>
    context.hosts.flatMap(({ workRoot }) =>
      run.builds.flatMap(({ jobId }) => processesBelow(join(workRoot, jobId)).map(({ pid }) => `${pid} in ${jobId}`)),
    );
  const gone = await eventually(() => left().length === 0, { boundMs: goneWithinMs, everyMs: 100 });
  if (gone === undefined) addFindings(run, [{ kind: 'stuck', what: `processes are left: ${left().join(', ')}` }]);
}
