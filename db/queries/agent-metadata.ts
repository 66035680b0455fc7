import { and, asc, eq, inArray, sql } from 'drizzle-orm';
import { type Db, preparedQuery } from '../client.ts';
import { workspaceAgentMetadata, workspaceAgentMetadataValues } from '../schema/workspace-agents.ts';

export interface MetadataUpdate {
  readonly agentId: string;
  readonly key: string;
  readonly value: string;
  readonly error: string;
  readonly collectedAt: Date;
}

/** Values of many agents in one statement; an older one never replaces a newer one. */
export async function writeMetadata(db: Db, updates: readonly MetadataUpdate[]): Promise<void> {
  const rows = JSON.stringify(
    updates
      .toSorted((a, b) => (a.agentId < b.agentId ? -1 : a.agentId > b.agentId ? 1 : a.key < b.key ? -1 : 1))
      .map(({ agentId, key, value, error, collectedAt }) => ({
        agent_id: agentId,
        key,
        value,
        error,
        collected_at: collectedAt.getTime() / 1_000,
      })),
  );
  await db.execute(sql`
    insert into workspace_agent_metadata_values as v (workspace_agent_id, key, value, error, collected_at)
    select r.agent_id, r.key, r.value, r.error, to_timestamp(r.collected_at)
    from json_to_recordset(${rows}::text::json) as r(agent_id uuid, key text, value text, error text, collected_at float8)
    join workspace_agent_metadata m on m.workspace_agent_id = r.agent_id and m.key = r.key
    on conflict (workspace_agent_id, key) do update
      set value = excluded.value, error = excluded.error, collected_at = excluded.collected_at
      where v.collected_at <= excluded.collected_at`);
}

/** The keys that the agent's template defines. */
export async function listMetadataKeys(db: Db, agentId: string): Promise<string[]> {
  return (await metadataKeys(db, { agentId })).map(({ key }) => key);
}
const metadataKeys = preparedQuery<{ agentId: string }, { key: string }>((db) =>
  db
    .select({ key: workspaceAgentMetadata.key })
    .from(workspaceAgentMetadata)
    .where(eq(workspaceAgentMetadata.workspaceAgentId, sql.placeholder('agentId')))
    .prepare('metadata_keys'),
);

/** Metadata of many agents as watchers show it, by display order, then key. */
export async function listMetadata(db: Db, agentIds: readonly string[]) {
  return db
    .select({
      agentId: workspaceAgentMetadata.workspaceAgentId,
      key: workspaceAgentMetadata.key,
      displayName: workspaceAgentMetadata.displayName,
      script: workspaceAgentMetadata.script,
      intervalSeconds: workspaceAgentMetadata.intervalSeconds,
      timeoutSeconds: workspaceAgentMetadata.timeoutSeconds,
      value: sql<string>`coalesce(${workspaceAgentMetadataValues.value}, '')`,
      error: sql<string>`coalesce(${workspaceAgentMetadataValues.error}, '')`,
      collectedAt: workspaceAgentMetadataValues.collectedAt,
    })
    .from(workspaceAgentMetadata)
    .leftJoin(
      workspaceAgentMetadataValues,
      and(
        eq(workspaceAgentMetadataValues.workspaceAgentId, workspaceAgentMetadata.workspaceAgentId),
        eq(workspaceAgentMetadataValues.key, workspaceAgentMetadata.key),
      ),
    )
    .where(inArray(workspaceAgentMetadata.workspaceAgentId, [...agentIds]))
    .orderBy(asc(workspaceAgentMetadata.displayOrder), asc(workspaceAgentMetadata.key));
}
export type MetadataRow = Awaited<ReturnType<typeof listMetadata>>[number];
