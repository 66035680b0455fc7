import type postgres from 'postgres';
import { taskQueueOf } from '../../commands/task-queue.ts';

export interface LifecycleRows {
  readonly workspaces: number;
  /** Finished builds of each workspace before its last one, all of them starts with a deadline in the past. */
  readonly buildsBefore?: number;
  /** When all of them start by themselves; absent = never. */
  readonly nextStartAt?: Date;
  readonly schedule?: string;
  /** Of the user, the template and the worker. */
  readonly name?: string;
  /** Of the worker that takes their builds. */
  readonly tags?: Readonly<Record<string, string>>;
}

const usualTags = { scope: 'organization', owner: '' };

/**
 * One template of the default organization with stopped workspaces of one active user, as builds would have left them, and a
 * worker that was just seen. Nothing of it was built. Answers the queue of their builds.
 */
export async function insertLifecycleRows(sql: postgres.Sql, rows: LifecycleRows): Promise<string> {
  const { workspaces, buildsBefore = 0, nextStartAt = null, name = 'bench', tags = usualTags } = rows;
  const { schedule = 'CRON_TZ=UTC 0 9 * * *' } = rows;
  const taskQueue = taskQueueOf(tags);
  const lastNumber = buildsBefore + 1;
  await sql.begin(async (tx) => {
    await tx`create temporary table base on commit drop as
      select o.id as org, gen_random_uuid() as owner, gen_random_uuid() as file, gen_random_uuid() as version,
        gen_random_uuid() as import_job, gen_random_uuid() as template from organizations o where o.is_default`;
    await tx`insert into users (id, username, email, status, created_at, updated_at)
      select owner, ${name}, ${`${name}@example.com`}, 'active', now(), now() from base`;
    await tx`insert into files (id, hash, created_by, mimetype, data, created_at)
      select file, md5(file::text) || md5(file::text), owner, 'application/x-tar', '', now() from base`;
    await tx`insert into provisioner_jobs (id, organization_id, initiator_id, provisioner, type, input, file_id, started_at, completed_at, workflow_id, priority, tags)
      select import_job, org, owner, 'terraform', 'template_version_import', '{}', file, now(), now(), 'import/' || version, 2, ${tx.json(tags)}::jsonb from base`;
    await tx`insert into template_versions (id, created_at, updated_at, organization_id, name, job_id, created_by)
      select version, now(), now(), org, 'v1', import_job, owner from base`;
    await tx`insert into templates (id, created_at, updated_at, organization_id, name, provisioner, active_version_id, created_by, time_til_dormant_ms, failure_ttl_ms, time_til_autostop_notify_ms)
      select template, now(), now(), org, ${name}, 'terraform', version, owner, 7776000000, 3600000, 1800000 from base`;
    await tx`update template_versions v set template_id = template from base where v.id = version`;
    await tx`insert into template_version_parameters (template_version_id, name, type, mutable, required, default_value)
      select version, name, 'string', true, false, 'value' from base, unnest(array['image', 'region', 'size']) name`;
    await tx`create temporary table made on commit drop as
      select n, b as number, gen_random_uuid() as job_id, gen_random_uuid() as build_id
      from generate_series(1, ${workspaces}::int) n, generate_series(1, ${lastNumber}::int) b`;
    await tx`create temporary table named on commit drop as
      select n, gen_random_uuid() as id from generate_series(1, ${workspaces}::int) n`;
    await tx`create index on named (n)`;
    await tx`insert into provisioner_jobs (id, organization_id, initiator_id, provisioner, type, input, file_id, started_at, completed_at, workflow_id, priority, workflow_started_at)
      select job_id, org, owner, 'terraform', 'workspace_build', '{}', file, now(), now(), 'build/' || build_id, 3, now() from made, base`;
    await tx`insert into workspaces (id, created_at, updated_at, owner_id, organization_id, template_id, name, last_used_at, latest_build_id, autostart_schedule, next_start_at)
      select w.id, now(), now(), owner, org, template, 'w-' || w.n, now(), m.build_id, ${schedule}, ${nextStartAt}
      from named w join made m on m.n = w.n and m.number = ${lastNumber}::int, base`;
    await tx`insert into workspace_builds (id, created_at, updated_at, workspace_id, build_number, template_version_id, transition, initiator_id, job_id, active, is_latest, deadline)
      select m.build_id, now(), now(), w.id, m.number, version, (case when m.number = ${lastNumber}::int then 'stop' else 'start' end)::workspace_transition,
        owner, m.job_id, false, m.number = ${lastNumber}::int, case when m.number < ${lastNumber}::int then now() - interval '1 day' end
      from made m join named w on w.n = m.n, base`;
    await tx`insert into workspace_build_parameters (workspace_build_id, name, value)
      select m.build_id, name, 'value' from made m, unnest(array['image', 'region', 'size']) name where m.number = ${lastNumber}::int`;
    await tx`insert into provisioner_daemons (id, created_at, name, provisioners, tags, last_seen_at, version, organization_id, task_queues, slots)
      select gen_random_uuid(), now(), ${name}, '{terraform}', ${tx.json(tags)}::jsonb, now() + interval '1 day', 'bench', org, array[${taskQueue}]::text[], 2 from base`;
  });
  await sql`vacuum analyze`;
  return taskQueue;
}
