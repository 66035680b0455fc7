import type { Context } from 'hono';
import { type AgentPlace, findAgentPlace } from '../db/queries/agent-places.ts';
import { agentStatus } from '../domain/agents.ts';
import { type Action, authorizeWorkspace } from '../domain/authorization.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import type { ApiEnv } from './context.ts';

/** The agent of a path, when the caller may do this with its workspace; else NOT_FOUND or FORBIDDEN. Source: spec/05 §17. */
export async function agentPlaceFor(c: Context<ApiEnv>, agentId: string, action: Action): Promise<AgentPlace> {
  const place = await findAgentPlace(c.var.deps.db, agentId);
  if (place === undefined) throw notFound();
  authorizeWorkspace(c.var.subject, action, place.workspace);
  return place;
}

/** The same, for what only the agent itself can answer. */
export async function connectedAgentFor(c: Context<ApiEnv>, agentId: string, action: Action): Promise<AgentPlace> {
  const place = await agentPlaceFor(c, agentId, action);
  const status = agentStatus(place.connection, c.var.deps.now());
  if (status !== 'connected')
    throw new DomainError('INVALID_INPUT', 'The agent is not connected', { detail: `its status is ${status}` });
  return place;
}
