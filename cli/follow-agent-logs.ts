import { agentLogPath } from './agents.ts';
import type { Client } from './client.ts';
import { followSocket } from './follow-socket.ts';
import type { AgentLog } from './types.ts';

export interface FollowAgentLogs {
  readonly agentId: string;
  /** Rows up to this id are known already. */
  readonly after?: number;
  readonly onLog: (log: AgentLog) => void;
  readonly signal?: AbortSignal | undefined;
  readonly patienceMs?: number;
}

/**
 * Every line of an agent's log exactly once and in order, until a newer build takes the agent's place: messages are arrays of
 * rows, the first one is the backlog. Returns the last id. Throws CliError. Source: spec/05 §8.
 */
export async function followAgentLogs(client: Client, options: FollowAgentLogs): Promise<number> {
  const { agentId, onLog, signal, patienceMs } = options;
  const path = agentLogPath(agentId);
  let last = options.after ?? 0;
  await followSocket(client, {
    path: () => `${path}?follow=true&after=${last}`,
    plainPath: () => `${path}?after=${last}`,
    onMessage(message) {
      for (const log of message as readonly AgentLog[]) {
        if (log.id <= last) continue;
        last = log.id;
        onLog(log);
      }
    },
    what: "The agent's log",
    next: 'the agent goes on; look again with berth logs --agent -f',
    signal,
    patienceMs,
  });
  return last;
}
