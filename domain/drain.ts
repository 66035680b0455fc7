import { type AgentConnection, agentStatus } from './agents.ts';

/** How the stop scripts of an agent end, before Terraform takes the machine away. Source: spec/05 §6. */
export type DrainState = 'running' | 'done' | 'failed' | 'timed-out' | 'disconnected' | 'too-late';

export interface DrainingAgent extends AgentConnection {
  readonly lifecycleState: string;
  readonly requestedAt: Date;
}

/** `timeoutMs`: how long the build waits, counted from the request, whoever made it. */
export function drainState(agent: DrainingAgent, now: Date, timeoutMs: number): DrainState {
  switch (agent.lifecycleState) {
    case 'off':
      return 'done';
    case 'shutdown_error':
      return 'failed';
    case 'shutdown_timeout':
      return 'timed-out';
  }
  if (agentStatus(agent, now) !== 'connected') return 'disconnected';
  return now.getTime() - agent.requestedAt.getTime() >= timeoutMs ? 'too-late' : 'running';
}

const words: Record<Exclude<DrainState, 'running'>, string> = {
  done: 'have run',
  failed: 'have run, and failed',
  'timed-out': 'took too long by their own limit',
  disconnected: 'may not have run: its agent has lost connection',
  'too-late': 'still run; the build goes on without them',
};

/** One line for the build log. */
export const drainText = (name: string, state: Exclude<DrainState, 'running'>): string =>
  `The stop scripts of agent ${name} ${words[state]}.`;
