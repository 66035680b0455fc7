import { sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';

/**
 * Words of the statements about pools (spec/03 §6.1). They name the tables `w` (workspaces), `b` (its latest build), `j` (that
 * build's job), as every statement about pools does.
 */
export const livePrebuilds = sql`workspaces w
  join workspace_builds b on b.workspace_id = w.id and b.is_latest
  join provisioner_jobs j on j.id = b.job_id`;
export const isLivePrebuild = sql`w.owner_id = ${sql.raw(`'${PREBUILDS_SYSTEM_USER_ID}'::uuid`)} and w.deleted = false`;

/** The preset of its latest start build that has one. */
export const currentPreset = sql`coalesce(case when b.transition = 'start' then b.template_version_preset_id end, (
  select s.template_version_preset_id from workspace_builds s
  where s.workspace_id = w.id and s.transition = 'start' and s.template_version_preset_id is not null
  order by s.build_number desc limit 1))`;

/** Running: started, and that succeeded. */
export const isRunning = sql`b.transition = 'start' and j.job_status = 'succeeded'`;

/** Its start failed: it is kept as evidence. */
export const hasFailed = sql`b.transition = 'start' and j.job_status = 'failed'`;

/** All top-level agents are ready, and there is one. */
export const isReady = sql`coalesce((
  select bool_and(a.lifecycle_state = 'ready') from workspace_resources r
  join live_workspace_agents a on a.resource_id = r.id and a.parent_id is null
  where r.job_id = b.job_id), false)`;

/** The builds that pools begin with and that no worker has taken. */
export const isUntaken = sql`b.build_number = 1 and b.transition = 'start' and b.initiator_id = w.owner_id
  and j.started_at is null and j.canceled_at is null and j.completed_at is null`;
