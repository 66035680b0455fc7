import type { Db } from '../db/client.ts';
import { enqueueNotifications } from '../db/queries/notification-messages.ts';
import {
  type AffectedWorkspace,
  clearDeadlines,
  lockAffectedWorkspaces,
  lockRunningBuilds,
  restartDormancy,
  setDeadlines,
  setDeletions,
  setNextStarts,
  setTtl,
  touchWorkspaces,
} from '../db/queries/template-effects.ts';
import { type AutostartInput, nextStartAt } from '../domain/autostart.ts';
import { movedDeadlines } from '../domain/deadlines.ts';
import { notificationTemplates, relativeTime } from '../domain/notifications.ts';
import { type QuietHoursSettings, effectiveQuietHours } from '../domain/quiet-hours.ts';
import type { TemplateSettings, WorkspaceEffects } from '../domain/template-settings.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface TemplateChange {
  /** As it is after the change. */
  readonly template: TemplateSettings & { readonly id: string };
  readonly effects: WorkspaceEffects;
  /** All that are awake count as used now. */
  readonly touches: boolean;
  /** The dormant ones count as dormant since now. */
  readonly restartsDormancy: boolean;
  readonly now: Date;
  /** Name of who did it. */
  readonly by: string;
}

export interface TemplateEffectDeps {
  readonly quietHours: QuietHoursSettings;
  readonly logger: Logger;
}

const pageSize = 1_000;

/**
 * Does to the template's live workspaces what a change of settings means for them, in its transaction: however many they are,
 * nobody sees half of it. Each page is locked before anything is computed of it. Source: spec/04 §7.
 */
export async function applyTemplateEffects(tx: Db, deps: TemplateEffectDeps, change: TemplateChange): Promise<void> {
  if (!touchesWorkspaces(change)) return;
  const startOf = nextStarts(change);
  for (let after: string | undefined; ;) {
    const page = await lockAffectedWorkspaces(tx, change.template.id, { after, limit: pageSize });
    if (page.length > 0) await applyToPage(tx, deps, { change, page, startOf });
    if (page.length < pageSize) return;
    after = page.at(-1)!.id;
  }
}

const touchesWorkspaces = ({ effects, touches, restartsDormancy }: TemplateChange): boolean =>
  touches ||
  restartsDormancy ||
  effects.ttlMs !== undefined ||
  effects.movesRequiredStops ||
  effects.movesStarts ||
  effects.movesDeletions;

type NextStartOf = (workspace: AffectedWorkspace) => Date | null;

async function applyToPage(
  tx: Db,
  deps: TemplateEffectDeps,
  { change, page, startOf }: { change: TemplateChange; page: readonly AffectedWorkspace[]; startOf: NextStartOf },
): Promise<void> {
  const { template, effects, now } = change;
  const ids = page.map(({ id }) => id);
  if (effects.ttlMs !== undefined) await setTtl(tx, ids, effects.ttlMs);
  if (effects.movesRequiredStops) await moveRequiredStops(tx, deps, { change, page });
  if (effects.clearsDeadlines) await clearDeadlines(tx, ids);
  if (effects.movesStarts) {
    const starts = page.map((workspace) => ({ id: workspace.id, old: workspace.nextStartAt, at: startOf(workspace) }));
    const moved = starts.filter(({ old, at }) => old?.getTime() !== at?.getTime());
    await setNextStarts(
      tx,
      moved.map(({ id, at }) => ({ id, at })),
    );
  }
  if (change.touches) await touchWorkspaces(tx, ids, now);
  if (change.restartsDormancy) await restartDormancy(tx, ids, now);
  if (!effects.movesDeletions && !change.restartsDormancy) return;
  const deletions = await setDeletions(tx, ids, template.timeTilDormantAutodeleteMs);
  // Who was given more time was told of the deletion before.
  if (effects.movesDeletions) await tellDeletions(tx, change, deletions);
}

const autostartOf = (template: TemplateSettings, workspace: AffectedWorkspace): AutostartInput => ({
  autostartSchedule: workspace.autostartSchedule,
  allowUserAutostart: template.allowUserAutostart,
  autostartBlockDaysOfWeek: template.autostartBlockDaysOfWeek,
  dormantAt: workspace.dormantAt,
  deleted: false,
  ownerId: workspace.ownerId,
});

/** `next_start_at` by the new rule; computed once for each schedule, however many workspaces have it. */
function nextStarts({ template, now }: TemplateChange): NextStartOf {
  const known = new Map<string, Date | null>();
  return (workspace) => {
    if (workspace.autostartSchedule === null || workspace.dormantAt !== null) return null;
    const found = known.get(workspace.autostartSchedule);
    if (found !== undefined) return found;
    const next = nextStartAt(autostartOf(template, workspace), now);
    known.set(workspace.autostartSchedule, next);
    return next;
  };
}

async function moveRequiredStops(
  tx: Db,
  { quietHours, logger }: TemplateEffectDeps,
  { change, page }: { change: TemplateChange; page: readonly AffectedWorkspace[] },
): Promise<void> {
  const { template, effects, now } = change;
  const workspaceOf = new Map(page.map((workspace) => [workspace.id, workspace]));
  const builds = await lockRunningBuilds(tx, [...workspaceOf.keys()]);
  const moved = builds.flatMap((build) => {
    const workspace = workspaceOf.get(build.workspaceId)!;
    const input = {
      ...template,
      ttlMs: effects.ttlMs === undefined ? workspace.ttlMs : effects.ttlMs,
      autostart: autostartOf(template, workspace),
      ownerIsActive: build.ownerStatus === 'active',
      quietHours: effectiveQuietHours({ userSchedule: build.quietHoursSchedule, ...quietHours }),
    };
    // A job that has succeeded is completed.
    const deadlines = movedDeadlines(input, { ...build, completedAt: build.completedAt ?? now }, now);
    if (deadlines === null) return [];
    const { problem, ...instants } = deadlines;
    if (problem !== undefined) logger.error({ build_id: build.id, problem }, 'deadline of a build not as it should be');
    return [{ id: build.id, ...instants }];
  });
  await setDeadlines(tx, moved);
}

async function tellDeletions(
  tx: Db,
  { now, by }: TemplateChange,
  deletions: Awaited<ReturnType<typeof setDeletions>>,
): Promise<void> {
  await enqueueNotifications(
    tx,
    deletions.map(({ id, name, ownerId, templateId, organizationId, deletingAt }) => ({
      template: notificationTemplates.workspaceMarkedForDeletion,
      userId: ownerId,
      // Back to a time that was told before is news again.
      eventKey: `workspace:${id}:deleting:${deletingAt.toISOString()}:${now.toISOString()}`,
      labels: {
        name,
        reason: 'the time after which the template deletes dormant workspaces was changed',
        timeTilDelete: relativeTime(Math.max(deletingAt.getTime() - now.getTime(), 0)),
      },
      data: {},
      targets: [id, ownerId, templateId, organizationId],
      createdBy: by,
      now,
    })),
  );
}
