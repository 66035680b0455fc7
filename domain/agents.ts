/** Status and health of agents, derived when read. Source: spec/01 §6.2. */
export type AgentStatus = 'connecting' | 'connected' | 'disconnected' | 'timeout';

export interface AgentConnection {
  readonly createdAt: Date;
  readonly firstConnectedAt: Date | null;
  readonly lastConnectedAt: Date | null;
  readonly disconnectedAt: Date | null;
  readonly connectionTimeoutSeconds: number;
}

/** A connection without a sign of life for this long is gone. */
export const agentInactiveAfterMs = 30_000;

export function agentStatus(agent: AgentConnection, now: Date, inactiveAfterMs = agentInactiveAfterMs): AgentStatus {
  const { firstConnectedAt, lastConnectedAt, disconnectedAt } = agent;
  if (firstConnectedAt === null || lastConnectedAt === null) {
    const timeoutMs = agent.connectionTimeoutSeconds * 1000;
    return timeoutMs > 0 && now.getTime() - agent.createdAt.getTime() > timeoutMs ? 'timeout' : 'connecting';
  }
  if (disconnectedAt !== null && disconnectedAt > lastConnectedAt) return 'disconnected';
  return now.getTime() - lastConnectedAt.getTime() > inactiveAfterMs ? 'disconnected' : 'connected';
}

export interface AgentHealth {
  readonly healthy: boolean;
  readonly reason?: string;
}

const shutdownStates = ['shutting_down', 'shutdown_timeout', 'shutdown_error', 'off'];

/** First reason that matches wins; `start_timeout` alone is healthy. */
export function agentHealth(status: AgentStatus, lifecycle: string): AgentHealth {
  const unhealthy = (reason: string): AgentHealth => ({ healthy: false, reason });
  if (status !== 'connected' && lifecycle === 'off') return unhealthy('agent is not running');
  switch (status) {
    case 'connecting':
      return unhealthy('agent has not yet connected');
    case 'timeout':
      return unhealthy('agent is taking too long to connect');
    case 'disconnected':
      return unhealthy('agent has lost connection');
    case 'connected':
  }
  if (lifecycle === 'start_error') return unhealthy('agent startup script exited with an error');
  if (shutdownStates.includes(lifecycle)) return unhealthy('agent is shutting down');
  return { healthy: true };
}

/** `blocking` when any start script blocks login. */
export const startupScriptBehavior = (
  scripts: readonly { runOnStart: boolean; startBlocksLogin: boolean }[],
): 'blocking' | 'non-blocking' =>
  scripts.some((script) => script.runOnStart && script.startBlocksLogin) ? 'blocking' : 'non-blocking';
