import { randomUUID } from 'node:crypto';
import { MockActivityEnvironment } from '@temporalio/testing';
import { sql } from 'drizzle-orm';
import type { LifecycleDeps } from '../../activities/deps.ts';
import { createRunLifecyclePage } from '../../activities/run-lifecycle-page.ts';
import { taskQueueOf } from '../../commands/task-queue.ts';
import type { Db } from '../../db/client.ts';
import { firstDue } from '../../db/queries/lifecycle.ts';
import { upsertDaemon } from '../../db/queries/provisioner-daemons.ts';
import type { LifecycleRules } from '../../domain/lifecycle.ts';
import type { LifecycleProgress } from '../../workflows/run-lifecycle.ts';
import type { JsonValue, TestApi } from './api.ts';
import { endBuild } from './build-rows.ts';

export const testTags = { scope: 'organization', owner: '' };

/** A worker that runs what templates without tags of their own need. */
export async function addWorker(db: Db, tags: Record<string, string> = testTags): Promise<string> {
  const id = randomUUID();
  await upsertDaemon(db, { id, name: `w-${id.slice(0, 8)}`, tags, version: 't', taskQueues: [taskQueueOf(tags)] });
  return id;
}

export function lifecycleDeps(
  api: TestApi,
  options: { rules?: Partial<LifecycleRules>; maxBuildsPerTick?: number } = {},
): LifecycleDeps {
  const { db, temporal, logger, metrics, now } = api.deps;
  return {
    db,
    temporal,
    logger,
    metrics,
    now,
    rules: { autostartMaxLatenessMs: 0, ...options.rules },
    lifecycleConcurrency: 5,
    maxBuildsPerTick: options.maxBuildsPerTick ?? 5_000,
  };
}

/** The tick of an instant, cut to its minute, as the workflow runs it: page after page. The application's clock is set to it. */
export async function runTick(
  api: TestApi,
  at: Date | string,
  deps: LifecycleDeps = lifecycleDeps(api),
): Promise<Omit<LifecycleProgress, 'after'>> {
  const instant = new Date(at);
  api.clock.now = instant;
  const tick = new Date(Math.floor(instant.getTime() / 60_000) * 60_000).toISOString();
  const runPage = createRunLifecyclePage(deps);
  let progress: LifecycleProgress = {
    tick,
    after: firstDue,
    buildsLeft: deps.maxBuildsPerTick,
    builds: 0,
    due: {},
    actions: {},
    skipped: {},
  };
  do {
    const environment = new MockActivityEnvironment();
    const times = { scheduledAt: instant.getTime(), startedAt: Date.now() };
    progress = await environment.run(runPage, { progress, ...times });
  } while (progress.after !== null);
  const { after: _, ...result } = progress;
  return result;
}

export interface StoredWorkspace {
  readonly nextStartAt: Date | null;
  readonly dormantAt: Date | null;
  readonly deletingAt: Date | null;
  readonly failedAt: Date | null;
  readonly retryAfter: Date | null;
  readonly attempts: number;
  readonly lastUsedAt: Date;
  readonly ttlMs: number | null;
  readonly deleted: boolean;
  readonly buildId: string;
  readonly buildNumber: number;
  readonly transition: string;
  readonly reason: string;
  readonly status: string;
  readonly deadline: Date | null;
  readonly maxDeadline: Date | null;
  readonly versionId: string;
  readonly initiatorId: string;
}

/** A workspace with its latest build, as they are stored. */
export async function stored(db: Db, workspaceId: string): Promise<StoredWorkspace> {
  const [row] = await db.execute<Record<string, string | number | boolean | null>>(sql`
    select w.next_start_at, w.dormant_at, w.deleting_at, w.failed_at, w.lifecycle_retry_after, w.lifecycle_attempts,
      w.last_used_at, w.ttl_ms, w.deleted, b.id as build_id, b.build_number, b.transition, b.reason, j.job_status, b.deadline,
      b.max_deadline, b.template_version_id, b.initiator_id
    from workspaces w join workspace_builds b on b.workspace_id = w.id and b.is_latest
    join provisioner_jobs j on j.id = b.job_id where w.id = ${workspaceId}`);
  const instant = (name: string) => (row![name] === null ? null : new Date(String(row![name])));
  return {
    nextStartAt: instant('next_start_at'),
    dormantAt: instant('dormant_at'),
    deletingAt: instant('deleting_at'),
    failedAt: instant('failed_at'),
    retryAfter: instant('lifecycle_retry_after'),
    attempts: Number(row!['lifecycle_attempts']),
    lastUsedAt: instant('last_used_at')!,
    ttlMs: row!['ttl_ms'] === null ? null : Number(row!['ttl_ms']),
    deleted: row!['deleted'] === true,
    buildId: String(row!['build_id']),
    buildNumber: Number(row!['build_number']),
    transition: String(row!['transition']),
    reason: String(row!['reason']),
    status: String(row!['job_status']),
    deadline: instant('deadline'),
    maxDeadline: instant('max_deadline'),
    versionId: String(row!['template_version_id']),
    initiatorId: String(row!['initiator_id']),
  };
}

/** Messages that were written for a workspace: the template's name and the labels, oldest first. */
export const messagesOf = async (db: Db, workspaceId: string) =>
  db.execute<{ name: string; user_id: string; labels: Record<string, string> }>(sql`
    select payload ->> 'notification_name' as name, user_id, payload -> 'labels' as labels from notification_messages
    where ${workspaceId}::uuid = any(targets) order by created_at, id`);

/** A workspace whose first start ended at this instant. */
export async function startedWorkspace(
  api: TestApi,
  template: { readonly id: string },
  workspace: { readonly at: Date | string; readonly token?: string; readonly [field: string]: unknown },
): Promise<string> {
  const { at, token = api.ownerToken, ...body } = workspace;
  api.clock.now = new Date(at);
  const created: { status: number; body: JsonValue; text: string } = await api.request(
    'POST',
    '/api/v2/users/me/workspaces',
    { token, body: { name: `w-${randomUUID().slice(0, 8)}`, template_id: template.id, ...body } },
  );
  if (created.status !== 201) throw new Error(`no workspace: ${created.text}`);
  await endBuild(api.db, created.body.latest_build.id, { now: api.clock.now });
  return created.body.id;
}

/** Ends the latest build at this instant. */
export async function endLatest(
  api: TestApi,
  workspaceId: string,
  end: { readonly at: Date | string; readonly error?: string; readonly canceled?: boolean },
): Promise<void> {
  const { at, ...how } = end;
  api.clock.now = new Date(at);
  await endBuild(api.db, (await stored(api.db, workspaceId)).buildId, { now: api.clock.now, ...how });
}

/** Requests a build over the API at this instant and ends it at another. */
export async function build(
  api: TestApi,
  workspaceId: string,
  {
    transition,
    at,
    endAt = at,
    token = api.ownerToken,
    ...how
  }: {
    readonly transition: 'start' | 'stop' | 'delete';
    readonly at: Date | string;
    readonly endAt?: Date | string;
    readonly token?: string;
    readonly error?: string;
    readonly canceled?: boolean;
  },
): Promise<void> {
  api.clock.now = new Date(at);
  const answer = await api.request('POST', `/api/v2/workspaces/${workspaceId}/builds`, { token, body: { transition } });
  if (answer.status !== 201) throw new Error(`no build: ${answer.text}`);
  await endLatest(api, workspaceId, { at: endAt, ...how });
}

/** Nothing else is due any more, whatever earlier tests left. */
export async function onlyDue({ db }: TestApi, ...ids: string[]): Promise<void> {
  await db.execute(sql`
    update workspaces set next_start_at = null, autostart_schedule = null, dormant_at = null, deleting_at = null,
      failed_at = null, lifecycle_retry_after = null, last_used_at = '2100-01-01' where id not in ${ids}`);
  await db.execute(sql`
    update workspace_builds set deadline = null, max_deadline = null where workspace_id not in ${ids}`);
}
