import type { Db } from '../db/client.ts';
import { type BuildEndFacts, endBuildOfWorkspace, lockBuildEnd } from '../db/queries/build-ends.ts';
import { enqueueNotification, notifyTemplateAdmins } from '../db/queries/notification-messages.ts';
import { type BuildOutcome, finishBuildRow } from '../db/queries/workspace-builds.ts';
import { aftermathOf, autobuildRetry, isAutomatic } from '../domain/build-aftermath.ts';
import { deadlinesOf } from '../domain/deadlines.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import { autostartInput } from '../domain/lifecycle.ts';
import { notificationTemplates } from '../domain/notifications.ts';
import { type QuietHoursSettings, effectiveQuietHours } from '../domain/quiet-hours.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface BuildEnd {
  readonly outcome: 'succeeded' | 'failed' | 'canceled';
  /** Something ran. */
  readonly started: boolean;
  /** What a run found; deadlines follow from it here. */
  readonly columns?: BuildOutcome;
  /** Instant of the end where it is not that of the transaction. */
  readonly now?: Date;
}

/** Needed where a start may succeed. */
export interface DeadlineDeps {
  readonly quietHours: QuietHoursSettings;
  readonly logger: Logger;
}

/**
 * Ends a build and says what that means for its workspace: deadlines, the next automatic start, what is tried again and when,
 * and who is told. Part of the transaction that ends the job, whose row is locked before. Source: spec/04 §4.3, §5, §6, §9.
 */
export async function settleBuild(tx: Db, buildId: string, end: BuildEnd, deps?: DeadlineDeps): Promise<void> {
  const facts = await lockBuildEnd(tx, buildId);
  const { outcome, started, columns = {} } = end;
  if (facts === undefined) return finishBuildRow(tx, buildId, columns);
  const { build, workspace, template } = facts;
  const now = end.now ?? facts.now;
  const isPrebuild = workspace.ownerId === PREBUILDS_SYSTEM_USER_ID;
  const deadlines =
    outcome === 'succeeded' && build.transition === 'start' && !build.refreshOnly && deps !== undefined
      ? runningDeadlines(facts, { now, isFree: isPrebuild || columns.hasExternalAgent === true, deps })
      : {};
  await finishBuildRow(tx, buildId, { ...columns, ...deadlines });
  if (!build.isLatest) return;
  const deleted = outcome === 'succeeded' && build.transition === 'delete';
  if (isPrebuild) return endPrebuild(tx, workspace.id, deleted);
  const { tellsOwner, ...aftermath } = aftermathOf({ workspace, template }, { ...build, outcome, started }, now);
  await endBuildOfWorkspace(tx, workspace.id, { ...aftermath, deleted });
  if (tellsOwner) await tellOwnerOfFailure(tx, facts, { retryAt: aftermath.lifecycleRetryAfter, now });
  if (outcome === 'failed' && (!isAutomatic(build.reason) || build.reason === 'autodelete'))
    await tellAdminsOfFailure(tx, facts, now);
  if (deleted) await tellOfDeletion(tx, facts, now);
}

/** A prebuild is replaced instead of repaired, and nothing happens to it by the clock. */
const endPrebuild = (tx: Db, workspaceId: string, deleted: boolean): Promise<void> =>
  endBuildOfWorkspace(tx, workspaceId, {
    nextStartAt: null,
    failedAt: null,
    lifecycleRetryAfter: null,
    lifecycleAttempts: 0,
    deleted,
  });

function runningDeadlines(
  facts: BuildEndFacts,
  { now, isFree, deps }: { now: Date; isFree: boolean; deps: DeadlineDeps },
): { deadline: Date | null; maxDeadline: Date | null } {
  if (isFree) return { deadline: null, maxDeadline: null };
  const { workspace, template, owner, build } = facts;
  const { problem, ...deadlines } = deadlinesOf(
    {
      ttlMs: workspace.ttlMs,
      defaultTtlMs: template.defaultTtlMs,
      allowUserAutostop: template.allowUserAutostop,
      autostopRequirementDaysOfWeek: template.autostopRequirementDaysOfWeek,
      autostopRequirementWeeks: template.autostopRequirementWeeks,
      autostart: autostartInput(facts),
      ownerIsActive: owner.status === 'active',
      quietHours: effectiveQuietHours({ userSchedule: owner.quietHoursSchedule, ...deps.quietHours }),
    },
    now,
  );
  if (problem !== undefined)
    deps.logger.error({ build_id: build.id, problem }, 'deadline of a build not as it should be');
  return deadlines;
}

const targetsOf = ({ workspace }: BuildEndFacts): string[] => [
  workspace.id,
  workspace.ownerId,
  workspace.templateId,
  workspace.organizationId,
];
const createdBy = 'autobuild';

const reasonTexts: Readonly<Record<string, string>> = {
  autostart: 'automatic start',
  autostop: 'automatic stop',
  dormancy: 'stop of a dormant workspace',
  autodelete: 'automatic deletion of a dormant workspace',
};

function tellOwnerOfFailure(tx: Db, facts: BuildEndFacts, { retryAt, now }: { retryAt: Date | null; now: Date }) {
  const { build, workspace } = facts;
  const times = autobuildRetry.atMost + 1;
  const retry =
    retryAt !== null
      ? `It is tried again at ${retryAt.toISOString().slice(0, 16).replace('T', ' ')} UTC.`
      : `It has failed ${times} times and is not tried again.`;
  return enqueueNotification(tx, {
    template: notificationTemplates.workspaceAutobuildFailed,
    userId: workspace.ownerId,
    eventKey: `autobuild-failed:${build.id}`,
    labels: { name: workspace.name, reason: reasonTexts[build.reason] ?? build.reason, retry },
    data: {},
    targets: targetsOf(facts),
    createdBy,
    now,
  });
}

function tellAdminsOfFailure(tx: Db, facts: BuildEndFacts, now: Date): Promise<void> {
  const { build, workspace, template, owner, organizationName } = facts;
  return notifyTemplateAdmins(tx, workspace.organizationId, {
    template: notificationTemplates.workspaceManualBuildFailed,
    eventKey: `build-failed:${build.id}`,
    labels: {
      name: workspace.name,
      template_name: template.name,
      template_version_name: build.versionName,
      organization: organizationName,
      initiator: isAutomatic(build.reason) ? createdBy : build.initiatorName,
      workspace_owner_username: owner.name,
      workspace_build_number: String(build.number),
      reason: reasonTexts[build.reason] ?? build.reason,
    },
    data: {},
    targets: targetsOf(facts),
    createdBy,
    now,
  });
}

/** Who deletes his own workspace need not be told. */
async function tellOfDeletion(tx: Db, facts: BuildEndFacts, now: Date): Promise<void> {
  const { build, workspace } = facts;
  const automatic = isAutomatic(build.reason);
  if (!automatic && build.initiatorId === workspace.ownerId) return;
  await enqueueNotification(tx, {
    template: notificationTemplates.workspaceDeleted,
    userId: workspace.ownerId,
    eventKey: `workspace-deleted:${workspace.id}`,
    labels: {
      name: workspace.name,
      reason: automatic ? 'it was dormant for too long' : 'deleted by another user',
      initiator: automatic ? createdBy : build.initiatorName,
    },
    data: {},
    targets: targetsOf(facts),
    createdBy,
    now,
  });
}
