import type postgres from 'postgres';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';

export interface PoolRows {
  /** Starts the names of templates. */
  readonly name: string;
  readonly presets: number;
  /** Whether the presets belong to the active versions of their templates. */
  readonly active: boolean;
  readonly desired: number;
  /** Prebuilds of each preset that run and whose agent is ready. */
  readonly ready: number;
  readonly presetsPerTemplate?: number;
  /** Tags of the version: builds wait for a provisioner that has them. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Nothing depends on the owner: the agent is handed over at the claim. */
  readonly pure?: boolean;
}

export interface InsertedPreset {
  readonly id: string;
  readonly templateId: string;
  readonly versionId: string;
}

/**
 * Templates of the default organization with presets that have pools, as imports, cycles and agents would have left them: each
 * prebuild with a succeeded start build and one agent. Nothing of it was built.
 */
export async function insertPools(sql: postgres.Sql, rows: PoolRows): Promise<readonly InsertedPreset[]> {
  const { name, presets, active, desired, ready, presetsPerTemplate = 5, tags = {}, pure = false } = rows;
  const prebuilds = PREBUILDS_SYSTEM_USER_ID;
  const templates = Math.ceil(presets / presetsPerTemplate);
  const inserted = await sql.begin(async (tx) => {
    await tx`create temporary table base on commit drop as
      select o.id as org, gen_random_uuid() as file from organizations o where o.is_default`;
    await tx`insert into files (id, hash, created_by, mimetype, data, created_at)
      select file, md5(file::text) || md5(${name}), ${prebuilds}::uuid, 'application/x-tar', '', now() from base`;
    // Version 0 has the presets; a dead one was followed by version 1, which has none.
    await tx`create temporary table versions on commit drop as
      select t.n, v.v, t.id as template_id, gen_random_uuid() as id, gen_random_uuid() as job_id, v.v = ${active ? 0 : 1} as active
      from (select n, gen_random_uuid() as id from generate_series(1, ${templates}::int) n) t,
        generate_series(0, ${active ? 0 : 1}::int) as v(v)`;
    await tx`insert into provisioner_jobs (id, organization_id, initiator_id, provisioner, type, input, file_id, started_at, completed_at, workflow_id, priority, tags)
      select v.job_id, org, ${prebuilds}::uuid, 'terraform', 'template_version_import', '{}', file, now(), now(), 'import/' || v.id, 2,
        ${tx.json({ scope: 'organization', owner: '', ...tags })}::jsonb
      from versions v, base`;
    await tx`insert into template_versions (id, created_at, updated_at, organization_id, name, job_id, created_by)
      select v.id, now(), now(), org, 'v' || v, v.job_id, ${prebuilds}::uuid from versions v, base`;
    await tx`insert into templates (id, created_at, updated_at, organization_id, name, provisioner, active_version_id, created_by)
      select template_id, now(), now(), org, ${name} || '-' || n, 'terraform', v.id, ${prebuilds}::uuid from versions v, base where active`;
    await tx`update template_versions t set template_id = v.template_id from versions v where v.id = t.id`;
    if (pure)
      await tx`insert into template_version_terraform_values (template_version_id, updated_at, cached_plan, template_references, claim_dependencies)
        select id, now(), '{}', '{}', '{"dependents":[],"environment":[]}' from versions`;
    await tx`create temporary table pools on commit drop as
      select p, gen_random_uuid() as id, v.id as version_id, v.template_id
      from generate_series(1, ${presets}::int) p
      join versions v on v.v = 0 and v.n = (p - 1) / ${presetsPerTemplate}::int + 1`;
    await tx`insert into template_version_presets (id, template_version_id, name, created_at, desired_instances)
      select id, version_id, 'pool-' || p, now(), ${desired}::int from pools`;
    await tx`create temporary table made on commit drop as
      select p.id as preset_id, p.version_id, p.template_id, row_number() over (order by p, n) as n, gen_random_uuid() as workspace_id,
        gen_random_uuid() as build_id, gen_random_uuid() as job_id, gen_random_uuid() as resource_id, gen_random_uuid() as agent_id
      from pools p, generate_series(1, ${ready}::int) n`;
    await tx`insert into provisioner_jobs (id, organization_id, initiator_id, provisioner, type, input, file_id, started_at, completed_at, workflow_id, priority)
      select job_id, org, ${prebuilds}::uuid, 'terraform', 'workspace_build', '{}', file, now(), now(), 'build/' || build_id, 4 from made, base`;
    await tx`insert into workspaces (id, created_at, updated_at, owner_id, organization_id, template_id, name, last_used_at, latest_build_id)
      select workspace_id, now() - interval '1 minute' + n * interval '1 ms', now(), ${prebuilds}::uuid, org, template_id,
        'prebuild-' || replace(workspace_id::text, '-', ''), now(), build_id from made, base`;
    await tx`insert into workspace_builds (id, created_at, updated_at, workspace_id, build_number, template_version_id, transition, initiator_id, job_id, active, template_version_preset_id, prebuild_stage)
      select build_id, now(), now(), workspace_id, 1, version_id, 'start', ${prebuilds}::uuid, job_id, false, preset_id, 'create' from made`;
    await tx`insert into workspace_resources (id, created_at, job_id, transition, type, name)
      select resource_id, now(), job_id, 'start', 'terraform_data', 'machine' from made`;
    await tx`insert into workspace_agents (id, created_at, updated_at, resource_id, name, auth_token_hash, auth_token_enc, architecture, operating_system, display_apps, lifecycle_state, started_at, ready_at)
      select agent_id, now(), now(), resource_id, 'main', sha256(agent_id::text::bytea), '', 'amd64', 'linux', '{}', 'ready', now(), now() from made`;
    await tx`insert into workspace_agent_connections (agent_id, first_connected_at, last_connected_at) select agent_id, now(), now() from made`;
    return tx<
      InsertedPreset[]
    >`select id, template_id as "templateId", version_id as "versionId" from pools order by p`;
  });
  await sql`vacuum analyze`;
  return [...inserted];
}
