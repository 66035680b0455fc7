import { randomUUID } from 'node:crypto';
import { type Db, pipelined } from '../db/client.ts';
import { adoptAgents, planAdoption } from '../db/queries/adopted-agents.ts';
import { dropCopiedResources } from '../db/queries/claims.ts';
import { insertModules, insertProvisionedResources } from '../db/queries/provisioned-resources.ts';
import { pruneStateVersions } from '../db/queries/state-versions.ts';
import { encodeState, getStartingStateOf, setBuildState } from '../db/queries/workspace-build-states.ts';
import { type BuildRun, findAiTaskBefore, getBuildRun } from '../db/queries/workspace-builds.ts';
import { settleBuild } from '../commands/settle-build.ts';
import { DomainError } from '../domain/errors.ts';
import type { ProvisionedResources } from '../domain/provisioned.ts';
import { convertResources } from '../terraform/convert.ts';
import { readModules } from '../terraform/modules.ts';
import { parseState } from '../terraform/state.ts';
import { actAsBuildRunner } from './actors.ts';
import { type AppliedState, applyBuild, storeState } from './apply-build.ts';
import { tellReplacements } from './plan-claim.ts';
import { drainAgents } from './drain-agents.ts';
import { findEarlierRun } from './earlier-run.ts';
import { completeRun, persist } from './job-end.ts';
import { type JobRun, RunFailed, observeQueueWait, sourceDirectory } from './job-run.ts';

const nothing: ProvisionedResources = {
  resources: [],
  dailyCost: 0,
  hasExternalAgent: false,
  hasAiTask: false,
  aiTaskAppId: null,
  warnings: [],
};

/** One workspace build: state in, `terraform apply`, state out, rows. Source: spec/02 §3. */
export async function runBuild(run: JobRun): Promise<void> {
  const { deps, job, log } = run;
  const earlier = await findEarlierRun(run);
  // Independent of each other: who, what and with which values; and from where.
  const [found, input] = await Promise.all([
    getBuildRun(deps.db, job.id),
    getStartingStateOf(deps.db, deps.cipher, job.input.workspace_build_id ?? ''),
  ]);
  if (found === undefined) throw new RunFailed('the build or its workspace is gone');
  const { build } = found;
  actAsBuildRunner(run, found);
  const pool = found.owner.isSystem && build.prebuildStage === 'create';
  observeQueueWait(run, { transition: build.transition, buildReason: pool ? 'prebuild' : build.reason });
  if (earlier === undefined && build.transition === 'delete' && isEmptyState(input?.bytes)) {
    log.say('info', 'The workspace has no resources: there is nothing to destroy.');
    return complete(run, found, undefined, nothing, []);
  }
  if (earlier === undefined) await drainAgents(run, found);
  const applied = await applyBuild(run, found, { earlier, input });
  try {
    const deleting = build.transition === 'delete';
    const provisioned = deleting ? nothing : convert(found, applied?.bytes ?? input?.bytes);
    for (const warning of provisioned.warnings) log.say('warn', warning);
    await complete(run, found, applied, provisioned, deleting ? [] : await readModules(sourceDirectory(run)));
  } catch (err) {
    // The infrastructure exists whatever is wrong with its description: the state is kept (spec/02 §1.11).
    if (applied !== undefined) await persist(run, (db) => storeState(run, db, { buildId: build.id, ...applied }));
    throw err;
  }
}

export function isEmptyState(bytes: Buffer | undefined): boolean {
  if (bytes === undefined || bytes.length === 0) return true;
  const state = parseState(bytes);
  return state !== null && state.instances.every((instance) => instance.mode !== 'managed');
}

function convert(found: BuildRun, bytes: Buffer | undefined): ProvisionedResources {
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
  const { provisioned: made, adopted } =
    build.refreshOnly || build.handedOver
      ? await planAdoption(deps.db, workspace.id, provisioned)
      : { provisioned, adopted: [] };
  const state =
    applied === undefined
      ? undefined
      : await encodeState(deps.cipher, { buildId: build.id, bytes: applied.bytes, ...applied.version });
  await completeRun(run, { success: true }, async (tx) => {
    const columns = await buildOutcome(tx, found, provisioned);
    await settleBuild(tx, build.id, { outcome: 'succeeded', started: true, columns }, deps);
    await pipelined([
      state !== undefined && setBuildState(tx, { buildId: build.id, jobId: job.id, attempt: job.attempt, state }),
      pruneStateVersions(tx, workspace.id),
      insertProvisionedResources(tx, deps.cipher, target, made),
      adoptAgents(tx, adopted),
      build.handedOver &&
        dropCopiedResources(
          tx,
          job.id,
          made.resources.map(({ id }) => id),
        ),
      build.prebuildStage === 'claim' && tellReplacements(tx, found, now),
      insertModules(tx, target, modules),
    ]);
  });
  observeWait(run, found);
}

/** How long people wait for workspaces; a pool's builds nobody waits for are kept apart. Source: spec/03 §16. */
function observeWait({ deps, job }: JobRun, { build, organization, template }: BuildRun): void {
  if (build.transition !== 'start' || job.startedAt === null) return;
  const seconds = (Date.now() - job.startedAt.getTime()) / 1000;
  const origin = { organizationName: organization.name, templateName: template.name, presetName: build.presetName };
  if (build.prebuildStage === 'claim') deps.metrics.claimed(seconds, origin);
  else if (build.number === 1)
    deps.metrics.workspaceCreated(seconds, {
      ...origin,
      type: build.prebuildStage === 'create' ? 'prebuild' : 'regular',
    });
}

async function buildOutcome(tx: Db, found: BuildRun, provisioned: ProvisionedResources) {
  const { build, workspace } = found;
  const inherited = build.transition === 'stop' ? await findAiTaskBefore(tx, workspace.id, build.number) : undefined;
  return {
    dailyCost: provisioned.dailyCost,
    hasExternalAgent: provisioned.hasExternalAgent,
    hasAiTask: inherited?.hasAiTask ?? provisioned.hasAiTask,
    aiTaskAppId: inherited?.aiTaskAppId ?? provisioned.aiTaskAppId,
  };
}
