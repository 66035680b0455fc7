import { eq, sql } from 'drizzle-orm';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { workspaces } from '../../db/schema/workspaces.ts';
import type { TestApi } from './api.ts';
import { readyAgent } from './pool-rows.ts';
import { insertWorkspaceOf } from './template-rows.ts';

export interface PrebuildRow {
  readonly presetId: string;
  readonly versionId?: string;
  /** How its first build stands; those that succeeded have an agent in this state (`ready`), or none. */
  readonly build?: 'succeeded' | 'failed' | 'pending' | 'running';
  readonly agent?: 'ready' | 'starting' | null;
  readonly ageSeconds?: number;
}

/** A prebuild of a preset as the reconciler would have left it, without its doing. Answers the workspace's id. */
export async function insertPrebuildOf(
  api: TestApi,
  template: { id: string; organization_id: string; active_version_id: string },
  prebuild: PrebuildRow,
): Promise<string> {
  const { db } = api;
  const { presetId, versionId, build = 'succeeded', agent = 'ready', ageSeconds = 0 } = prebuild;
  const id = await insertWorkspaceOf(db, template, versionId === undefined ? {} : { versionId });
  await db.execute(sql`
    update workspace_builds set template_version_preset_id = ${presetId}, prebuild_stage = 'create',
      initiator_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid, active = ${build === 'pending' || build === 'running'}
    where workspace_id = ${id}`);
  await db.execute(sql`
    update provisioner_jobs set initiator_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid, error = ${build === 'failed' ? 'no disk' : null},
      started_at = case when ${build !== 'pending'} then started_at end,
      completed_at = case when ${build === 'succeeded' || build === 'failed'} then completed_at end
    where id = (select job_id from workspace_builds where workspace_id = ${id})`);
  const createdAt = new Date(api.clock.now.getTime() - ageSeconds * 1_000);
  const latestBuildId = sql`(select id from workspace_builds where workspace_id = ${id})`;
  await db.update(workspaces).set({ createdAt, latestBuildId }).where(eq(workspaces.id, id));
  if (build === 'succeeded' && agent !== null) await readyAgent(api, id, agent);
  return id;
}

/** Gives a prebuild to somebody, as a claim does, with the claim's build. */
export async function claimFor(
  api: TestApi,
  workspaceId: string,
  claim: { ownerId: string; name?: string; replacements?: Readonly<Record<string, readonly string[]>> },
): Promise<void> {
  const { db } = api;
  const name = claim.name ?? `claimed-${workspaceId.slice(0, 8)}`;
  await db
    .update(workspaces)
    .set({ ownerId: claim.ownerId, name, claimedAt: api.clock.now })
    .where(eq(workspaces.id, workspaceId));
  const replacements = claim.replacements === undefined ? null : JSON.stringify(claim.replacements);
  await db.execute(sql`
    with before as (update workspace_builds set is_latest = false where workspace_id = ${workspaceId} returning *),
    job as (
      insert into provisioner_jobs (id, organization_id, initiator_id, provisioner, type, input, file_id, workflow_id, priority,
        started_at, completed_at)
      select gen_random_uuid(), j.organization_id, ${claim.ownerId}, j.provisioner, j.type, j.input, j.file_id,
        'build/claim-' || j.id, 1, now(), now()
      from before join provisioner_jobs j on j.id = before.job_id returning id)
    insert into workspace_builds (id, workspace_id, created_at, updated_at, build_number, template_version_id, transition,
      initiator_id, job_id, active, template_version_preset_id, prebuild_stage, resource_replacements)
    select gen_random_uuid(), b.workspace_id, now(), now(), b.build_number + 1, b.template_version_id, 'start',
      ${claim.ownerId}, job.id, false, b.template_version_preset_id, 'claim', ${replacements}::text::jsonb
    from before b, job`);
}
