import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Db } from '../db/client.ts';
import { markApplyBegun } from '../db/queries/job-attempts.ts';
import {
  type StoredState,
  encodeState,
  getStartingState,
  setBuildState,
} from '../db/queries/workspace-build-states.ts';
import { type BuildRun, listAcceptedParameters } from '../db/queries/workspace-builds.ts';
import { type Continuation, unsettledCreations } from '../domain/continuation.ts';
import { DomainError } from '../domain/errors.ts';
import type { ApplyProgress } from '../terraform/apply-progress.ts';
import { textOf } from '../terraform/json.ts';
import { type TerraformState, parseState } from '../terraform/state.ts';
import { prepareBuildEnvironment } from './build-environment.ts';
import { cutOf, isOutside, planNextApply, reportCutOff } from './continue-build.ts';
import { inParallel } from './in-parallel.ts';
import { isPlannedFirst, planBuild } from './plan-build.ts';
import { persist } from './job-end.ts';
import { type JobRun, RunFailed, RunStopped, assertRunning, sourceDirectory } from './job-run.ts';
import { loadSecrets, saveSecrets } from './job-secrets.ts';
import { layOutSource, pinsOf } from './prepared-source.ts';
import { type StateVersion, watchState } from './state-watcher.ts';
import { type BegunRun, TerraformLost, assertSucceeded, beginTerraform, followTerraform } from './terraform-command.ts';

const applyStage = { start: 'Starting workspace', stop: 'Stopping workspace', delete: 'Destroying workspace' } as const;
/** Name of the run that repeats a refused stop or delete with values that Terraform has accepted before. */
const acceptedName = 'apply-accepted';

export interface AppliedState {
  readonly bytes: Buffer;
  readonly version: StateVersion;
}

/**
 * Applies a build until Terraform has said how it ended: begins, takes over the run that an earlier attempt on this host has
 * left, or goes on from the last saved state when Terraform or its host was lost. undefined = there is no state file.
 * Throws RunFailed, RunStopped, DomainError STATE_REJECTED. Source: design §2.
 */
export async function applyBuild(
  run: JobRun,
  found: BuildRun,
  start: { readonly earlier: BegunRun | undefined; readonly input: StoredState | undefined },
): Promise<AppliedState | undefined> {
  let { continuations } = run.job;
  let { earlier: begun, input } = start;
  let name = begun?.meta.name ?? 'apply';
  let continuation =
    begun === undefined ? await planNextApply(run, found, { lost: undefined, continuations }) : undefined;
  for (;;) {
    try {
      if (begun === undefined) {
        begun = await beginApply(run, found, { name, continuation, input });
        if (continuation !== undefined) continuations += 1;
      }
      return await followApply(run, found, begun);
    } catch (err) {
      if (err instanceof TerraformLost) continuation = await planNextApply(run, found, { lost: err, continuations });
      else if (isRefusedParameter(err) && found.build.transition !== 'start' && name !== acceptedName) {
        // A value that a template update made invalid must not lock a workspace: nothing was changed yet, so once more with
        // the values of the last start (spec/02 §3.6).
        run.log.say('warn', 'A parameter is no longer valid; the values of the last successful start are used.');
        name = acceptedName;
      } else throw err;
      begun = undefined;
      input = await startingState(run, found);
    }
  }
}

const startingState = (run: JobRun, { workspace, build }: BuildRun): Promise<StoredState | undefined> =>
  getStartingState(run.deps.db, run.deps.cipher, { workspaceId: workspace.id, buildNumber: build.number });

interface NextApply {
  readonly name: string;
  /** Set when a lost Terraform is gone on from. */
  readonly continuation: Continuation | undefined;
  /** The newest stored state. */
  readonly input: StoredState | undefined;
}

const isRefusedParameter = (err: unknown): boolean =>
  err instanceof RunFailed && err.message.includes('data.coder_parameter.');

/** Lays out a new working directory with the newest stored state, and starts Terraform in it. */
async function beginApply(run: JobRun, found: BuildRun, next: NextApply): Promise<BegunRun> {
  assertRunning(run);
  const { deps, job, log } = run;
  const { build, workspace } = found;
  const cwd = sourceDirectory(run);
  const { input: stored, continuation } = next;
  const state = stored === undefined ? null : parseState(stored.bytes);
  if (state !== null) run.redactor.add(state.sensitive);
  const parameters =
    next.name === acceptedName ? await listAcceptedParameters(deps.db, workspace.id, build.number) : undefined;
  const runningAgentToken = keptAgentToken(run, found, state);
  // What a lost Terraform left is gone on from with a plan of its own.
  const planned = continuation === undefined && isPlannedFirst(run, found);
  const markBegun = () =>
    markApplyBegun(deps.db, { jobId: job.id, attempt: job.attempt, continued: continuation !== undefined });
  const [env, mine] = await inParallel([
    prepareBuildEnvironment(run, found, {
      ...(parameters !== undefined && { parameters }),
      runningAgentToken,
    }),
    planned ? Promise.resolve(true) : markBegun(),
    layOutSource(run, pinsOf(found.version), { fresh: found.template.disableModuleCache }),
  ]);
  if (!mine) throw new RunStopped('fenced');
  if (stored !== undefined && stored.bytes.length > 0)
    await writeFile(join(cwd, 'terraform.tfstate'), stored.bytes, { mode: 0o600 });
  await saveSecrets(run);
  // A forgotten state (orphan) or none at all puts no condition on the lineage of what follows.
  const input =
    stored === undefined || stored.lineage === '' ? null : { serial: stored.serial, lineage: stored.lineage };
  const args = planned ? await planBuild(run, found, { cwd, env }) : applyArguments(found, continuation?.replace ?? []);
  if (planned && !(await markBegun())) throw new RunStopped('fenced');
  log.stage(applyStage[build.transition]);
  return beginTerraform(run, {
    stage: 'apply',
    name: next.name,
    args,
    cwd,
    env,
    resumable: true,
    input,
  });
}

/**
 * Token of the agent that a refresh or a claim must leave as it is: the provider makes a new one whenever it reads an agent
 * without knowing it. It takes one token for all agents, so several of them cannot be kept (spec/02 §3.5, spec/03 §11.6).
 */
function keptAgentToken(run: JobRun, { build }: BuildRun, state: TerraformState | null): string | null {
  if (!build.refreshOnly && build.prebuildStage !== 'claim') return null;
  const tokens = (state?.instances ?? []).flatMap(({ mode, type, values }) =>
    mode === 'managed' && type === 'coder_agent' ? [textOf(values['token'])] : [],
  );
  if (tokens.length > 1 && build.prebuildStage === 'claim') {
    run.log.say('warn', 'The workspace has several agents: they get new tokens, and what carries a token is replaced.');
    return null;
  }
  if (tokens.length > 1)
    throw new RunFailed(
      'A workspace with several agents cannot be refreshed by itself: the provider would give them new tokens. A start refreshes as well.',
    );
  return tokens[0] ?? null;
}

function applyArguments({ build }: BuildRun, replace: readonly string[]): string[] {
  const args = ['apply', '-no-color', '-input=false', '-auto-approve', '-json'];
  if (build.refreshOnly) return [...args, '-refresh-only'];
  // What is to be destroyed need not be whole before.
  if (build.transition === 'delete') return [...args, '-destroy'];
  return [...args, ...replace.map((address) => `-replace=${address}`)];
}

/** Follows an apply to its end, and whatever happens keeps the newest state: half-made infrastructure exists as well. */
async function followApply(run: JobRun, found: BuildRun, begun: BegunRun): Promise<AppliedState | undefined> {
  const { build } = found;
  const { cwd: directory, meta } = begun;
  if (meta.attempt !== run.job.attempt) {
    await loadSecrets(run);
    run.log.resumeStage(applyStage[build.transition]);
    run.log.say('info', 'The worker was replaced while Terraform ran on; its run is followed from where it was.');
  }
  const watcher = watchState(run, { buildId: build.id, directory, input: meta.input ?? undefined });
  const unsettled = ({ announced, created }: ApplyProgress) =>
    unsettledCreations(announced.filter(isOutside), new Set(created), watcher.storedAddresses());
  let progress: ApplyProgress | undefined;
  try {
    const followed = await followTerraform(run, begun, { beforeLine: () => watcher.maskSecrets(), unsettled });
    progress = followed.progress;
    assertSucceeded(run, begun, followed);
  } catch (err) {
    const { newest } = await watcher.finish();
    // Let go of: Terraform goes on, and so does its state.
    if (progress === undefined) throw err;
    if (newest !== undefined) await persist(run, (db) => storeState(run, db, { buildId: build.id, ...newest }));
    // A lost one is gone on from, which reports the same and more.
    if (!(err instanceof TerraformLost)) await reportCutOff(run, found, cutOf(progress));
    throw err;
  }
  const { newest, fits } = await watcher.finish();
  if (!fits)
    throw new DomainError('STATE_REJECTED', 'Terraform left an older state or one of another lineage', {
      detail: 'the stored state is kept',
    });
  const applied = newest === undefined ? null : parseState(newest.bytes);
  if (applied !== null) run.redactor.add(applied.sensitive);
  run.log.stage('Cleaning Up');
  return newest;
}

/** Writes a state that this run has made; fenced. */
export async function storeState(run: JobRun, db: Db, state: AppliedState & { buildId: string }): Promise<void> {
  const { buildId, bytes, version } = state;
  const { id: jobId, attempt } = run.job;
  const encoded = await encodeState(run.deps.cipher, { buildId, bytes, ...version });
  await setBuildState(db, { buildId, jobId, attempt, state: encoded });
}
