import { getCachedPlan } from '../db/queries/template-imports.ts';
import { getStartingState } from '../db/queries/workspace-build-states.ts';
import { type BuildRun, addPossibleOrphans } from '../db/queries/workspace-builds.ts';
import { type Continuation, planContinuation } from '../domain/continuation.ts';
import { maxContinuations } from '../domain/lease.ts';
import type { ApplyProgress } from '../terraform/apply-progress.ts';
import { isCoderType, labelOf, typeOfAddress } from '../terraform/instances.ts';
import { objectOf } from '../terraform/json.ts';
import { planInstances } from '../terraform/plan.ts';
import { objectIds } from '../terraform/state.ts';
import { persist } from './job-end.ts';
import { type JobRun, RunFailed, assertRunning } from './job-run.ts';
import { salvageState } from './salvage-state.ts';
import type { TerraformLost } from './terraform-command.ts';

/** Creations of a Terraform that was cut off, as far as they are known. */
interface Cut {
  readonly suspects: readonly string[];
  readonly finished: readonly string[];
}

/**
 * How a build goes on whose Terraform was lost: on this host (`lost`), or with another host, of which only the database knows.
 * Saves what can be saved and reports what may be left over. undefined = nothing was ever begun. Throws RunFailed when the
 * continuations are used up, RunStopped when the job was canceled meanwhile. Source: design §2.
 */
export async function planNextApply(
  run: JobRun,
  found: BuildRun,
  { lost, continuations }: { lost: TerraformLost | undefined; continuations: number },
): Promise<Continuation | undefined> {
  const why = lost?.message ?? 'The host of the run was lost';
  const cut = lost === undefined ? await cutOfLostHost(run, found) : cutOf(lost.progress);
  if (cut === undefined) return undefined;
  await salvageState(run, found.build.id);
  const continuation = await reportCutOff(run, found, cut);
  if (continuations >= maxContinuations)
    throw new RunFailed(
      `The build made no progress and was stopped: ${why}, after it had been continued ${continuations} times. The last saved state is kept.`,
    );
  assertRunning(run);
  run.log.say(
    'warn',
    `${why}. The build goes on from the last saved state with a new plan (continuation ${continuations + 1} of ${maxContinuations}).`,
  );
  for (const address of continuation.replace)
    run.log.say('warn', `${address} is made anew: it was cut off before its provisioners had ended.`);
  return continuation;
}

/** Whether what stands at this address exists outside of the state; what the `coder` provider makes is virtual. */
export const isOutside = (address: string): boolean => !isCoderType(typeOfAddress(address));

export const cutOf = (progress: ApplyProgress): Cut => ({ suspects: progress.begun, finished: progress.created });

/** undefined: no apply had begun there. */
async function cutOfLostHost(run: JobRun, found: BuildRun): Promise<Cut | undefined> {
  const { unsettled } = run.job;
  if (unsettled === null) return undefined;
  if (unsettled.length > 0 || found.build.transition !== 'start') return { suspects: unsettled, finished: [] };
  // Lost before it could tell what it plans: everything that the template makes.
  const plan = await getCachedPlan(run.deps.db, found.version.id);
  const planned = planInstances(objectOf(plan)).filter(({ mode }) => mode === 'managed');
  return { suspects: planned.map(({ address }) => address), finished: [] };
}

/**
 * Compares what was begun with the newest stored state. Addresses that may exist outside of it are written to the build and to
 * its log; the answer says what a next apply has to do about the rest.
 */
export async function reportCutOff(run: JobRun, found: BuildRun, cut: Cut): Promise<Continuation> {
  const { deps, job, log } = run;
  const { build, workspace, version } = found;
  const stateAt = async (buildNumber: number) =>
    objectIds((await getStartingState(deps.db, deps.cipher, { workspaceId: workspace.id, buildNumber }))?.bytes);
  const provisioned = version.references?.provisioned;
  const continuation = planContinuation({
    suspects: cut.suspects.filter(isOutside),
    finished: cut.finished,
    state: await stateAt(build.number),
    before: await stateAt(build.number - 1),
    hasProvisioners: (address) => provisioned === undefined || provisioned.includes(labelOf(address)),
  });
  const { possibleOrphans: addresses } = continuation;
  if (addresses.length === 0) return continuation;
  const { id: jobId, attempt } = job;
  await persist(run, (db) => addPossibleOrphans(db, { buildId: build.id, jobId, attempt, addresses }));
  for (const address of addresses)
    log.say(
      'warn',
      `${address} may exist outside of the state: what made it was cut off. Look for it, and remove it by hand.`,
    );
  return continuation;
}
