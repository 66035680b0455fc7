import { DomainError } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import { type Db, pipelined, violatedConstraint } from '../db/client.ts';
import { jobsChannel, notifyAll, workspacesChannel } from '../db/notifications.ts';
import { insertAudits } from '../db/queries/audit-logs.ts';
import { insertJobNote } from '../db/queries/job-logs.ts';
import { insertJobs } from '../db/queries/provisioner-jobs.ts';
import { type VersionPreset, listParameters, listPresets } from '../db/queries/template-versions.ts';
import { insertStateVersion } from '../db/queries/state-versions.ts';
import { findClaimProgress, insertBuilds, listBuildParameters } from '../db/queries/workspace-builds.ts';
import { getWorkspaceNames } from '../db/queries/workspaces.ts';
import { type PlainState, packState } from '../db/state-contents.ts';
import type { CommandDeps } from './deps.ts';
import { authorOf } from './operator-state.ts';
import { type BuildFacts, type PlannedBuild, type WantedBuild, activeBuild, planBuild } from './plan-build.ts';
import type { JobFacts } from './start-job.ts';

export type { BuildFacts, BuildReason } from './plan-build.ts';

/** A state that an operator gives with a build: an uploaded one, or the empty one of an orphan delete. */
export interface GivenState extends PlainState {
  readonly source: 'upload' | 'orphan';
}

export interface PendingBuild extends Omit<WantedBuild, 'initiatorId'> {
  /** Of the caller unless it acts for somebody. */
  readonly initiatorId?: string;
  readonly presetId: string | null;
  /** State to start from instead of the newest one; empty = forget everything (orphan). */
  readonly state?: GivenState;
  /** What the caller has read already in this transaction; the rest is read here. */
  readonly known?: Partial<BuildFacts>;
}

/**
 * Inserts job, build and parameters of a workspace whose row the caller has locked or just inserted, as one `pending`
 * outbox entry. Throws INVALID_INPUT naming each bad parameter, CONFLICT when a build is active. Returns what starts the
 * workflow after commit.
 */
export async function insertPendingBuild(
  tx: Db,
  deps: Pick<CommandDeps, 'cipher' | 'now'>,
  subject: Subject,
  pending: PendingBuild,
): Promise<JobFacts> {
  const { state, initiatorId = subject.id, workspace } = pending;
  if (pending.latest?.active === true) throw activeBuild();
  const facts = await readFacts(tx, pending);
  const planned = planBuild({ ...pending, initiatorId }, facts, deps.now());
  const content = state === undefined ? undefined : await packState(state);
  await pipelined([
    writeBuilds(tx, [planned]),
    state !== undefined &&
      content !== undefined &&
      insertStateVersion(tx, deps.cipher, {
        workspaceId: workspace.id,
        buildId: pending.id,
        source: state.source,
        createdBy: authorOf(subject),
        content,
      }),
  ]);
  return planned.facts;
}

async function readFacts(tx: Db, pending: PendingBuild): Promise<BuildFacts> {
  const { workspace, latest, version, known = {} } = pending;
  const isClaimed = workspace.claimedAt !== null && pending.claim === undefined;
  const [previous, preset, parameters, names, claimProgress] = await pipelined([
    known.previous ?? (latest === undefined ? [] : listBuildParameters(tx, latest.id)),
    known.preset === undefined ? presetOf(tx, pending) : known.preset,
    known.parameters ?? (pending.repeat === undefined ? listParameters(tx, version.id) : []),
    known.names ?? getWorkspaceNames(tx, workspace.id),
    known.claimProgress ?? (isClaimed ? findClaimProgress(tx, workspace.id) : null),
  ]);
  return { previous, preset, parameters, names, claimProgress };
}

/**
 * Writes planned builds, at most one of each workspace, by a fixed number of statements: the only way builds come to be. Throws
 * CONFLICT when one of the workspaces has an active build.
 */
export async function writeBuilds(tx: Db, planned: readonly PlannedBuild[]): Promise<void> {
  await pipelined([
    insertJobs(
      tx,
      planned.map(({ job }) => job),
    ),
    insertBuilds(
      tx,
      planned.map(({ build }) => build),
    ).catch((err: unknown) => {
      throw violatedConstraint(err) === 'workspace_builds_active_idx' ? activeBuild() : err;
    }),
    ...planned
      .filter(({ ignored }) => ignored.length > 0)
      .map(({ job, ignored }) =>
        insertJobNote(tx, {
          jobId: job.id,
          level: 'info',
          output: `The template version has no parameters of these names, they are left out: ${ignored.join(', ')}`,
        }),
      ),
    insertAudits(
      tx,
      planned.map(({ audit }) => audit),
    ),
    notifyAll(tx, [
      [workspacesChannel, planned.map(({ build }) => build.workspaceId).join(',')],
      [jobsChannel, planned.map(({ job }) => job.id).join(',')],
    ]),
  ]);
}

async function presetOf(tx: Db, pending: PendingBuild): Promise<VersionPreset | null> {
  if (pending.presetId === null) return null;
  const preset = (await listPresets(tx, pending.version.id)).find(({ id }) => id === pending.presetId);
  if (preset === undefined)
    throw new DomainError('INVALID_INPUT', 'The preset does not belong to the template version', {
      validations: [{ field: 'template_version_preset_id', detail: 'not a preset of this template version' }],
    });
  return preset;
}
