import { sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { ClaimDependencies } from '../../domain/provisioned.ts';
import type { Db } from '../client.ts';
import { toUuids } from '../json.ts';
import { currentPreset, isLivePrebuild, isRunning } from './prebuilds.ts';

export interface ClaimWish {
  readonly templateId: string;
  /** The active one: of others nothing is given away. */
  readonly versionId: string;
  readonly presetId: string;
  /** Prebuilds made before this have expired; null = none expires. */
  readonly madeSince: Date | null;
  /** Values that cannot be changed afterwards and that the caller asks for. */
  readonly immutable: readonly { readonly name: string; readonly value: string }[];
}

/** All its top-level agents are ready, there is one, and none has gone away since. One without a word of its connection is taken as it is. */
const isReadyToClaim = sql`coalesce((
  select bool_and(a.lifecycle_state = 'ready' and (c.disconnected_at > coalesce(c.last_connected_at, '-infinity')) is not true)
  from workspace_resources r
  join live_workspace_agents a on a.resource_id = r.id and a.parent_id is null
  left join workspace_agent_connections c on c.agent_id = a.id
  where r.job_id = b.job_id), false)`;

/** What the rows of workspace, latest build and job say. */
const isPossible = (
  wish: ClaimWish,
) => sql`${isLivePrebuild} and w.template_id = ${wish.templateId} and w.dormant_at is null
  and ${isRunning} and b.template_version_id = ${wish.versionId} and ${currentPreset} = ${wish.presetId}
  and w.created_at >= ${wish.madeSince?.toISOString() ?? '-infinity'}::timestamptz`;

/** What has to be looked up for each. */
const isSuitable = (wish: ClaimWish) => sql`${isReadyToClaim}
  and not exists (
    select from json_to_recordset(${JSON.stringify(wish.immutable)}::text::json) as v(name text, value text)
    join workspace_build_parameters p on p.workspace_build_id = b.id and p.name = v.name and p.value <> v.value)`;

/** Joined through the pointer that every build moves, so that the row lock covers which build is the latest (spec/03 §11.2). */
const candidates = sql`workspaces w
  join workspace_builds b on b.id = w.latest_build_id
  join provisioner_jobs j on j.id = b.job_id`;

/**
 * The oldest prebuild that fits and that nobody else is taking, locked; those in `tried` are left out. Those that are possible are
 * put in order first (`offset 0` keeps them apart), so that what is dear is asked of the first few only, not of the whole pool.
 */
export async function lockCandidate(tx: Db, wish: ClaimWish, tried: readonly string[]): Promise<string | undefined> {
  const [row] = await tx.execute<{ id: string }>(sql`
    select w.id from (
      select w.id as workspace_id, w.created_at, b.id, b.job_id from ${candidates}
      where ${isPossible(wish)} and not (w.id = any(${toUuids(tried)}::uuid[]))
      order by w.created_at, w.id offset 0) b
    join workspaces w on w.id = b.workspace_id and w.latest_build_id = b.id and ${isLivePrebuild}
    where ${isSuitable(wish)}
    order by b.created_at, b.workspace_id limit 1 for update of w skip locked`);
  return row?.id;
}

export interface Candidate {
  readonly name: string;
  /** Top-level agents. */
  readonly agents: readonly { readonly id: string; readonly name: string }[];
  readonly instantClaim: boolean;
  readonly dependencies: ClaimDependencies | null;
  /** Credits a day, which its new owner's budget has to have. */
  readonly dailyCost: number;
  /** Values of its build. */
  readonly parameters: readonly { readonly name: string; readonly value: string }[];
}

/**
 * What the claim goes by, of a locked candidate that still fits: the lock was granted on an older view of what it does not cover.
 * undefined = it does not fit any more.
 */
export async function recheckCandidate(tx: Db, wish: ClaimWish, id: string): Promise<Candidate | undefined> {
  const [row] = await tx.execute<{
    name: string;
    agents: Candidate['agents'];
    instant_claim: boolean;
    dependencies: ClaimDependencies | null;
    daily_cost: number;
    parameters: Candidate['parameters'];
  }>(sql`
    select w.name, t.instant_claim, v.claim_dependencies as dependencies, b.daily_cost, (
      select coalesce(json_agg(json_build_object('name', p.name, 'value', p.value) order by p.name), '[]')
      from workspace_build_parameters p where p.workspace_build_id = b.id) as parameters, (
      select coalesce(json_agg(json_build_object('id', a.id, 'name', a.name) order by a.id), '[]')
      from workspace_resources r
      join live_workspace_agents a on a.resource_id = r.id and a.parent_id is null
      where r.job_id = b.job_id) as agents
    from ${candidates}
    join templates t on t.id = w.template_id
    left join template_version_terraform_values v on v.template_version_id = b.template_version_id
    where w.id = ${id} and ${isPossible(wish)} and ${isSuitable(wish)}`);
  return row === undefined
    ? undefined
    : {
        name: row.name,
        agents: row.agents,
        instantClaim: row.instant_claim,
        dependencies: row.dependencies,
        dailyCost: row.daily_cost,
        parameters: row.parameters,
      };
}

export interface NewOwner {
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly name: string;
  readonly autostartSchedule: string | null;
  readonly nextStartAt: Date | null;
  readonly ttlMs: number | null;
  readonly automaticUpdates: 'always' | 'never';
  readonly now: Date;
}

/** Gives the locked prebuild to its owner; nothing of the time before counts as use. A taken name violates `workspaces_owner_name_idx`. */
export async function giveWorkspace(tx: Db, to: NewOwner): Promise<void> {
  const now = to.now.toISOString();
  const rows = await tx.execute(sql`
    update workspaces set owner_id = ${to.ownerId}, name = ${to.name}, updated_at = ${now}, last_used_at = ${now},
      claimed_at = ${now}, autostart_schedule = ${to.autostartSchedule}, ttl_ms = ${to.ttlMs},
      next_start_at = ${to.nextStartAt?.toISOString() ?? null},
      dormant_at = null, deleting_at = null, automatic_updates = ${to.automaticUpdates}::automatic_updates,
      favorite = false, user_acl = '{}', group_acl = '{}'
    where id = ${to.workspaceId} and owner_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid and not deleted returning id`);
  if (rows.length === 0) throw new Error(`workspace ${to.workspaceId} is not a prebuild, though it was locked as one`);
}

/**
 * Hands the agent of a prebuild to its new owner before Terraform has run: the claim's build gets copies of the resources, the
 * agent with all its children hangs below them and begins anew, with these variables. Sub-agents were the old identity's. One
 * statement: its parts touch different rows.
 */
export async function handOverAgents(
  tx: Db,
  input: {
    readonly fromJobId: string;
    readonly toJobId: string;
    readonly environment: readonly { readonly agentId: string; readonly variables: Readonly<Record<string, string>> }[];
    readonly now: Date;
  },
): Promise<void> {
  const now = input.now.toISOString();
  await tx.execute(sql`
    with old as materialized (
      select r.*, gen_random_uuid() as copy from workspace_resources r where r.job_id = ${input.fromJobId}
    ), copied as (
      insert into workspace_resources (id, created_at, job_id, transition, type, name, hide, icon, instance_type, daily_cost, module_path)
      select copy, ${now}, ${input.toJobId}, transition, type, name, hide, icon, instance_type, daily_cost, module_path from old
    ), described as (
      insert into workspace_resource_metadata (workspace_resource_id, key, value, sensitive)
      select old.copy, m.key, m.value, m.sensitive
      from workspace_resource_metadata m join old on old.id = m.workspace_resource_id order by m.id
    ), ended as (
      update workspace_agents a set deleted = true
      from old where a.resource_id = old.id and a.parent_id is not null and a.deleted = false
    )
    update workspace_agents a set resource_id = old.copy, updated_at = ${now}, lifecycle_state = 'created',
      lifecycle_changed_at = null, started_at = null, ready_at = null,
      environment_variables = coalesce(a.environment_variables, '{}') || coalesce((
        select e.variables from json_to_recordset(${JSON.stringify(input.environment)}::text::json) as e("agentId" uuid, variables jsonb)
        where e."agentId" = a.id), '{}')
    from old where a.resource_id = old.id and a.parent_id is null and a.deleted = false`);
}

/** The copies of a claim that was handed over, once Terraform has told what there really is; agents below them are gone. */
export async function dropCopiedResources(tx: Db, jobId: string, kept: readonly string[]): Promise<void> {
  await tx.execute(sql`
    delete from workspace_resources where job_id = ${jobId} and not (id = any(${toUuids(kept)}::uuid[]))`);
}

export interface ClaimReport {
  /** Address → attribute paths; null = nothing is replaced. */
  readonly replacements: Readonly<Record<string, readonly string[]>> | null;
  /** What Terraform changes behind an agent that was handed over; null = it was not. */
  readonly drift: readonly string[] | null;
}

/** Fenced; false = another attempt owns the job. */
export async function setClaimReport(
  db: Db,
  input: { buildId: string; jobId: string; attempt: number; report: ClaimReport },
): Promise<boolean> {
  const { buildId, jobId, attempt, report } = input;
  const json = (value: unknown) => (value === null ? null : JSON.stringify(value));
  const rows = await db.execute(sql`
    update workspace_builds set resource_replacements = ${json(report.replacements)}::text::jsonb,
      claim_drift = ${json(report.drift)}::text::jsonb
    where id = ${buildId} and exists (
      select from provisioner_jobs where id = ${jobId} and attempt = ${attempt} and completed_at is null)
    returning id`);
  return rows.length > 0;
}

/** What the claim's plan replaces, once it was looked at; null = nothing. */
export async function findReplacementsOf(db: Db, buildId: string): Promise<Record<string, string[]> | null> {
  const [row] = await db.execute<{ replacements: Record<string, string[]> | null }>(sql`
    select resource_replacements as replacements from workspace_builds where id = ${buildId}`);
  return row?.replacements ?? null;
}
