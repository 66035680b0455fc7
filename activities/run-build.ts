import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import { notify, workspacesChannel } from '../db/notifications.ts';
import { insertModules, insertProvisionedResources } from '../db/queries/provisioned-resources.ts';
import { encodeState, getStartingState, setBuildState } from '../db/queries/workspace-build-states.ts';
import {
  type BuildRun,
  findAiTaskBefore,
  finishBuildRow,
  getBuildRun,
  listAcceptedParameters,
} from '../db/queries/workspace-builds.ts';
import { markWorkspaceBuilt, markWorkspaceDeleted } from '../db/queries/workspaces.ts';
import { DomainError } from '../domain/errors.ts';
import type { ProvisionedResources } from '../domain/provisioned.ts';
import { readModules } from '../terraform/modules.ts';
import { convertResources } from '../terraform/convert.ts';
import { parseState } from '../terraform/state.ts';
import { actAsBuildRunner } from './actors.ts';
import { prepareBuildEnvironment } from './build-environment.ts';
import { completeRun, persist } from './job-end.ts';
import { extractSource, restorePins } from './job-directory.ts';
import { type JobRun, RunFailed, assertRunning, observeQueueWait } from './job-run.ts';
import { type StateVersion, watchState } from './state-watcher.ts';
import { initialise, runTerraformCommand } from './terraform-command.ts';

const applyStage = { start: 'Starting workspace', stop: 'Stopping workspace', delete: 'Destroying workspace' } as const;
const nothing: ProvisionedResources = {
  resources: [],
  dailyCost: 0,
  hasExternalAgent: false,
  hasAiTask: false,
  aiTaskAppId: null,
  warnings: [],
};

interface AppliedState {
  readonly bytes: Buffer;
  readonly version: StateVersion;
}

/** One workspace build: state in, `terraform apply`, state out, rows. Source: spec/02 §3. */
export async function runBuild(run: JobRun): Promise<void> {
  const { deps, job, log } = run;
  const found = await getBuildRun(deps.db, job.id);
  if (found === undefined) throw new RunFailed('the build or its workspace is gone');
  const { build, workspace } = found;
  actAsBuildRunner(run, found);
  await notify(deps.db, workspacesChannel, workspace.id);
  const pool = found.owner.isSystem && build.prebuildStage === 'create';
  observeQueueWait(run, { transition: build.transition, buildReason: pool ? 'prebuild' : build.reason });
  const input = await getStartingState(deps.db, deps.cipher, { workspaceId: workspace.id, buildNumber: build.number });
  if (build.transition === 'delete' && isEmptyState(input?.bytes)) {
    log.say('info', 'The workspace has no resources: there is nothing to destroy.');
    return complete(run, found, undefined, nothing, []);
  }
  const { directory } = await extractSource(run);
  await restorePins(run, directory, {
    moduleFiles: found.template.disableModuleCache ? null : found.version.cachedModuleFiles,
    lockFile: found.version.lockFile ?? '',
  });
  if (input !== undefined && input.bytes.length > 0)
    await writeFile(join(directory, 'terraform.tfstate'), input.bytes, { mode: 0o600 });
  const env = await prepareBuildEnvironment(run, found);
  addStateSecrets(run, input?.bytes);
  await initialise(run, directory, env);
  const applied = await apply(run, found, { directory, env, input }).catch(async (err: unknown) => {
    if (build.transition === 'start' || !isRefusedParameter(err)) throw err;
    // A value that a template update made invalid must not lock a workspace: nothing was changed yet, so once more with
    // the values of the last start (spec/02 §3.6).
    log.say('warn', 'A parameter is no longer valid; the values of the last successful start are used.');
    const parameters = await listAcceptedParameters(deps.db, workspace.id, build.number);
    const accepted = await prepareBuildEnvironment(run, found, { parameters });
    return apply(run, found, { directory, env: accepted, input, name: 'apply-accepted' });
  });
  try {
    const deleting = build.transition === 'delete';
    const provisioned = deleting ? nothing : convert(run, found, applied?.bytes ?? input?.bytes);
    for (const warning of provisioned.warnings) log.say('warn', warning);
    await complete(run, found, applied, provisioned, deleting ? [] : await readModules(directory));
  } catch (err) {
    // The infrastructure exists whatever is wrong with its description: the state is kept (spec/02 §1.11).
    if (applied !== undefined) await persist(run, (db) => storeState(run, db, build.id, applied));
    throw err;
  }
}

const isRefusedParameter = (err: unknown): boolean =>
  err instanceof RunFailed && err.message.includes('data.coder_parameter.');

export function isEmptyState(bytes: Buffer | undefined): boolean {
  if (bytes === undefined || bytes.length === 0) return true;
  const state = parseState(bytes);
  return state !== null && state.instances.every((instance) => instance.mode !== 'managed');
}

/** Agent tokens and sensitive attributes of the state are masked in every later line. */
function addStateSecrets(run: JobRun, bytes: Buffer | undefined): void {
  const state = bytes === undefined ? null : parseState(bytes);
  if (state !== null) run.redactor.add(state.sensitive);
}

/** Applies, and whatever happens keeps the newest state: half-made infrastructure exists as well. */
async function apply(
  run: JobRun,
  found: BuildRun,
  context: {
    directory: string;
    env: Record<string, string>;
    input: { bytes: Buffer; serial: number; lineage: string } | undefined;
    /** Of the output directory. */
    name?: string;
  },
): Promise<AppliedState | undefined> {
  const { build } = found;
  const { directory, env } = context;
  // A forgotten state (orphan) or none at all puts no condition on the lineage of what follows.
  const input = context.input === undefined || context.input.lineage === '' ? undefined : context.input;
  run.log.stage(applyStage[build.transition]);
  // A fenced write: an attempt that lost its right while init ran must not begin to change anything.
  await run.log.flush();
  assertRunning(run);
  const watcher = watchState(run, { buildId: build.id, directory, input });
  const args = ['apply', '-no-color', '-input=false', '-auto-approve', '-json'];
  if (build.transition === 'delete') args.push('-destroy');
  try {
    const name = context.name ?? 'apply';
    const beforeLine = () => watcher.maskSecrets();
    await runTerraformCommand(run, { stage: 'apply', name, args, cwd: directory, env, beforeLine });
  } catch (err) {
    const { newest } = await watcher.finish();
    if (newest !== undefined) await persist(run, (db) => storeState(run, db, build.id, newest));
    throw err;
  }
  const { newest: applied, fits } = await watcher.finish();
  if (!fits)
    throw new DomainError('STATE_REJECTED', 'Terraform left an older state or one of another lineage', {
      detail: 'the stored state is kept',
    });
  addStateSecrets(run, applied?.bytes);
  run.log.stage('Cleaning Up');
  return applied;
}

async function storeState(run: JobRun, db: Db, buildId: string, applied: AppliedState): Promise<void> {
  const state = await encodeState(run.deps.cipher, { buildId, bytes: applied.bytes, ...applied.version });
  await setBuildState(db, { buildId, jobId: run.job.id, attempt: run.job.attempt, state });
}

function convert(run: JobRun, found: BuildRun, bytes: Buffer | undefined): ProvisionedResources {
  // A template without any resource leaves no state file.
  if (bytes === undefined || bytes.length === 0) return nothing;
  const state = parseState(bytes);
  if (state === null) throw new DomainError('STATE_REJECTED', 'Terraform ended without a readable state');
  if (found.version.references === null) throw new RunFailed('the template version was never imported');
  return convertResources({
    instances: state.instances,
    references: found.version.references,
    newId: randomUUID,
    transition: found.build.transition,
  });
}

/** completeWorkspaceBuildJob of spec/02 §1.10: all or nothing, fenced. */
async function complete(
  run: JobRun,
  found: BuildRun,
  applied: AppliedState | undefined,
  provisioned: ProvisionedResources,
  modules: Parameters<typeof insertModules>[2],
): Promise<void> {
  const { build, workspace } = found;
  const { deps, job } = run;
  const now = new Date();
  const target = { jobId: job.id, transition: build.transition, now };
  const state =
    applied === undefined
      ? undefined
      : await encodeState(deps.cipher, { buildId: build.id, bytes: applied.bytes, ...applied.version });
  await completeRun(run, { success: true }, async (tx) => {
    if (state !== undefined) await setBuildState(tx, { buildId: build.id, jobId: job.id, attempt: job.attempt, state });
    await insertProvisionedResources(tx, deps.cipher, target, provisioned);
    await insertModules(tx, target, modules);
    await finishBuildRow(tx, build.id, await buildOutcome(tx, found, provisioned));
    await (build.transition === 'delete' ? markWorkspaceDeleted : markWorkspaceBuilt)(tx, workspace.id);
  });
}

async function buildOutcome(tx: Db, found: BuildRun, provisioned: ProvisionedResources) {
  const { build, workspace } = found;
  const inherited = build.transition === 'stop' ? await findAiTaskBefore(tx, workspace.id, build.number) : undefined;
  // A deadline follows from the workspace's own time to live; template requirements come with the lifecycle rules.
  const runs = build.transition === 'start' && workspace.ttlMs !== null && !found.owner.isSystem;
  return {
    dailyCost: provisioned.dailyCost,
    hasExternalAgent: provisioned.hasExternalAgent,
    hasAiTask: inherited?.hasAiTask ?? provisioned.hasAiTask,
    aiTaskAppId: inherited?.aiTaskAppId ?? provisioned.aiTaskAppId,
    deadline: runs ? sql`now() + ${workspace.ttlMs} * interval '1 millisecond'` : null,
  };
}
