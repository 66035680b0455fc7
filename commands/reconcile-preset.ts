import { randomBytes, randomUUID } from 'node:crypto';
import { type Db, transaction } from '../db/client.ts';
import { type AuditOrigin, insertAudit } from '../db/queries/audit-logs.ts';
import { notifyTemplateAdmins } from '../db/queries/notification-messages.ts';
import { lockPool, lockPrebuild, lockUntakenPrebuilds, movePresetStatus } from '../db/queries/prebuild-locks.ts';
import { type SnapshotOptions, readPoolsOfTemplate } from '../db/queries/prebuild-snapshot.ts';
import { markCanceled } from '../db/queries/provisioner-jobs.ts';
import { type BuildVersion, findVersionForBuild } from '../db/queries/template-versions.ts';
import { findLatestBuild, finishBuildRow } from '../db/queries/workspace-builds.ts';
import { insertWorkspace } from '../db/queries/workspaces.ts';
import { notifyJobEnd } from '../db/notifications.ts';
import { prebuildsOrchestrator } from '../domain/actors.ts';
import { authorize, authorizeWorkspace, newWorkspaceObject, templateObject } from '../domain/authorization.ts';
import { DomainError, finalErrorCodes } from '../domain/errors.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import { prebuildName } from '../domain/names.ts';
import { notificationTemplates } from '../domain/notifications.ts';
import { planPrebuilds } from '../domain/prebuild-plan.ts';
import type { PoolPreset } from '../domain/prebuilds.ts';
import type { Subject } from '../domain/subject.ts';
import type { CommandDeps } from './deps.ts';
import { forgetWorkspace } from './forget-workspace.ts';
import { type GivenState, insertPendingBuild } from './insert-pending-build.ts';
import { readOperatorState } from './operator-state.ts';
import { type JobFacts, startJobs } from './start-job.ts';

export interface ReconcilePreset {
  readonly presetId: string;
  /** At most so many new prebuilds: this cycle's share of the caps of the deployment. */
  readonly maxCreates: number;
  readonly origin: AuditOrigin;
}

export interface PresetOutcome {
  readonly created: number;
  readonly deleted: number;
  readonly canceled: number;
  /** What could not be done, one sentence each; the rest was. */
  readonly errors: readonly string[];
}

export interface ReconcileDeps extends CommandDeps {
  readonly snapshot: Omit<SnapshotOptions, 'now'>;
}

/** Prebuilds per transaction (spec/03 §8.1). */
const batchSize = 25;

/**
 * Brings one pool to its size. Each batch is one transaction that locks the preset, decides again on what it then sees and acts
 * on that: whatever the cycle's plan said, and however often this runs, nothing is made or deleted that the rules do not
 * ask for now. Throws only for what a retry may cure. Source: spec/03 §8.
 */
export const createReconcilePreset = (deps: ReconcileDeps) =>
  async function reconcilePreset(input: ReconcilePreset): Promise<PresetOutcome> {
    const total = { created: 0, deleted: 0, canceled: 0, errors: [] as string[] };
    for (;;) {
      const maxCreates = input.maxCreates - total.created;
      const batch = await transaction(deps.db, (tx) => reconcileBatch(tx, deps, { ...input, maxCreates }));
      total.created += batch.created;
      total.deleted += batch.deleted;
      total.canceled += batch.canceled;
      total.errors.push(...batch.errors);
      for (const workflowId of batch.canceledWorkflows)
        await deps.temporal.cancel(workflowId).catch((err: unknown) => {
          // It finds its job canceled when its turn comes.
          deps.logger.warn({ err, workflow_id: workflowId }, 'workflow not canceled');
        });
      await startJobs(deps, batch.started);
      if (!batch.more || batch.errors.length > 0) return total;
    }
  };

interface Batch {
  created: number;
  deleted: number;
  canceled: number;
  readonly errors: string[];
  readonly started: JobFacts[];
  readonly canceledWorkflows: string[];
  more: boolean;
}

interface Pool {
  readonly preset: PoolPreset;
  readonly subject: Subject;
  readonly origin: AuditOrigin;
  readonly now: Date;
}

async function reconcileBatch(tx: Db, deps: ReconcileDeps, input: ReconcilePreset): Promise<Batch> {
  const batch: Batch = {
    created: 0,
    deleted: 0,
    canceled: 0,
    errors: [],
    started: [],
    canceledWorkflows: [],
    more: false,
  };
  const { presetId, origin } = input;
  const locked = await lockPool(tx, presetId);
  if (locked === undefined) return batch;
  const now = deps.now();
  const snapshot = await readPoolsOfTemplate(tx, locked.templateId, { ...deps.snapshot, now });
  // The caps of the deployment are in `maxCreates` already.
  const rules = { ...deps.snapshot.rules, maxCreatesPerCycle: 0, maxInFlight: null };
  const item = planPrebuilds(snapshot, now, rules).items.find(({ preset }) => preset.id === presetId);
  const preset = snapshot.presets.find(({ id }) => id === presetId);
  if (item === undefined || preset === undefined) return batch;
  const subject = prebuildsOrchestrator({ organizationId: locked.organizationId });
  const pool: Pool = { preset, subject, origin, now };
  for (const action of item.actions)
    switch (action.kind) {
      case 'backoff':
        break;
      case 'cancel-pending':
        await cancelPending(tx, deps, pool, batch);
        break;
      case 'delete':
        for (const { id } of action.workspaces.slice(0, batchSize)) await deletePrebuild(tx, deps, pool, { id, batch });
        if (batch.deleted > 0 && action.workspaces.length > batchSize) batch.more = true;
        break;
      case 'create': {
        const wanted = Math.min(action.count, input.maxCreates);
        await createPrebuilds(tx, deps, pool, { count: Math.min(wanted, batchSize), batch });
        if (batch.created > 0 && wanted > batchSize) batch.more = true;
        break;
      }
    }
  return batch;
}

/** A part of the batch that may fail alone: what it wrote is undone, its error is kept, the rest goes on. */
async function attempt(tx: Db, batch: Batch, work: (tx: Db) => Promise<void>): Promise<DomainError | undefined> {
  try {
    await tx.transaction((savepoint) => work(savepoint as unknown as Db));
    return undefined;
  } catch (err) {
    if (!(err instanceof DomainError) || !finalErrorCodes.includes(err.code)) throw err;
    batch.errors.push([err.message, ...err.validations.map(({ field, detail }) => `${field}: ${detail}`)].join(' '));
    return err;
  }
}

async function createPrebuilds(
  tx: Db,
  deps: ReconcileDeps,
  pool: Pool,
  { count, batch }: { count: number; batch: Batch },
): Promise<void> {
  if (count <= 0) return;
  const { preset, subject } = pool;
  const version = await findVersionForBuild(tx, preset.versionId);
  if (version?.template === undefined || version.template === null) return;
  authorize(subject, 'use', templateObject(version.template));
  authorize(subject, 'create', newWorkspaceObject(preset.organizationId, PREBUILDS_SYSTEM_USER_ID));
  for (let made = 0; made < count; made += 1) {
    const refused = await attempt(tx, batch, async (savepoint) => {
      const facts = await insertPrebuild(savepoint, deps, pool, version);
      batch.started.push(facts);
    });
    if (refused !== undefined) return markInvalid(tx, pool, batch.errors.at(-1) ?? refused.message);
    batch.created += 1;
    deps.metrics.buildEnqueued({
      provisionerType: 'terraform',
      buildReason: 'prebuild',
      transition: 'start',
      status: 'success',
    });
  }
}

/** A name that is taken, which hardly happens with 72 random bits, fails the batch; its retry draws again. */
async function insertPrebuild(tx: Db, deps: ReconcileDeps, pool: Pool, version: BuildVersion): Promise<JobFacts> {
  const { preset, subject, origin, now } = pool;
  const { organizationId, templateId } = preset;
  const workspace = {
    id: randomUUID(),
    name: prebuildName(randomBytes(9)),
    ownerId: PREBUILDS_SYSTEM_USER_ID,
    organizationId,
    templateId,
  };
  await insertWorkspace(tx, {
    ...workspace,
    autostartSchedule: null,
    nextStartAt: null,
    ttlMs: null,
    automaticUpdates: 'never',
    now,
  });
  await insertAudit(tx, {
    origin,
    time: now,
    resourceType: 'workspace',
    resourceId: workspace.id,
    resourceTarget: workspace.name,
    action: 'create',
    organizationId,
    statusCode: 201,
  });
  return insertPendingBuild(tx, deps, subject, {
    id: randomUUID(),
    workspace: { ...workspace, claimedAt: null },
    latest: undefined,
    version,
    transition: 'start',
    reason: 'initiator',
    requested: [],
    presetId: preset.id,
    debug: false,
    origin,
  });
}

/** Its builds cannot even be requested: nothing is tried again until the version changes or an administrator asks for it. */
async function markInvalid(tx: Db, { preset, subject, now }: Pool, error: string): Promise<void> {
  if (!(await movePresetStatus(tx, { presetId: preset.id, from: 'normal', to: 'validation_failed', detail: error })))
    return;
  await notifyTemplateAdmins(tx, preset.organizationId, {
    template: notificationTemplates.prebuildValidationFailed,
    eventKey: `prebuild-validation:${preset.id}:${now.toISOString()}`,
    labels: { ...presetLabels(preset), error },
    data: {},
    targets: [preset.templateId, preset.versionId, preset.id, preset.organizationId],
    createdBy: subject.name,
    now,
  });
}

/** How messages name a preset. */
export const presetLabels = (preset: PoolPreset): Record<string, string> => ({
  org: preset.organizationName,
  template: preset.templateName,
  template_version: preset.versionName,
  preset: preset.name,
});

/** Destroyed with the version and the values that made it. One that was claimed or is being built is left alone. */
async function deletePrebuild(
  tx: Db,
  deps: ReconcileDeps,
  pool: Pool,
  { id, batch }: { id: string; batch: Batch },
): Promise<void> {
  const refused = await attempt(tx, batch, async (savepoint) => {
    const facts = await insertDeletion(savepoint, deps, pool, { id });
    if (facts === undefined) return;
    batch.started.push(facts);
    batch.deleted += 1;
  });
  if (refused === undefined) return;
  deps.logger.warn({ err: refused, workspace_id: id }, 'prebuild not deleted');
}

async function insertDeletion(
  tx: Db,
  deps: ReconcileDeps,
  { subject, origin }: Pool,
  { id, state }: { id: string; state?: GivenState },
): Promise<(JobFacts & { buildId: string }) | undefined> {
  const workspace = await lockPrebuild(tx, id);
  if (workspace === undefined) return undefined;
  authorizeWorkspace(subject, 'delete', workspace);
  const latest = await findLatestBuild(tx, id);
  if (latest === undefined || latest.active) return undefined;
  const version = await findVersionForBuild(tx, latest.templateVersionId);
  if (version === undefined) return undefined;
  const buildId = randomUUID();
  const facts = await insertPendingBuild(tx, deps, subject, {
    id: buildId,
    workspace,
    latest,
    version,
    transition: 'delete',
    reason: 'initiator',
    requested: [],
    presetId: null,
    ...(state !== undefined && { state }),
    debug: false,
    origin,
  });
  return { ...facts, buildId };
}

/**
 * Builds of a version that is over and that no worker has taken: canceled, and their workspaces forgotten in the same step,
 * because nothing of them exists and later nobody could tell them from what people canceled. Source: spec/03 §8.3.
 */
async function cancelPending(tx: Db, deps: ReconcileDeps, pool: Pool, batch: Batch): Promise<void> {
  const untaken = await lockUntakenPrebuilds(tx, pool.preset.id, batchSize);
  for (const { workspaceId, buildId, jobId, workflowId } of untaken) {
    const refused = await attempt(tx, batch, async (savepoint) => {
      await markCanceled(savepoint, jobId, true);
      await finishBuildRow(savepoint, buildId);
      await notifyJobEnd(savepoint, jobId, buildId);
      const state = { ...readOperatorState(Buffer.alloc(0)), source: 'orphan' as const };
      const deletion = await insertDeletion(savepoint, deps, pool, { id: workspaceId, state });
      if (deletion === undefined) return;
      const why = 'Its version is no longer the active one and nothing of it was built: there is nothing to destroy.';
      await forgetWorkspace(savepoint, { ...deletion, level: 'info', why });
    });
    if (refused !== undefined) continue;
    batch.canceled += 1;
    batch.canceledWorkflows.push(workflowId);
  }
  if (untaken.length === batchSize) batch.more = true;
}
