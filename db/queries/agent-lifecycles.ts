import { and, eq } from 'drizzle-orm';
import type { LifecycleRow } from '../../domain/agent-lifecycle.ts';
import type { Db } from '../client.ts';
import { workspaceAgents } from '../schema/workspace-agents.ts';

const live = (agentId: string) => and(eq(workspaceAgents.id, agentId), eq(workspaceAgents.deleted, false));

/** Locked until the end of the transaction: two reports are judged one after the other. */
export async function lockLifecycle(tx: Db, agentId: string): Promise<LifecycleRow | undefined> {
  const [row] = await tx
    .select({
      state: workspaceAgents.lifecycleState,
      changedAt: workspaceAgents.lifecycleChangedAt,
      startedAt: workspaceAgents.startedAt,
      readyAt: workspaceAgents.readyAt,
    })
    .from(workspaceAgents)
    .where(live(agentId))
    .for('update');
  return row;
}

export async function setLifecycle(tx: Db, agentId: string, row: LifecycleRow): Promise<void> {
  await tx
    .update(workspaceAgents)
    .set({
      lifecycleState: row.state,
      lifecycleChangedAt: row.changedAt,
      startedAt: row.startedAt,
      readyAt: row.readyAt,
    })
    .where(live(agentId));
}

export interface Startup {
  readonly version: string;
  readonly apiVersion: string;
  readonly expandedDirectory: string;
  readonly subsystems: ('envbox' | 'envbuilder' | 'exectrace')[];
  readonly now: Date;
}

export async function setStartup(tx: Db, agentId: string, startup: Startup): Promise<void> {
  const { now, ...columns } = startup;
  await tx
    .update(workspaceAgents)
    .set({ ...columns, updatedAt: now })
    .where(live(agentId));
}
