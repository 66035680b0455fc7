import { randomUUID } from 'node:crypto';
import { and, eq, sql } from 'drizzle-orm';
import { createPlanPrebuildCycle } from '../../activities/plan-prebuild-cycle.ts';
import type { PrebuildDeps } from '../../activities/deps.ts';
import { type PresetOutcome, createReconcilePreset } from '../../commands/reconcile-preset.ts';
import type { Db } from '../../db/client.ts';
import {
  templateVersionPresetParameters,
  templateVersionPresetPrebuildSchedules,
  templateVersionPresets,
} from '../../db/schema/templates.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { PrebuildRules } from '../../domain/prebuilds.ts';
import { type TestAgent, insertAgentOf } from './agent-rows.ts';
import type { TestApi } from './api.ts';
import { endBuild } from './build-rows.ts';
import { testOrigin } from './builders.ts';
import { createImportedVersion, createTemplate, promote } from './template-rows.ts';

export interface PoolSettings {
  readonly name?: string;
  readonly desired?: number | null;
  readonly ttlSeconds?: number;
  readonly values?: Readonly<Record<string, string>>;
  readonly timezone?: string;
  readonly schedules?: readonly { readonly cron: string; readonly desired: number }[];
}

/** A preset with a pool, as an import would have stored it. Answers its id. */
export async function insertPool(db: Db, versionId: string, pool: PoolSettings = {}): Promise<string> {
  const id = randomUUID();
  const { name = 'pool', desired = 1, ttlSeconds = null, values = {}, timezone = '', schedules = [] } = pool;
  await db.insert(templateVersionPresets).values({
    id,
    templateVersionId: versionId,
    name,
    createdAt: new Date(),
    desiredInstances: desired,
    invalidateAfterSecs: ttlSeconds,
    schedulingTimezone: timezone,
  });
  const rows = Object.entries(values).map(([key, value]) => ({ templateVersionPresetId: id, name: key, value }));
  if (rows.length > 0) await db.insert(templateVersionPresetParameters).values(rows);
  if (schedules.length > 0)
    await db.insert(templateVersionPresetPrebuildSchedules).values(
      schedules.map(({ cron, desired: instances }, position) => ({
        presetId: id,
        position,
        cronExpression: cron,
        desiredInstances: instances,
      })),
    );
  return id;
}

export interface TestPool {
  readonly templateId: string;
  readonly versionId: string;
  readonly presetId: string;
}

/** A template whose active version has one preset with a pool. */
export async function createPool(api: TestApi, pool: PoolSettings = {}): Promise<TestPool> {
  const template = await createTemplate(api);
  const versionId: string = template.active_version_id;
  return { templateId: template.id, versionId, presetId: await insertPool(api.db, versionId, pool) };
}

/** A new version of the template with a pool of the same settings, made the active one. */
export async function promoteNewVersion(api: TestApi, templateId: string, pool: PoolSettings = {}): Promise<TestPool> {
  const versionId = await createImportedVersion(api, { body: { template_id: templateId } });
  const presetId = await insertPool(api.db, versionId, pool);
  await promote(api, templateId, versionId);
  return { templateId, versionId, presetId };
}

export const testRules: PrebuildRules = {
  backoffIntervalMs: 60_000,
  failureHardLimit: 3,
  failedRetentionMs: 0,
  maxCreatesPerCycle: 0,
  maxInFlight: null,
};

/** The dependencies of the reconciler over a test API; the wake-ups it asks for are kept. */
export function prebuildDeps(api: TestApi, rules: Partial<PrebuildRules> = {}): PrebuildDeps & { wakeUps: Date[] } {
  const wakeUps: Date[] = [];
  const { db, temporal, logger, metrics, cipher, now } = api.deps;
  return {
    db,
    temporal,
    logger,
    metrics,
    cipher,
    now,
    snapshot: { rules: { ...testRules, ...rules }, backoffLookbackMs: 3_600_000, quotaEnabled: true },
    maxInFlight: rules.maxInFlight ?? 0,
    poolConcurrency: 5,
    wakeAt: (at) => void wakeUps.push(at),
    wakeUps,
  };
}

export interface CycleOutcome extends PresetOutcome {
  readonly presetsReconciled: number;
  readonly presetsSkipped: number;
}

/** One cycle as the workflow runs it, pool after pool. */
export async function runCycle(deps: PrebuildDeps): Promise<CycleOutcome> {
  const plan = await createPlanPrebuildCycle(deps)();
  const reconcile = createReconcilePreset(deps);
  const total = { created: 0, deleted: 0, canceled: 0, errors: [] as string[] };
  const origin = { ...testOrigin(PREBUILDS_SYSTEM_USER_ID), actor: 'prebuilds-orchestrator' };
  for (const item of plan.items) {
    const { errors, ...done } = await reconcile({ ...item, origin });
    total.created += done.created;
    total.deleted += done.deleted;
    total.canceled += done.canceled;
    total.errors.push(...errors);
  }
  return { ...total, presetsReconciled: plan.presetsReconciled, presetsSkipped: plan.presetsSkipped };
}

export interface PoolBuild {
  readonly workspaceId: string;
  readonly buildId: string;
  readonly transition: 'start' | 'stop' | 'delete';
  readonly name: string;
}

/** Builds of prebuilds of the template that wait or run, oldest first. */
export async function activePoolBuilds(db: Db, templateId: string): Promise<PoolBuild[]> {
  return db
    .select({
      workspaceId: workspaces.id,
      buildId: workspaceBuilds.id,
      transition: workspaceBuilds.transition,
      name: workspaces.name,
    })
    .from(workspaces)
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.id, workspaces.latestBuildId))
    .where(
      and(
        eq(workspaces.templateId, templateId),
        eq(workspaces.ownerId, PREBUILDS_SYSTEM_USER_ID),
        eq(workspaces.deleted, false),
        eq(workspaceBuilds.active, true),
      ),
    )
    .orderBy(workspaces.createdAt, workspaces.id);
}

/** Ends all builds of the template's prebuilds; starts that succeed get an agent in the given state. */
export async function finishPoolBuilds(
  api: TestApi,
  templateId: string,
  end: { error?: string; agent?: 'ready' | 'starting' | 'start_error' | 'created' | null } = {},
): Promise<TestAgent[]> {
  const { error, agent = 'ready' } = end;
  const agents: TestAgent[] = [];
  for (const build of await activePoolBuilds(api.db, templateId)) {
    await endBuild(api.db, build.buildId, error === undefined ? {} : { error });
    if (build.transition !== 'start' || error !== undefined || agent === null) continue;
    agents.push(await readyAgent(api, build.workspaceId, agent));
  }
  return agents;
}

export async function readyAgent(
  api: TestApi,
  workspaceId: string,
  lifecycleState: 'ready' | 'starting' | 'start_error' | 'created' = 'ready',
): Promise<TestAgent> {
  const now = new Date();
  const columns = { lifecycleState, startedAt: now, readyAt: lifecycleState === 'ready' ? now : null };
  return insertAgentOf(api, workspaceId, { connectedAt: now, columns });
}

/** Runs cycles until the pool is full: creates, finishes the builds, and makes their agents ready. */
export async function fillPool(api: TestApi, pool: TestPool): Promise<string[]> {
  await runCycle(prebuildDeps(api));
  const agents = await finishPoolBuilds(api, pool.templateId);
  return agents.map(({ workspaceId }) => workspaceId);
}

/** Live prebuilds of the template: id → latest transition and whether it is over. */
export async function listPrebuilds(db: Db, templateId: string) {
  return db.execute<{
    id: string;
    name: string;
    transition: string;
    status: string;
    version_id: string;
    reason: string;
    initiator_id: string;
    stage: string;
  }>(sql`
    select w.id, w.name, b.transition, j.job_status as status, b.template_version_id as version_id, b.reason, b.initiator_id,
      b.prebuild_stage as stage
    from workspaces w join workspace_builds b on b.id = w.latest_build_id join provisioner_jobs j on j.id = b.job_id
    where w.template_id = ${templateId} and w.owner_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid and not w.deleted
    order by w.created_at, w.id`);
}
