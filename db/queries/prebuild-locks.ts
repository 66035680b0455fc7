import { sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { isLivePrebuild, isUntaken, livePrebuilds } from './prebuilds.ts';
import { lockWorkspace } from './workspaces.ts';

/** Locks the preset: whoever makes or removes prebuilds of its pool does so one after the other. Source: spec/03 §8.1. */
export async function lockPool(tx: Db, presetId: string) {
  const [row] = await tx.execute<{ template_id: string; version_id: string; organization_id: string }>(sql`
    select v.template_id, v.id as version_id, v.organization_id
    from template_version_presets p join template_versions v on v.id = p.template_version_id
    where p.id = ${presetId} for update of p`);
  return row === undefined
    ? undefined
    : { templateId: row.template_id, versionId: row.version_id, organizationId: row.organization_id };
}

/** The prebuild, locked; undefined when it was claimed, is gone, or somebody else decides about it right now. */
export async function lockPrebuild(tx: Db, workspaceId: string) {
  const [free] = await tx.execute(sql`
    select w.id from workspaces w where w.id = ${workspaceId} and ${isLivePrebuild} for update skip locked`);
  return free === undefined ? undefined : lockWorkspace(tx, workspaceId);
}

/** Prebuilds of a preset whose first build no worker has taken, locked with their jobs. */
export async function lockUntakenPrebuilds(tx: Db, presetId: string, limit: number) {
  const rows = await tx.execute<{ workspace_id: string; build_id: string; job_id: string; workflow_id: string }>(sql`
    select w.id as workspace_id, b.id as build_id, j.id as job_id, j.workflow_id
    from ${livePrebuilds}
    where ${isLivePrebuild} and ${isUntaken} and b.template_version_preset_id = ${presetId}
    order by w.id limit ${limit} for update of j, w skip locked`);
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    buildId: row.build_id,
    jobId: row.job_id,
    workflowId: row.workflow_id,
  }));
}

/** Moves the status only from where it was expected; false = somebody else was first. Source: spec/03 §7.3. */
export async function movePresetStatus(
  tx: Db,
  change: {
    presetId: string;
    from: 'normal' | 'hard_limited';
    to: 'normal' | 'hard_limited' | 'validation_failed';
    detail?: string;
  },
): Promise<boolean> {
  const rows = await tx.execute(sql`
    update template_version_presets set prebuild_status = ${change.to}, prebuild_status_detail = ${change.detail ?? ''}
    where id = ${change.presetId} and prebuild_status = ${change.from} returning id`);
  return rows.length > 0;
}
