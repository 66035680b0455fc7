import { createHash } from 'node:crypto';
import type postgres from 'postgres';

/** Uuids without order, as in production, that the drivers know without asking. */
const uuidOf = (text: string): string => {
  const hex = createHash('md5').update(text).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20)].join('-');
};
export const agentIdOf = (n: number): string => uuidOf(`agent-${n}`);
export const agentTokenOf = (n: number): string => uuidOf(`token-${n}`);

/** The first one's value is when it was sent. */
export const metadataKeys = ['0_sent_at', '1_cpu', '2_memory', '3_disk'] as const;

/**
 * One template; running workspaces of one owner, each with a succeeded start build and an agent 1..count with four metadata
 * keys.
 */
export async function insertAgents(
  sql: postgres.Sql,
  { count, deadlineHours }: { count: number; deadlineHours: number },
): Promise<void> {
  await sql.begin(async (tx) => {
    const [base] = await tx<{ org: string; owner: string; file: string; job: string; version: string; id: string }[]>`
      select o.id as org, u.id as owner, gen_random_uuid() as file, gen_random_uuid() as job, gen_random_uuid() as version,
        gen_random_uuid() as id from organizations o, users u where o.is_default and not u.is_system limit 1`;
    const { org, owner, file, job, version, id } = base!;
    await tx`insert into files (id, hash, created_by, mimetype, data, created_at)
      values (${file}, repeat('0', 64), ${owner}, 'application/x-tar', '', now())`;
    await tx`insert into provisioner_jobs (id, organization_id, initiator_id, provisioner, type, input, file_id, started_at, completed_at, workflow_id, priority)
      values (${job}, ${org}, ${owner}, 'terraform', 'template_version_import', '{}', ${file}, now(), now(), 'bench', 1)`;
    await tx`insert into template_versions (id, created_at, updated_at, organization_id, name, job_id, created_by)
      values (${version}, now(), now(), ${org}, 'bench', ${job}, ${owner})`;
    await tx`insert into templates (id, created_at, updated_at, organization_id, name, provisioner, active_version_id, created_by)
      values (${id}, now(), now(), ${org}, 'bench', 'terraform', ${version}, ${owner})`;
    await tx`update template_versions set template_id = ${id} where id = ${version}`;
    await tx`create temporary table made on commit drop as
      select n, gen_random_uuid() as workspace_id, gen_random_uuid() as build_id, gen_random_uuid() as job_id,
        gen_random_uuid() as resource_id,
        overlay(overlay(md5('agent-' || n) placing '4' from 13) placing '8' from 17)::uuid as agent_id,
        overlay(overlay(md5('token-' || n) placing '4' from 13) placing '8' from 17)::uuid as token
      from generate_series(1, ${count}::int) n`;
    await tx`insert into provisioner_jobs (id, organization_id, initiator_id, provisioner, type, input, file_id, started_at, completed_at, workflow_id, priority)
      select job_id, ${org}, ${owner}, 'terraform', 'workspace_build', '{}', ${file}, now(), now(), 'bench/' || n, 1 from made`;
    await tx`insert into workspaces (id, created_at, updated_at, owner_id, organization_id, template_id, name, last_used_at, latest_build_id)
      select workspace_id, now(), now(), ${owner}, ${org}, ${id}, 'bench-' || n, now(), build_id from made`;
    await tx`insert into workspace_builds (id, created_at, updated_at, workspace_id, build_number, template_version_id, transition, initiator_id, job_id, active, deadline)
      select build_id, now(), now(), workspace_id, 1, ${version}, 'start', ${owner}, job_id, false, now() + ${deadlineHours}::float8 * interval '1 hour' from made`;
    await tx`insert into workspace_resources (id, created_at, job_id, transition, type, name)
      select resource_id, now(), job_id, 'start', 'terraform_data', 'machine' from made`;
    await tx`insert into workspace_agents (id, created_at, updated_at, resource_id, name, auth_token_hash, auth_token_enc, architecture, operating_system, display_apps, lifecycle_state)
      select agent_id, now(), now(), resource_id, 'main', sha256(token::text::bytea), '', 'amd64', 'linux', '{}', 'ready' from made`;
    await tx`insert into workspace_agent_connections (agent_id) select agent_id from made`;
    await tx`insert into workspace_agent_metadata (workspace_agent_id, key, display_name, script, timeout, interval, display_order)
      select agent_id, key, key, 'echo ' || key, 1, 30, position from made, unnest(${[...metadataKeys]}::text[]) with ordinality as k(key, position)`;
  });
  await sql`vacuum analyze`;
}
