import { asc, eq, sql } from 'drizzle-orm';
import type { MonitorState } from '../../domain/resource-monitors.ts';
import type { Db } from '../client.ts';
import {
  workspaceAgentMemoryResourceMonitors as memoryMonitors,
  workspaceAgentVolumeResourceMonitors as volumeMonitors,
} from '../schema/workspace-agents.ts';

const memoryColumns = {
  enabled: memoryMonitors.enabled,
  threshold: memoryMonitors.threshold,
  state: memoryMonitors.state,
  debouncedUntil: memoryMonitors.debouncedUntil,
};
const volumeColumns = {
  path: volumeMonitors.path,
  enabled: volumeMonitors.enabled,
  threshold: volumeMonitors.threshold,
  state: volumeMonitors.state,
  debouncedUntil: volumeMonitors.debouncedUntil,
};

/** What a template wants watched in this agent's workspace. */
export async function listMonitors(db: Db, agentId: string) {
  const [memory, volumes] = await Promise.all([
    db.select(memoryColumns).from(memoryMonitors).where(eq(memoryMonitors.agentId, agentId)),
    db
      .select(volumeColumns)
      .from(volumeMonitors)
      .where(eq(volumeMonitors.agentId, agentId))
      .orderBy(asc(volumeMonitors.path)),
  ]);
  return { memory: memory[0], volumes };
}

/** The same, locked: two reports at once see each other's outcome. Volumes in the order of their paths. */
export async function lockMonitors(tx: Db, agentId: string) {
  const [memory] = await tx
    .select(memoryColumns)
    .from(memoryMonitors)
    .where(eq(memoryMonitors.agentId, agentId))
    .for('update');
  const volumes = await tx
    .select(volumeColumns)
    .from(volumeMonitors)
    .where(eq(volumeMonitors.agentId, agentId))
    .orderBy(asc(volumeMonitors.path))
    .for('update');
  return { memory, volumes };
}

export interface MonitorUpdate {
  readonly state: MonitorState;
  readonly debouncedUntil: Date | null;
}

export async function updateMemoryMonitor(tx: Db, agentId: string, update: MonitorUpdate, now: Date): Promise<void> {
  await tx
    .update(memoryMonitors)
    .set({ ...update, updatedAt: now })
    .where(eq(memoryMonitors.agentId, agentId));
}

export async function updateVolumeMonitors(
  tx: Db,
  agentId: string,
  updates: readonly (MonitorUpdate & { path: string })[],
  now: Date,
): Promise<void> {
  const rows = JSON.stringify(
    updates.map(({ path, state, debouncedUntil }) => ({ path, state, debounced_until: debouncedUntil })),
  );
  await tx.execute(sql`
    update workspace_agent_volume_resource_monitors m
    set state = r.state, debounced_until = r.debounced_until, updated_at = ${now.toISOString()}::timestamptz
    from json_to_recordset(${rows}::text::json)
      as r(path text, state workspace_agent_monitor_state, debounced_until timestamptz)
    where m.agent_id = ${agentId} and m.path = r.path`);
}
