import postgres from 'postgres';
import { randomUUID } from 'node:crypto';
import { quantile, report, timed } from './report.ts';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { apiOf } from './stack.ts';

const workspaceCount = 10_000;
const template = 'local-process';

/**
 * `GET /workspaces` over HTTP with 10,000 workspaces against the bare SQL that finds and reads such a page, interleaved:
 * pages of 25 and 100, and the sweep over all pages of 1,000.
 */
export async function benchList({ runs = 200 }: { runs: number | undefined }): Promise<void> {
  await withThrowawayStack(async (stack, postgresUrl) => {
    const api = apiOf(stack);
    const sql = postgres(postgresUrl, { max: 1 });
    try {
      console.error(`inserting ${workspaceCount} workspaces`);
      await insertWorkspaces(sql);
      const owner = await api.get<{ id: string }>('/users/me');
      const page = (limit: number, offset: number) => ({
        ours: () => api.get(`/workspaces?limit=${limit}&offset=${offset}`),
        bare: () => barePage(sql, { ownerId: owner.id, limit, offset }),
      });
      for (let warm = 0; warm < 10; warm += 1) await page(25, 0).ours().then(page(25, 0).bare);
      await compare('page25', runs, page(25, 0), ['p50', 'p99']);
      await compare('page100', runs, page(100, 0), ['p50', 'p99']);
      const sweep = {
        ours: async () => {
          for (let offset = 0; offset < workspaceCount; offset += 1_000) await page(1_000, offset).ours();
        },
        bare: async () => {
          for (let offset = 0; offset < workspaceCount; offset += 1_000) await page(1_000, offset).bare();
        },
      };
      const [ours, bare] = [await timed(sweep.ours), await timed(sweep.bare)];
      report({ bench: 'list', metric: 'full_sweep', ours, baseline: bare, n: 1, unit: 'ms' });
    } finally {
      await sql.end();
    }
  });
}

async function compare(
  metric: string,
  runs: number,
  work: { ours: () => Promise<unknown>; bare: () => Promise<unknown> },
  quantiles: readonly ('p50' | 'p99')[],
): Promise<void> {
  const ours: number[] = [];
  const bare: number[] = [];
  for (let index = 0; index < runs; index += 1) {
    ours.push(await timed(work.ours));
    bare.push(await timed(work.bare));
  }
  for (const name of quantiles) {
    const q = name === 'p50' ? 0.5 : 0.99;
    report({
      bench: 'list',
      metric: `${metric}_${name}`,
      ours: quantile(ours, q),
      baseline: quantile(bare, q),
      n: runs,
      unit: 'ms',
    });
  }
}

/** Live workspaces with one succeeded start build each, spread over 200 owners. */
export async function insertWorkspaces(sql: postgres.Sql): Promise<void> {
  const tag = randomUUID().slice(0, 8);
  await sql.begin(async (tx) => {
    await tx`insert into users (id, email, username, status, created_at, updated_at)
      select gen_random_uuid(), ${tag} || n || '@example.com', ${tag} || '-' || n, 'active', now(), now() from generate_series(1, 200) n`;
    await tx`insert into organization_members (organization_id, user_id, created_at, updated_at)
      select o.id, u.id, now(), now() from organizations o, users u where o.is_default and u.username like ${`${tag}%`}`;
    await tx`create temporary table made on commit drop as
      select gen_random_uuid() as workspace_id, gen_random_uuid() as build_id, gen_random_uuid() as job_id,
        gen_random_uuid() as resource_id, gen_random_uuid() as agent_id, n,
        (select id from users where username = ${tag} || '-' || (n % 200 + 1)) as owner_id
      from generate_series(1, ${workspaceCount}::int) n`;
    await tx`insert into provisioner_jobs (id, organization_id, initiator_id, provisioner, type, input, file_id, started_at, completed_at, workflow_id, priority)
      select m.job_id, j.organization_id, m.owner_id, 'terraform', 'workspace_build', '{}', j.file_id, now(), now(), 'bench/' || m.n, 1
      from made m, template_versions v join provisioner_jobs j on j.id = v.job_id join templates t on t.active_version_id = v.id where t.name = ${template}`;
    await tx`insert into workspaces (id, created_at, updated_at, owner_id, organization_id, template_id, name, last_used_at, latest_build_id)
      select m.workspace_id, now(), now(), m.owner_id, t.organization_id, t.id, 'workspace-' || m.n, now(), m.build_id from made m, templates t where t.name = ${template}`;
    await tx`insert into workspace_builds (id, created_at, updated_at, workspace_id, build_number, template_version_id, transition, initiator_id, job_id, active)
      select m.build_id, now(), now(), m.workspace_id, 1, t.active_version_id, case when m.n % 3 = 0 then 'stop' else 'start' end::workspace_transition, m.owner_id, m.job_id, false
      from made m, templates t where t.name = ${template}`;
    await tx`insert into workspace_resources (id, created_at, job_id, transition, type, name)
      select resource_id, now(), job_id, 'start', 'terraform_data', 'machine' from made`;
    await tx`insert into workspace_agents (id, created_at, updated_at, resource_id, name, auth_token_hash, auth_token_enc, architecture, operating_system, display_apps)
      select agent_id, now(), now(), resource_id, 'main', sha256(agent_id::text::bytea), '', 'amd64', 'linux', '{web_terminal}' from made`;
    await tx`insert into workspace_agent_connections (agent_id) select agent_id from made`;
    await tx`insert into workspace_apps (id, created_at, agent_id, slug, display_name) select gen_random_uuid(), now(), agent_id, 'code', 'code' from made`;
  });
  await sql`analyze`;
}

/** One statement that gives a client all it shows of a page: the same order, total, names, build, job, agents and apps. */
async function barePage(sql: postgres.Sql, page: { ownerId: string; limit: number; offset: number }): Promise<unknown> {
  return sql`
    with page as (
      select w.id, count(*) over () as total,
        row_number() over (order by (w.owner_id = ${page.ownerId} and w.favorite) desc,
          (j.job_status = 'succeeded' and b.transition = 'start') desc, lower(u.username), lower(w.name), w.id) as position
      from workspaces w join users u on u.id = w.owner_id
      join workspace_builds b on b.workspace_id = w.id and b.is_latest
      join provisioner_jobs j on j.id = b.job_id
      where w.deleted = false order by position limit ${page.limit} offset ${page.offset})
    select p.total, to_jsonb(w) as workspace, u.username, o.name as organization, t.name as template, to_jsonb(b) as build, to_jsonb(j) as job,
      v.name as version,
      (select jsonb_agg(to_jsonb(r) || jsonb_build_object('agents', (select jsonb_agg(to_jsonb(a) || jsonb_build_object('apps',
          (select jsonb_agg(to_jsonb(x)) from workspace_apps x where x.agent_id = a.id)))
        from workspace_agents a where a.resource_id = r.id and not a.deleted)))
       from workspace_resources r where r.job_id = b.job_id) as resources
    from page p join workspaces w on w.id = p.id join users u on u.id = w.owner_id join organizations o on o.id = w.organization_id
    join templates t on t.id = w.template_id join workspace_builds b on b.workspace_id = w.id and b.is_latest
    join template_versions v on v.id = b.template_version_id join provisioner_jobs j on j.id = b.job_id
    order by p.position`;
}
