import { type SQL, and, desc, eq, lt, sql } from 'drizzle-orm';
import type { Transition } from '../../domain/jobs.ts';
import { type Db, pipelined, preparedQuery } from '../client.ts';
import { toJson } from '../json.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import {
  templateVersionTerraformValues,
  templateVersionVariables,
  templateVersions,
  templates,
} from '../schema/templates.ts';
import { gitsshkeys, organizationMembers, organizations, users } from '../schema/users.ts';
import { workspaceBuildParameters, workspaceBuilds, workspaces } from '../schema/workspaces.ts';
import { archiveHashOfVersion, modulesHashOfVersion } from './template-versions.ts';

export interface NewBuild {
  id: string;
  workspaceId: string;
  jobId: string;
  templateVersionId: string;
  buildNumber: number;
  transition: Transition;
  reason: NonNullable<(typeof workspaceBuilds.$inferInsert)['reason']>;
  initiatorId: string;
  templateVersionPresetId: string | null;
  prebuildStage: 'none' | 'create' | 'claim';
  handedOver?: boolean;
  /** Reads the world into the state and changes nothing. */
  refreshOnly?: boolean;
  deadline?: Date | null;
  maxDeadline?: Date | null;
  parameters: readonly { name: string; value: string }[];
  now: Date;
}

/**
 * Inserts the next builds of workspaces whose rows the caller has locked, one of each, moves latest flags and pointers. The unique
 * index on `active` refuses a second active build with SQLSTATE 23505, `workspace_builds_active_idx`.
 */
export async function insertBuilds(tx: Db, builds: readonly NewBuild[]): Promise<void> {
  const rows = builds.map((build) => ({
    id: build.id,
    workspace_id: build.workspaceId,
    job_id: build.jobId,
    template_version_id: build.templateVersionId,
    build_number: build.buildNumber,
    transition: build.transition,
    reason: build.reason,
    initiator_id: build.initiatorId,
    template_version_preset_id: build.templateVersionPresetId,
    prebuild_stage: build.prebuildStage,
    handed_over: build.handedOver ?? false,
    refresh_only: build.refreshOnly ?? false,
    deadline: build.deadline ?? null,
    max_deadline: build.maxDeadline ?? null,
    created_at: build.now,
    updated_at: build.now,
  }));
  const parameters = builds.flatMap((build) =>
    build.parameters.map(({ name, value }) => ({ workspace_build_id: build.id, name, value })),
  );
  const given = toJson(rows);
  const recordset = sql`json_populate_recordset(null::workspace_builds, ${given}::text::json)`;
  await pipelined([
    tx.execute(sql`
      update workspace_builds b set is_latest = false from ${recordset} n
      where b.workspace_id = n.workspace_id and b.is_latest`),
    tx.execute(sql`
      insert into workspace_builds (id, workspace_id, job_id, template_version_id, build_number, transition, reason, initiator_id,
        template_version_preset_id, prebuild_stage, handed_over, refresh_only, deadline, max_deadline, created_at, updated_at)
      select id, workspace_id, job_id, template_version_id, build_number, transition, reason, initiator_id,
        template_version_preset_id, prebuild_stage, handed_over, refresh_only, deadline, max_deadline, created_at, updated_at
      from ${recordset}`),
    parameters.length > 0 &&
      tx.execute(sql`
        insert into workspace_build_parameters (workspace_build_id, name, value) select workspace_build_id, name, value
        from json_populate_recordset(null::workspace_build_parameters, ${toJson(parameters)}::text::json)`),
    tx.execute(sql`
      update workspaces w set latest_build_id = n.id, failed_at = null, updated_at = n.created_at from ${recordset} n
      where w.id = n.workspace_id`),
  ]);
}

/** What the latest build of a workspace is, for the decisions of a new one. */
export async function findLatestBuild(db: Db, workspaceId: string): Promise<LatestBuild | undefined> {
  const [row] = await latestBuilds(db, { workspaceId });
  return row;
}
const selectLatestBuilds = (db: Db) =>
  db
    .select({
      id: workspaceBuilds.id,
      buildNumber: workspaceBuilds.buildNumber,
      transition: workspaceBuilds.transition,
      templateVersionId: workspaceBuilds.templateVersionId,
      templateVersionPresetId: workspaceBuilds.templateVersionPresetId,
      jobId: workspaceBuilds.jobId,
      jobStatus: provisionerJobs.jobStatus,
      jobCompletedAt: provisionerJobs.completedAt,
      active: workspaceBuilds.active,
      refreshOnly: workspaceBuilds.refreshOnly,
      deadline: workspaceBuilds.deadline,
      maxDeadline: workspaceBuilds.maxDeadline,
      hasAiTask: workspaceBuilds.hasAiTask,
      aiTaskAppId: workspaceBuilds.aiTaskAppId,
    })
    .from(workspaceBuilds)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .where(and(eq(workspaceBuilds.workspaceId, sql.placeholder('workspaceId')), eq(workspaceBuilds.isLatest, true)));
export type LatestBuild = Awaited<ReturnType<typeof selectLatestBuilds>>[number];
const latestBuilds = preparedQuery<{ workspaceId: string }, LatestBuild>((db) =>
  selectLatestBuilds(db).prepare('latest_build'),
);

/** How far the handing over of a claimed workspace has come. */
export async function findClaimProgress(db: Db, workspaceId: string) {
  const [row] = await db
    .select({
      /** Its agent runs for the new owner, or soon will: a start since the claim succeeded. */
      succeeded: sql<boolean>`coalesce(bool_or(${provisionerJobs.jobStatus} = 'succeeded'), false)`,
      handedOver: sql<boolean>`coalesce(bool_or(${workspaceBuilds.handedOver}), false)`,
    })
    .from(workspaceBuilds)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .where(and(eq(workspaceBuilds.workspaceId, workspaceId), eq(workspaceBuilds.prebuildStage, 'claim')));
  return row!;
}

export async function listBuildParameters(db: Db, buildId: string): Promise<{ name: string; value: string }[]> {
  return db
    .select({ name: workspaceBuildParameters.name, value: workspaceBuildParameters.value })
    .from(workspaceBuildParameters)
    .where(eq(workspaceBuildParameters.workspaceBuildId, buildId))
    .orderBy(workspaceBuildParameters.name);
}

/** Build → its job and workspace. */
export async function findBuild(db: Db, buildId: string) {
  const [row] = await db
    .select({
      id: workspaceBuilds.id,
      workspaceId: workspaceBuilds.workspaceId,
      jobId: workspaceBuilds.jobId,
      buildNumber: workspaceBuilds.buildNumber,
      transition: workspaceBuilds.transition,
      active: workspaceBuilds.active,
      isLatest: workspaceBuilds.isLatest,
    })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.id, buildId));
  return row;
}

const parametersOf = (build: SQL) => sql<{ name: string; value: string }[]>`coalesce((
  select jsonb_agg(jsonb_build_object('name', p.name, 'value', p.value) order by p.name)
  from workspace_build_parameters p where p.workspace_build_id = ${build}), '[]')`;

/** Everything a run of a build needs except archives and state: one statement, because nothing waits for less. */
export async function getBuildRun(db: Db, jobId: string) {
  const [row] = await buildRuns(db, { jobId });
  return row;
}
const selectBuildRuns = (db: Db) =>
  db
    .select({
      build: {
        id: workspaceBuilds.id,
        number: workspaceBuilds.buildNumber,
        transition: workspaceBuilds.transition,
        reason: workspaceBuilds.reason,
        prebuildStage: workspaceBuilds.prebuildStage,
        handedOver: workspaceBuilds.handedOver,
        presetId: workspaceBuilds.templateVersionPresetId,
        presetName: sql<string>`coalesce((
          select p.name from template_version_presets p where p.id = ${workspaceBuilds.templateVersionPresetId}), '')`,
        refreshOnly: workspaceBuilds.refreshOnly,
        dailyCost: workspaceBuilds.dailyCost,
      },
      workspace: {
        id: workspaces.id,
        name: workspaces.name,
        ownerId: workspaces.ownerId,
        organizationId: workspaces.organizationId,
        ttlMs: workspaces.ttlMs,
        dormantAt: workspaces.dormantAt,
      },
      owner: {
        id: users.id,
        username: users.username,
        name: users.name,
        email: users.email,
        loginType: users.loginType,
        rbacRoles: users.rbacRoles,
        isSystem: users.isSystem,
        sshPublicKey: gitsshkeys.publicKey,
        sshPrivateKey: gitsshkeys.privateKey,
        organizationRoles: organizationMembers.roles,
      },
      organization: { id: organizations.id, name: organizations.name },
      template: { id: templates.id, name: templates.name, disableModuleCache: templates.disableModuleCache },
      version: {
        id: templateVersions.id,
        name: templateVersions.name,
        jobId: templateVersions.jobId,
        references: templateVersionTerraformValues.references,
        cachedModuleFiles: templateVersionTerraformValues.cachedModuleFiles,
        lockFile: templateVersionTerraformValues.lockFile,
        archiveHash: archiveHashOfVersion,
        modulesHash: modulesHashOfVersion,
        variables: sql<VersionVariable[]>`coalesce((
          select jsonb_agg(jsonb_build_object('name', v.name, 'value', v.value, 'valueKeyId', v.value_key_id,
            'sensitive', v.sensitive, 'required', v.required) order by v.name)
          from template_version_variables v where v.template_version_id = ${templateVersions.id}), '[]')`,
      },
      parameters: parametersOf(sql`${workspaceBuilds.id}`),
      /** Of the build before, for monotonic checks inside the provider. */
      previousParameters: parametersOf(sql`(
        select b.id from workspace_builds b
        where b.workspace_id = ${workspaceBuilds.workspaceId} and b.build_number = ${workspaceBuilds.buildNumber} - 1)`),
      groups: sql<string[]>`coalesce((
        select array_agg(g.name order by g.name) from groups g
        where g.organization_id = ${workspaces.organizationId}
          and (g.id = g.organization_id or exists (select 1 from group_members m where m.group_id = g.id and m.user_id = ${workspaces.ownerId}))
      ), '{}')`,
    })
    .from(workspaceBuilds)
    .innerJoin(workspaces, eq(workspaces.id, workspaceBuilds.workspaceId))
    .innerJoin(users, eq(users.id, workspaces.ownerId))
    .innerJoin(organizations, eq(organizations.id, workspaces.organizationId))
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .innerJoin(templateVersions, eq(templateVersions.id, workspaceBuilds.templateVersionId))
    .leftJoin(templateVersionTerraformValues, eq(templateVersionTerraformValues.templateVersionId, templateVersions.id))
    .leftJoin(gitsshkeys, eq(gitsshkeys.userId, users.id))
    .leftJoin(
      organizationMembers,
      and(eq(organizationMembers.userId, users.id), eq(organizationMembers.organizationId, workspaces.organizationId)),
    )
    .where(eq(workspaceBuilds.jobId, sql.placeholder('jobId')));
const buildRuns = preparedQuery<{ jobId: string }, Awaited<ReturnType<typeof selectBuildRuns>>[number]>((db) =>
  selectBuildRuns(db).prepare('build_run'),
);
/** As it is stored: `value` is sealed when it has a key. */
interface VersionVariable {
  name: string;
  value: string;
  valueKeyId: string;
  sensitive: boolean;
  required: boolean;
}
export type BuildRun = NonNullable<Awaited<ReturnType<typeof getBuildRun>>>;

/** Parameters of the newest build below `buildNumber` that succeeded as a start: values that Terraform has accepted. */
export async function listAcceptedParameters(db: Db, workspaceId: string, buildNumber: number) {
  const [build] = await db
    .select({ id: workspaceBuilds.id })
    .from(workspaceBuilds)
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .where(
      and(
        eq(workspaceBuilds.workspaceId, workspaceId),
        lt(workspaceBuilds.buildNumber, buildNumber),
        eq(workspaceBuilds.transition, 'start'),
        eq(provisionerJobs.jobStatus, 'succeeded'),
      ),
    )
    .orderBy(desc(workspaceBuilds.buildNumber))
    .limit(1);
  return build === undefined ? [] : listBuildParameters(db, build.id);
}

export async function listVersionVariables(db: Db, templateVersionId: string) {
  return db
    .select({
      name: templateVersionVariables.name,
      value: templateVersionVariables.value,
      valueKeyId: templateVersionVariables.valueKeyId,
      description: templateVersionVariables.description,
      type: templateVersionVariables.type,
      defaultValue: templateVersionVariables.defaultValue,
      required: templateVersionVariables.required,
      sensitive: templateVersionVariables.sensitive,
    })
    .from(templateVersionVariables)
    .where(eq(templateVersionVariables.templateVersionId, templateVersionId))
    .orderBy(templateVersionVariables.name);
}

/** What a run finds of a build. */
export interface BuildOutcome {
  readonly dailyCost?: number;
  readonly hasAiTask?: boolean;
  readonly hasExternalAgent?: boolean;
  readonly aiTaskAppId?: string | null;
}

/** Marks the build over (it may no longer be active) and writes what its run found. Part of the completion transaction. */
export async function finishBuildRow(
  tx: Db,
  buildId: string,
  outcome: BuildOutcome & { readonly deadline?: Date | null; readonly maxDeadline?: Date | null } = {},
): Promise<void> {
  await tx
    .update(workspaceBuilds)
    .set({ active: false, updatedAt: sql`now()`, ...outcome })
    .where(eq(workspaceBuilds.id, buildId));
}

/** Adds addresses to those that may exist outside of the state; fenced, repeatable. */
export async function addPossibleOrphans(
  db: Db,
  input: { buildId: string; jobId: string; attempt: number; addresses: readonly string[] },
): Promise<void> {
  const { buildId, jobId, attempt, addresses } = input;
  await db.execute(sql`
    update workspace_builds set possible_orphans = (
      select jsonb_agg(distinct address order by address)
      from jsonb_array_elements_text(possible_orphans || ${JSON.stringify(addresses)}::text::jsonb) address)
    where id = ${buildId} and exists (
      select from provisioner_jobs where id = ${jobId} and attempt = ${attempt} and completed_at is null)`);
}

/**
 * The same for a job that is ended without a run: whatever its apply made and nobody saw in a stored state (domain/continuation.ts).
 */
export async function reportUnsettled(tx: Db, jobId: string): Promise<void> {
  await tx.execute(sql`
    update workspace_builds b set possible_orphans = (
      select coalesce(jsonb_agg(distinct address order by address), '[]')
      from jsonb_array_elements_text(b.possible_orphans || j.unsettled) address)
    from provisioner_jobs j where j.id = ${jobId} and b.job_id = j.id and jsonb_array_length(j.unsettled) > 0`);
}

/** AI-task fields that a stop inherits from the build before it (spec/02 §2.8). */
export async function findAiTaskBefore(tx: Db, workspaceId: string, buildNumber: number) {
  const [row] = await tx
    .select({ hasAiTask: workspaceBuilds.hasAiTask, aiTaskAppId: workspaceBuilds.aiTaskAppId })
    .from(workspaceBuilds)
    .where(and(eq(workspaceBuilds.workspaceId, workspaceId), sql`${workspaceBuilds.buildNumber} < ${buildNumber}`))
    .orderBy(desc(workspaceBuilds.buildNumber))
    .limit(1);
  return row;
}

/** Template settings that decide about one of its builds. */
export async function getBuildTemplate(db: Db, buildId: string) {
  const [row] = await db
    .select({
      id: templates.id,
      organizationId: templates.organizationId,
      allowUserCancelWorkspaceJobs: templates.allowUserCancelWorkspaceJobs,
      userAcl: templates.userAcl,
      groupAcl: templates.groupAcl,
    })
    .from(workspaceBuilds)
    .innerJoin(workspaces, eq(workspaces.id, workspaceBuilds.workspaceId))
    .innerJoin(templates, eq(templates.id, workspaces.templateId))
    .where(eq(workspaceBuilds.id, buildId));
  return row!;
}
