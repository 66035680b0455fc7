import { randomUUID } from 'node:crypto';
import { type Db, isDatabaseAway, pipelined, transaction } from '../db/client.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import {
  type LifecycleChange,
  type LifecycleRow,
  lockDueWorkspaces,
  readLifecycleRows,
  writeLifecycleChanges,
} from '../db/queries/lifecycle.ts';
import { listMatchedProvisioners } from '../db/queries/provisioner-daemons.ts';
import { autobuild } from '../domain/actors.ts';
import { authorizeWorkspace } from '../domain/authorization.ts';
import { carriesOver } from '../domain/carried-parameters.ts';
import { DomainError } from '../domain/errors.ts';
import {
  type LifecycleAction,
  type LifecycleDecision,
  type LifecycleRules,
  decideLifecycle,
} from '../domain/lifecycle.ts';
import type { Transition } from '../domain/jobs.ts';
import type { Subject } from '../domain/subject.ts';
import type { CommandDeps } from './deps.ts';
import { writeBuilds } from './insert-pending-build.ts';
import { markUnused, tellMismatch, tellReminder, tellUpdate } from './lifecycle-messages.ts';
import { type LoadedVersion, type LoadVersion, createVersionLoader } from './lifecycle-versions.ts';
import { type BuildReason, type PlannedBuild, buildTags, planBuild } from './plan-build.ts';
import { startJobs } from './start-job.ts';
import { taskQueueOf } from './task-queue.ts';

export const skipReasons = ['locked', 'active_build', 'not_eligible', 'no_worker', 'conflict', 'error'] as const;
export type SkipReason = (typeof skipReasons)[number];
export type ActionKind = LifecycleAction['kind'];

export interface TransitionDeps extends Pick<CommandDeps, 'db' | 'temporal' | 'logger'> {
  readonly metrics: Pick<CommandDeps['metrics'], 'buildEnqueued'>;
  readonly rules: LifecycleRules;
  now(): Date;
}

export interface TransitionBatch {
  /** All eligibility is compared with it. */
  readonly tick: Date;
  readonly ids: readonly string[];
  /** Builds that may be inserted; what is left stays due. */
  readonly maxBuilds: number;
  /** What each workspace's owner is shown as the one who did it. */
  readonly originFor: (ownerId: string) => AuditOrigin;
  /** Queues with a live worker, asked once per tick and queue. */
  readonly queues: Map<string, boolean>;
}

export interface TransitionOutcome {
  readonly builds: number;
  readonly actions: Readonly<Partial<Record<ActionKind, number>>>;
  readonly skipped: Readonly<Partial<Record<SkipReason, number>>>;
}

/**
 * Does what is due for some workspaces in one transaction: locks them, reads everything after the lock, decides again, writes the
 * builds of all by a fixed number of statements, and starts their workflows after the commit. Where that fails each workspace is tried
 * alone, so that one stops no other. Source: spec/04 §2.3.
 */
export const createTransitionWorkspaces = (deps: TransitionDeps) => {
  const transitionAll = async (batch: TransitionBatch): Promise<TransitionOutcome> => {
    const tally = createTally();
    const planned = await transaction(deps.db, (tx) => transition(tx, deps, batch, tally));
    for (const { build } of planned) countBuild(deps, { ...build, status: 'success' });
    await startJobs(
      deps,
      planned.map(({ facts }) => facts),
    );
    return tally.outcome(planned.length);
  };
  return async function transitionWorkspaces(batch: TransitionBatch): Promise<TransitionOutcome> {
    try {
      return await transitionAll(batch);
    } catch (err) {
      if (isDatabaseAway(err)) throw err;
      if (batch.ids.length === 1) return failed(deps, batch.ids[0]!, err);
    }
    const outcomes: TransitionOutcome[] = [];
    let left = batch.maxBuilds;
    for (const id of batch.ids) {
      const outcome = await transitionAll({ ...batch, ids: [id], maxBuilds: left }).catch((err: unknown) => {
        if (isDatabaseAway(err)) throw err;
        return failed(deps, id, err);
      });
      left -= outcome.builds;
      outcomes.push(outcome);
    }
    return addOutcomes(outcomes);
  };
};

const countBuild = (
  { metrics }: TransitionDeps,
  { reason, transition: to, status }: { reason: BuildReason; transition: Transition; status: 'success' | 'failed' },
): void => metrics.buildEnqueued({ provisionerType: 'terraform', buildReason: reason, transition: to, status });

function failed({ logger }: TransitionDeps, workspaceId: string, err: unknown): TransitionOutcome {
  // Somebody else was first: nothing went wrong.
  const lost = err instanceof DomainError && err.code === 'CONFLICT';
  if (!lost) logger.error({ err, workspace_id: workspaceId }, 'lifecycle of a workspace not looked after');
  return { builds: 0, actions: {}, skipped: { [lost ? 'conflict' : 'error']: 1 } };
}

function createTally() {
  const actions: Partial<Record<ActionKind, number>> = {};
  const skipped: Partial<Record<SkipReason, number>> = {};
  return {
    did: (kind: ActionKind): void => void (actions[kind] = (actions[kind] ?? 0) + 1),
    skip: (reason: SkipReason, count = 1): void =>
      void (count > 0 && (skipped[reason] = (skipped[reason] ?? 0) + count)),
    outcome: (builds: number): TransitionOutcome => ({ builds, actions, skipped }),
  };
}
type Tally = ReturnType<typeof createTally>;

export function addOutcomes(outcomes: readonly TransitionOutcome[]): TransitionOutcome {
  const sum = <Key extends string>(parts: readonly Readonly<Partial<Record<Key, number>>>[]) => {
    const total: Partial<Record<Key, number>> = {};
    for (const part of parts)
      for (const [key, count] of Object.entries(part) as [Key, number][]) total[key] = (total[key] ?? 0) + count;
    return total;
  };
  return {
    builds: outcomes.reduce((total, { builds }) => total + builds, 0),
    actions: sum(outcomes.map(({ actions }) => actions)),
    skipped: sum(outcomes.map(({ skipped }) => skipped)),
  };
}

/** A workspace with what is due for it. */
interface Due {
  readonly row: LifecycleRow;
  readonly decision: LifecycleDecision;
}

async function transition(tx: Db, deps: TransitionDeps, batch: TransitionBatch, tally: Tally): Promise<PlannedBuild[]> {
  const locked = await lockDueWorkspaces(tx, batch.ids);
  tally.skip('locked', batch.ids.length - locked.length);
  if (locked.length === 0) return [];
  const due: Due[] = [];
  for (const row of await readLifecycleRows(tx, locked)) {
    if (row.build.active) tally.skip('active_build');
    else due.push({ row, decision: decideLifecycle(row, batch.tick, deps.rules) });
  }
  const subject = autobuild({ workspaceIds: locked });
  const loadVersion = createVersionLoader(tx);
  await findQueues(tx, due, { loadVersion, queues: batch.queues });
  const planned: PlannedBuild[] = [];
  const unused: LifecycleRow[] = [];
  const changes: LifecycleChange[] = [];
  const messages: (() => Promise<unknown>)[] = [];
  const context = { tx, batch, subject };
  for (const { row, decision } of due) {
    const { action, clearsRetry, ...moves } = decision;
    const change: LifecycleChange = { id: row.workspace.id, buildId: row.build.id, ...moves, clearsRetry };
    if (isBuild(action)) {
      // What is left for the next tick keeps its state, and so does what no worker could run.
      if (planned.length >= batch.maxBuilds) continue;
      const next = await nextBuild(deps, { row, action, batch, subject, loadVersion });
      if (next.kind === 'no_worker') {
        tally.skip('no_worker');
        continue;
      }
      if (next.kind === 'planned') {
        planned.push(next.planned);
        if (action.kind === 'start' && next.version.id !== row.build.templateVersionId)
          messages.push(() => tellUpdate(context, row, { version: next.version, reason: action.reason }));
      } else {
        deps.logger.warn({ workspace_id: row.workspace.id, problem: next.problem }, 'automatic start not possible');
        countBuild(deps, { reason: action.reason, transition: 'start', status: 'failed' });
        messages.push(() => tellMismatch(context, row, next));
        tally.skip('not_eligible');
        // The next time is another day's: until then nobody is bothered again.
        changes.push(change);
        continue;
      }
    }
    if (action?.kind === 'mark-dormant' || (action?.kind === 'stop' && action.marksDormant)) unused.push(row);
    if (action?.kind === 'remind') messages.push(() => tellReminder(context, row, action.deadline));
    if (action === null) tally.skip('not_eligible');
    else tally.did(action.kind);
    changes.push({ ...change, reminded: action?.kind === 'remind' });
  }
  await pipelined([planned.length > 0 && writeBuilds(tx, planned), writeLifecycleChanges(tx, changes)]);
  await markUnused(context, unused);
  for (const tell of messages) await tell();
  return planned;
}

type NextBuild =
  | { readonly kind: 'planned'; readonly planned: PlannedBuild; readonly version: LoadedVersion['version'] }
  | { readonly kind: 'no_worker' }
  | { readonly kind: 'mismatch'; readonly version: LoadedVersion['version']; readonly problem: string };

type BuildAction = Extract<LifecycleAction, { kind: 'start' | 'stop' | 'delete' }>;
const isBuild = (action: LifecycleAction | null): action is BuildAction =>
  action?.kind === 'start' || action?.kind === 'stop' || action?.kind === 'delete';

/** The version by the rules of spec/04 §4.2, with the values of the last build. */
async function nextBuild(
  deps: TransitionDeps,
  want: {
    readonly row: LifecycleRow;
    readonly action: BuildAction;
    readonly batch: TransitionBatch;
    readonly subject: Subject;
    readonly loadVersion: LoadVersion;
  },
): Promise<NextBuild> {
  const { row, action, batch, subject, loadVersion } = want;
  const { workspace, build } = row;
  const { version, parameters } = await versionFor(row, action, loadVersion);
  if (action.kind === 'start') {
    const problem = version.archived
      ? `version "${version.name}" is archived`
      : carriesOver(parameters, build.parameters)
        ? undefined
        : `version "${version.name}" needs other values of parameters than the workspace has`;
    if (problem !== undefined) return { kind: 'mismatch', version, problem };
  }
  const tags = buildTags(version);
  if (batch.queues.get(taskQueueOf(tags)) !== true) {
    deps.logger.debug({ workspace_id: workspace.id, tags }, 'no worker for an automatic build');
    return { kind: 'no_worker' };
  }
  authorizeWorkspace(subject, action.kind, workspace);
  const wanted = {
    id: randomUUID(),
    workspace,
    latest: build,
    version,
    transition: action.kind,
    reason: action.reason,
    initiatorId: workspace.ownerId,
    requested: [],
    debug: false,
    origin: batch.originFor(workspace.ownerId),
  };
  const facts = {
    preset: null,
    parameters,
    previous: build.parameters,
    names: { ownerName: row.owner.name, templateName: row.template.name },
    claimProgress: row.claimProgress,
  };
  return { kind: 'planned', planned: planBuild(wanted, facts, deps.now()), version };
}

async function versionFor(row: LifecycleRow, action: BuildAction, loadVersion: LoadVersion): Promise<LoadedVersion> {
  const { build, template, workspace } = row;
  if (action.kind === 'start')
    return loadVersion(
      template.requireActiveVersion || workspace.automaticUpdates === 'always'
        ? template.activeVersionId
        : build.templateVersionId,
    );
  if (action.kind === 'delete' && action.upgrades) {
    const active = await loadVersion(template.activeVersionId);
    if (carriesOver(active.parameters, build.parameters)) return active;
  }
  return loadVersion(build.templateVersionId);
}

/** Asks for the queues of these builds that nobody has asked for in this tick; one statement. */
async function findQueues(
  tx: Db,
  due: readonly Due[],
  { loadVersion, queues }: { loadVersion: LoadVersion; queues: Map<string, boolean> },
): Promise<void> {
  const wanted = new Set<string>();
  for (const { row, decision } of due) {
    const { action } = decision;
    if (!isBuild(action)) continue;
    const { version } = await versionFor(row, action, loadVersion);
    const queue = taskQueueOf(buildTags(version));
    if (!queues.has(queue)) wanted.add(queue);
  }
  if (wanted.size === 0) return;
  const matched = await listMatchedProvisioners(tx, [...wanted]);
  for (const queue of wanted) queues.set(queue, (matched.get(queue)?.available ?? 0) > 0);
}
