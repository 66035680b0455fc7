import { randomUUID } from 'node:crypto';
import type { AgentRequestMethod, ServerFrame } from '../agent/protocol.ts';
import type { Db } from '../db/client.ts';
import { type Listener, agentRequestsChannel } from '../db/notifications.ts';
import {
  type AgentAnswer,
  deleteRequest,
  findAnswer,
  insertAgentRequest,
  storeAnswer,
  takeRequests,
} from '../db/queries/agent-requests.ts';
import { DomainError } from '../domain/errors.ts';
import { isUuid } from '../domain/ids.ts';

/** A little less than a request of ours may take (api/middleware/time-limit.ts), so that the client learns who was late. */
const waitMs = 29_000;

interface Deps {
  readonly db: Db;
  readonly listener: Listener;
  /** The process stops: nobody waits any longer. */
  readonly shutdown: AbortSignal;
}

export interface Question {
  readonly agentId: string;
  readonly method: AgentRequestMethod;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}
export type AskAgent = (question: Question) => Promise<unknown>;

/** Errors of agents that mean more than "it failed": `CONFLICT: it is starting`. */
const agentErrorCodes = ['INVALID_INPUT', 'FORBIDDEN', 'NOT_FOUND', 'CONFLICT'] as const;

function agentError(text: string): DomainError {
  const code = agentErrorCodes.find((each) => text.startsWith(`${each}: `));
  return code === undefined
    ? new DomainError('AGENT_FAILED', 'The agent could not do it', { detail: text.slice(0, 1_024) })
    : new DomainError(code, text.slice(code.length + 2, 1_024));
}

/**
 * Puts a question to an agent wherever its socket is: the row waits, the process with the socket sends it and stores the
 * answer. Throws AGENT_TIMEOUT, AGENT_FAILED, or what the agent refused it with. Source: spec/05 §7.
 */
export const createAskAgent = ({ db, listener, shutdown }: Deps): AskAgent =>
  async function askAgent({ agentId, method, params = {}, timeoutMs = waitMs, signal }) {
    const id = randomUUID();
    const late = AbortSignal.timeout(timeoutMs);
    const until = AbortSignal.any([late, shutdown, ...(signal === undefined ? [] : [signal])]);
    await insertAgentRequest(db, { id, agentId, method, params });
    try {
      for await (const _ of listener.wakeUps(agentRequestsChannel, id, { signal: until, recheckMs: 1_000 })) {
        const answer = await findAnswer(db, id);
        if (answer === undefined) continue;
        if (answer.error !== null) throw agentError(answer.error);
        return answer.result;
      }
    } finally {
      await deleteRequest(db, id);
    }
    if (!late.aborted) throw new DomainError('UNAVAILABLE', 'The server is stopping, try again');
    throw new DomainError('AGENT_TIMEOUT', 'The agent did not answer in time');
  };

/**
 * For the process that holds sockets: the waiting questions of these agents as frames, each given out once. To be called when a
 * socket opens, when `agentRequestsChannel` names one of the agents, and after the listener reconnected.
 */
export async function takeAgentRequests(
  db: Db,
  agentIds: readonly string[],
): Promise<{ agentId: string; frame: Extract<ServerFrame, { type: 'request' }> }[]> {
  const taken = await takeRequests(db, agentIds);
  return taken.map(({ agentId, id, method, params }) => ({ agentId, frame: { type: 'request', id, method, params } }));
}

/** For the same process: a `response` frame of the agent. One that nobody waits for, or of another agent, is dropped. */
export async function answerAgentRequest(db: Db, agentId: string, answer: AgentAnswer): Promise<void> {
  if (isUuid(answer.id)) await storeAnswer(db, agentId, answer);
}
