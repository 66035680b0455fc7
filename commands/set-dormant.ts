import { randomUUID } from 'node:crypto';
import { nextStartAt } from '../domain/autostart.ts';
import { dormantEventKey, notificationTemplates, relativeTime } from '../domain/notifications.ts';
import { type Db, transaction } from '../db/client.ts';
import { notify, workspacesChannel } from '../db/notifications.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { type Dormancy, markDormant, wakeWorkspace } from '../db/queries/dormancy.ts';
import { enqueueNotification } from '../db/queries/notification-messages.ts';
import { findVersionForBuild } from '../db/queries/template-versions.ts';
import { findLatestBuild } from '../db/queries/workspace-builds.ts';
import { type WorkspaceRow, findWorkspaceTemplate } from '../db/queries/workspaces.ts';
import type { Caller } from './caller.ts';
import type { CommandDeps } from './deps.ts';
import { insertPendingBuild } from './insert-pending-build.ts';
import { type JobFacts, startJob } from './start-job.ts';
import { lockForChange } from './update-workspace.ts';

export interface SetDormant {
  readonly workspaceId: string;
  readonly dormant: boolean;
}

/**
 * Puts a workspace to sleep, which stops it if it is started, or wakes it, which starts nothing. One transaction with the stop's
 * `pending` row; the owner is told when it was somebody else. False = it was in that state already. Source: spec/04 §5.3.
 */
export const createSetDormant = (deps: CommandDeps) =>
  async function setDormant(caller: Caller, { workspaceId, dormant }: SetDormant): Promise<boolean> {
    const done = await transaction(deps.db, async (tx) => {
      const workspace = await lockForChange(tx, caller, workspaceId);
      if ((workspace.dormantAt !== null) === dormant) return undefined;
      return dormant ? await sleep(tx, deps, { caller, workspace }) : await wake(tx, deps, { caller, workspace });
    });
    if (done?.stop !== undefined) {
      countStop(deps, 'success');
      await startJob(deps, done.stop);
    }
    return done !== undefined;
  };

const countStop = ({ metrics }: CommandDeps, status: 'success' | 'failed') =>
  metrics.buildEnqueued({ provisionerType: 'terraform', buildReason: 'dormancy', transition: 'stop', status });

interface Change {
  readonly caller: Caller;
  /** Locked, as it was before. */
  readonly workspace: WorkspaceRow;
}

async function sleep(tx: Db, deps: CommandDeps, change: Change): Promise<{ stop: JobFacts | undefined }> {
  const { caller, workspace } = change;
  const now = deps.now();
  const [dormancy] = await markDormant(tx, [workspace.id], now);
  if (dormancy === undefined) throw new Error(`workspace ${workspace.id} is locked and awake, yet was not marked`);
  const { dormantAt, deletingAt } = dormancy;
  await recordChange(tx, change, { after: { dormantAt, deletingAt, nextStartAt: null }, now });
  if (caller.subject.id !== workspace.ownerId) await tellOwner(tx, change, { dormancy, now });
  return { stop: await stopStarted(tx, deps, change) };
}

async function wake(tx: Db, deps: CommandDeps, change: Change): Promise<{ stop: undefined }> {
  const { workspace } = change;
  const now = deps.now();
  const template = await findWorkspaceTemplate(tx, workspace.id);
  const next = nextStartAt({ ...template, ...workspace, dormantAt: null }, now);
  await wakeWorkspace(tx, { id: workspace.id, nextStartAt: next, now });
  await recordChange(tx, change, { after: { dormantAt: null, deletingAt: null, nextStartAt: next }, now });
  return { stop: undefined };
}

async function recordChange(
  tx: Db,
  { caller, workspace }: Change,
  { after, now }: { after: Pick<WorkspaceRow, 'dormantAt' | 'deletingAt' | 'nextStartAt'>; now: Date },
): Promise<void> {
  await insertAudit(tx, {
    origin: caller.origin,
    time: now,
    resourceType: 'workspace',
    resourceId: workspace.id,
    resourceTarget: workspace.name,
    action: 'write',
    organizationId: workspace.organizationId,
    diff: auditDiff('workspace', workspace, { ...workspace, ...after }),
  });
  await notify(tx, workspacesChannel, workspace.id);
}

/**
 * A start that is over, well or not, is stopped. One that goes on now cannot be: it is stopped by the lifecycle, which looks at
 * dormant workspaces whose latest build is a start (spec/04 §5, rule 6).
 */
async function stopStarted(tx: Db, deps: CommandDeps, { caller, workspace }: Change): Promise<JobFacts | undefined> {
  const latest = await findLatestBuild(tx, workspace.id);
  if (latest === undefined || latest.transition !== 'start' || latest.active) return undefined;
  const version = await findVersionForBuild(tx, latest.templateVersionId);
  if (version === undefined) throw new Error(`build ${latest.id} has no template version`);
  return insertPendingBuild(tx, deps, caller.subject, {
    id: randomUUID(),
    workspace,
    latest,
    version,
    transition: 'stop',
    reason: 'dormancy',
    requested: [],
    presetId: null,
    debug: false,
    origin: caller.origin,
  }).catch((err: unknown) => {
    countStop(deps, 'failed');
    throw err;
  });
}

async function tellOwner(
  tx: Db,
  { caller, workspace }: Change,
  { dormancy: { dormantAt, deletingAt }, now }: { dormancy: Dormancy; now: Date },
): Promise<void> {
  await enqueueNotification(tx, {
    template: notificationTemplates.workspaceDormant,
    userId: workspace.ownerId,
    eventKey: dormantEventKey(workspace.id, dormantAt),
    labels: {
      name: workspace.name,
      reason: `${caller.subject.name} requested it`,
      ...(deletingAt !== null && { timeTilDelete: relativeTime(deletingAt.getTime() - now.getTime()) }),
    },
    data: {},
    targets: [workspace.id, workspace.ownerId, workspace.templateId, workspace.organizationId],
    createdBy: caller.subject.name,
    now,
  });
}
