import { type AutostartInput, isOnAllowedDay, nextStartAt } from './autostart.ts';
import { PREBUILDS_SYSTEM_USER_ID } from './ids.ts';
import type { JobStatus, Transition } from './jobs.ts';

/** What the clock does to workspaces. All instants are compared with the tick, whole minutes of the database. Source: spec/04. */
export interface LifecycleTemplate {
  readonly deleted: boolean;
  readonly allowUserAutostart: boolean;
  readonly allowUserAutostop: boolean;
  readonly autostartBlockDaysOfWeek: number;
  /** Durations in ms, 0 = off. */
  readonly defaultTtlMs: number;
  readonly activityBumpMs: number;
  readonly failureTtlMs: number;
  readonly timeTilDormantMs: number;
  readonly timeTilDormantAutodeleteMs: number;
  readonly timeTilAutostopNotifyMs: number;
}

export interface LifecycleWorkspace {
  readonly ownerId: string;
  readonly deleted: boolean;
  readonly autostartSchedule: string | null;
  readonly nextStartAt: Date | null;
  readonly ttlMs: number | null;
  readonly lastUsedAt: Date;
  readonly dormantAt: Date | null;
  readonly deletingAt: Date | null;
  readonly failedAt: Date | null;
  readonly lifecycleRetryAfter: Date | null;
  readonly lifecycleAttempts: number;
}

export interface LifecycleBuild {
  readonly transition: Transition;
  readonly reason: string;
  readonly status: JobStatus;
  readonly deadline: Date | null;
  readonly maxDeadline: Date | null;
  readonly notifiedAutostopDeadline: Date | null;
  readonly hasExternalAgent: boolean | null;
}

export interface LifecycleFacts {
  readonly workspace: LifecycleWorkspace;
  readonly template: LifecycleTemplate;
  readonly owner: { readonly status: string };
  /** The latest one. */
  readonly build: LifecycleBuild;
}

export type LifecycleAction =
  | { readonly kind: 'start'; readonly reason: 'autostart' }
  | { readonly kind: 'stop'; readonly reason: 'autostop' | 'dormancy'; readonly marksDormant: boolean }
  | { readonly kind: 'mark-dormant' }
  /** `upgrades`: the version that was tried before failed, so the active one is tried. */
  | { readonly kind: 'delete'; readonly reason: 'autodelete'; readonly upgrades: boolean }
  | { readonly kind: 'remind'; readonly deadline: Date };

export interface LifecycleDecision {
  readonly action: LifecycleAction | null;
  /** New value of the column; absent = stays. */
  readonly nextStartAt?: Date | null;
  readonly deadline?: Date;
  /** A time to try again that is past and means nothing any more. */
  readonly clearsRetry: boolean;
}

export interface LifecycleRules {
  /** Automatic starts that are later than this are dropped; 0 = none is. */
  readonly autostartMaxLatenessMs: number;
}

const minuteMs = 60_000;
const recentlyUsedMs = 15 * minuteMs;

/** Who may start by itself; the template's deletion and the owner's state are looked at when it is time. */
export const autostartInput = ({
  workspace,
  template,
}: Pick<LifecycleFacts, 'workspace' | 'template'>): AutostartInput => ({
  autostartSchedule: workspace.autostartSchedule,
  allowUserAutostart: template.allowUserAutostart,
  autostartBlockDaysOfWeek: template.autostartBlockDaysOfWeek,
  dormantAt: workspace.dormantAt,
  deleted: workspace.deleted,
  ownerId: workspace.ownerId,
});

/** Time to live in force, ms; 0 = none. Users' own counts only where they may choose. Source: spec/04 §6 step 1. */
export const ttlInForce = (
  ttlMs: number | null,
  template: Pick<LifecycleTemplate, 'allowUserAutostop' | 'defaultTtlMs'>,
): number => (template.allowUserAutostop ? (ttlMs ?? 0) : template.defaultTtlMs);

/** What is due for a workspace none of whose builds is active. Pure; the first rule that holds wins. Source: spec/04 §4, §5. */
export function decideLifecycle(facts: LifecycleFacts, tick: Date, rules: LifecycleRules): LifecycleDecision {
  const { workspace, build } = facts;
  const retryIsPast = isPast(workspace.lifecycleRetryAfter, tick);
  if (workspace.deleted || workspace.ownerId === PREBUILDS_SYSTEM_USER_ID || build.hasExternalAgent === true)
    return { action: null, clearsRetry: retryIsPast };
  const restarted = restartInPlace(facts, tick);
  const now =
    restarted?.deadline === undefined ? facts : { ...facts, build: { ...build, deadline: restarted.deadline } };
  const action = dueAction(now, tick, rules);
  if (action?.kind === 'start')
    return { action, nextStartAt: nextStartAt(autostartInput(facts), tick), clearsRetry: false };
  if (action !== null && action.kind !== 'remind') return { action, ...restarted, clearsRetry: false };
  return {
    action: action ?? reminder(now, tick),
    ...(restarted ?? keptInFuture(facts, tick)),
    clearsRetry: retryIsPast,
  };
}

/** A workspace that runs at the time of its start counts as started again then. Source: spec/04 §4.3 row 11. */
function restartInPlace(facts: LifecycleFacts, tick: Date): { nextStartAt: Date | null; deadline?: Date } | undefined {
  const { workspace, template, build } = facts;
  const due = workspace.nextStartAt;
  if (due === null || due > tick || build.transition !== 'start' || build.status !== 'succeeded') return undefined;
  const next = { nextStartAt: nextStartAt(autostartInput(facts), tick) };
  const ttlMs = ttlInForce(workspace.ttlMs, template);
  if (ttlMs === 0 || build.deadline === null || build.deadline < due) return next;
  const wanted = Math.max(build.deadline.getTime(), due.getTime() + ttlMs);
  const deadline = new Date(Math.min(wanted, build.maxDeadline?.getTime() ?? Infinity));
  return deadline > build.deadline ? { ...next, deadline } : next;
}

/** A start that did not happen is not owed: the next one is. One that is missing is computed. Source: spec/04 §4.3 rows 10, 13. */
function keptInFuture(facts: LifecycleFacts, tick: Date): { nextStartAt?: Date | null } {
  const { nextStartAt: stored, autostartSchedule } = facts.workspace;
  if (stored === null ? autostartSchedule === null : stored > tick) return {};
  const next = nextStartAt(autostartInput(facts), tick);
  return next === null && stored === null ? {} : { nextStartAt: next };
}

function dueAction(facts: LifecycleFacts, tick: Date, rules: LifecycleRules): LifecycleAction | null {
  const { workspace, template, owner, build } = facts;
  const { dormantAt, deletingAt } = workspace;
  const mayRetry = workspace.lifecycleRetryAfter === null || workspace.lifecycleRetryAfter <= tick;
  const failedStop = build.transition === 'stop' && build.status === 'failed';
  const runs = build.transition === 'start' && build.status === 'succeeded';
  if (dormantAt === null && runs && (owner.status === 'suspended' || isPast(build.deadline, tick)))
    return { kind: 'stop', reason: 'autostop', marksDormant: false };
  if (startIsDue(facts, tick, rules)) return { kind: 'start', reason: 'autostart' };
  if (
    failedFor(facts, tick) > template.failureTtlMs &&
    template.failureTtlMs > 0 &&
    mayRetry &&
    build.transition !== 'delete'
  )
    return { kind: 'stop', reason: 'autostop', marksDormant: false };
  if (dormantAt === null && failedStop && template.failureTtlMs === 0 && isPast(workspace.lifecycleRetryAfter, tick))
    return { kind: 'stop', reason: 'autostop', marksDormant: false };
  const unusedMs = tick.getTime() - workspace.lastUsedAt.getTime();
  if (dormantAt === null && template.timeTilDormantMs > 0 && unusedMs > template.timeTilDormantMs)
    return build.transition === 'start'
      ? { kind: 'stop', reason: 'dormancy', marksDormant: true }
      : { kind: 'mark-dormant' };
  if (dormantAt === null) return null;
  if (deletingAt !== null && template.timeTilDormantAutodeleteMs > 0 && tick > deletingAt && mayRetry)
    return { kind: 'delete', reason: 'autodelete', upgrades: build.transition === 'delete' };
  if ((runs || failedStop) && mayRetry) return { kind: 'stop', reason: 'dormancy', marksDormant: false };
  return null;
}

/** By the schedule, or once more after an automatic start failed. Source: spec/04 §4.1. */
function startIsDue(facts: LifecycleFacts, tick: Date, rules: LifecycleRules): boolean {
  const { workspace, template, owner } = facts;
  const due = startTime(facts);
  if (due === null || due > tick) return false;
  if (workspace.dormantAt !== null || owner.status !== 'active' || template.deleted) return false;
  const input = autostartInput(facts);
  if (nextStartAt(input, tick) === null) return false;
  if (facts.build.transition === 'start') return true;
  const { autostartMaxLatenessMs: latest } = rules;
  return (latest === 0 || tick.getTime() - due.getTime() <= latest) && isOnAllowedDay(input, due);
}

/** When it is to be started, should it be allowed; null = never. */
function startTime({ workspace, build }: LifecycleFacts): Date | null {
  if (build.transition === 'stop') return build.status === 'failed' ? null : workspace.nextStartAt;
  const failed = build.transition === 'start' && build.status === 'failed' && build.reason === 'autostart';
  return failed ? workspace.lifecycleRetryAfter : null;
}

/** How long the latest build has been a failed one, ms; −1 = it is not. */
const failedFor = ({ workspace: { failedAt } }: LifecycleFacts, tick: Date): number =>
  failedAt === null ? -1 : tick.getTime() - failedAt.getTime();

const isPast = (instant: Date | null, tick: Date): boolean => instant !== null && instant <= tick;

/** Once per deadline, unless somebody works and the deadline will move by itself. Source: spec/04 §5.6. */
function reminder({ workspace, template, build }: LifecycleFacts, tick: Date): LifecycleAction | null {
  const { deadline, maxDeadline, notifiedAutostopDeadline } = build;
  const notifyMs = template.timeTilAutostopNotifyMs;
  if (notifyMs === 0 || deadline === null || workspace.dormantAt !== null) return null;
  if (build.transition !== 'start' || build.status !== 'succeeded') return null;
  const until = new Date(tick.getTime() + notifyMs);
  if (deadline <= tick || deadline > until) return null;
  const isUsed = tick.getTime() - workspace.lastUsedAt.getTime() < recentlyUsedMs;
  const canMove = maxDeadline === null || maxDeadline > until;
  if (isUsed && template.activityBumpMs > 0 && canMove) return null;
  return notifiedAutostopDeadline?.getTime() === deadline.getTime() ? null : { kind: 'remind', deadline };
}
