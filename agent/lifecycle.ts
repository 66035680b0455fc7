import { agentLifecycleStates } from '../domain/agent-lifecycle.ts';
import type { LifecycleState } from './protocol.ts';
import type { CommandStatus } from './run-command.ts';

const rank = (state: LifecycleState): number => agentLifecycleStates.indexOf(state);

/** A state is only ever followed by a later one. Source: spec/05 §5 "Order". */
export const mayFollow = (last: LifecycleState | undefined, next: LifecycleState): boolean =>
  last === undefined || rank(next) > rank(last);

/** How a set of scripts ended, worst first: a failure outweighs a timeout (spec/05 §5). */
export type ScriptsOutcome = 'ok' | 'timeout' | 'error';

export function scriptsOutcome(runs: readonly { status: CommandStatus; exitCode: number }[]): ScriptsOutcome {
  // Pipes that a background process keeps open are worth a warning, not a failed start: the script itself succeeded.
  if (runs.some(({ status, exitCode }) => status !== 'timed_out' && exitCode !== 0)) return 'error';
  return runs.some(({ status }) => status === 'timed_out') ? 'timeout' : 'ok';
}

const afterStart = { ok: 'ready', timeout: 'start_timeout', error: 'start_error' } as const;
const afterStop = { ok: 'off', timeout: 'shutdown_timeout', error: 'shutdown_error' } as const;

/** The state that follows `starting` or `shutting_down`. */
export const stateAfter = (stage: 'start' | 'stop', outcome: ScriptsOutcome): LifecycleState =>
  (stage === 'start' ? afterStart : afterStop)[outcome];
