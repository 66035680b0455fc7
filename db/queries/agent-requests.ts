import { and, eq, isNotNull, isNull, sql } from 'drizzle-orm';
import type { AgentRequestMethod } from '../../agent/protocol.ts';
import { type Db, sqlState } from '../client.ts';
import { agentRequestsChannel, notify } from '../notifications.ts';
import { workspaceAgentRequests as requests } from '../schema/agent-reports.ts';

/** Nobody waits any longer for an answer. */
export const requestLifetimeSeconds = 30;

/** `error` of a request that a socket has taken and that has no answer yet: nobody else sends it. */
const taken = 'taken';

export interface AgentRequest {
  readonly id: string;
  readonly agentId: string;
  readonly method: AgentRequestMethod;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Stored and told in one statement. */
export async function insertAgentRequest(db: Db, request: AgentRequest): Promise<void> {
  await db.execute(sql`
    with asked as (
      insert into workspace_agent_requests (id, agent_id, created_at, method, params)
      values (${request.id}, ${request.agentId}, now(), ${request.method}, ${JSON.stringify(request.params)}::text::jsonb)
      returning agent_id)
    select pg_notify(${agentRequestsChannel}, agent_id::text) from asked`);
}

/** Marks the unanswered requests of these agents as taken and answers them, oldest first. Each is taken once. */
export async function takeRequests(db: Db, agentIds: readonly string[]): Promise<AgentRequest[]> {
  if (agentIds.length === 0) return [];
  const ids = JSON.stringify(agentIds);
  const rows = await db.execute<{
    id: string;
    agent_id: string;
    method: AgentRequestMethod;
    params: Record<string, unknown>;
    created_at: string;
  }>(sql`
    update workspace_agent_requests set error = ${taken}
    where agent_id in (select json_array_elements_text(${ids}::text::json)::uuid)
      and answered_at is null and error is null
      and created_at > now() - make_interval(secs => ${requestLifetimeSeconds})
    returning id, agent_id, method, params, created_at`);
  return [...rows]
    .toSorted((a, b) => (String(a.created_at) < String(b.created_at) ? -1 : 1))
    .map(({ id, agent_id: agentId, method, params }) => ({ id, agentId, method, params }));
}

export interface AgentAnswer {
  readonly id: string;
  readonly result?: unknown;
  readonly error?: string | undefined;
}

/** Stores the answer of the agent that was asked; one that came already, or to nobody's question, is dropped. */
export async function storeAnswer(db: Db, agentId: string, answer: AgentAnswer): Promise<void> {
  const store = (result: unknown, error: string | null) =>
    db.transaction(async (tx) => {
      const answered = await tx
        .update(requests)
        .set({
          answeredAt: sql`now()`,
          result: result === undefined ? null : sql`${JSON.stringify(result)}::text::jsonb`,
          error,
        })
        .where(and(eq(requests.id, answer.id), eq(requests.agentId, agentId), isNull(requests.answeredAt)))
        .returning({ id: requests.id });
      if (answered.length > 0) await notify(tx as unknown as Db, agentRequestsChannel, answer.id);
    });
  try {
    await store(answer.result, answer.error?.replaceAll('\0', '') ?? null);
  } catch (err) {
    // JSON that PostgreSQL cannot keep (a NUL, half a character): the asker hears that at once.
    if (!(sqlState(err) ?? '').startsWith('22')) throw err;
    await store(undefined, 'the answer has characters that cannot be stored');
  }
}

export async function findAnswer(db: Db, id: string): Promise<{ result: unknown; error: string | null } | undefined> {
  const [row] = await db
    .select({ result: requests.result, error: requests.error })
    .from(requests)
    .where(and(eq(requests.id, id), isNotNull(requests.answeredAt)));
  return row;
}

/** Also those whose askers died. */
export async function deleteRequest(db: Db, id: string): Promise<void> {
  await db.delete(requests).where(sql`${requests.id} = ${id} or ${requests.createdAt} < now() - interval '5 minutes'`);
}
