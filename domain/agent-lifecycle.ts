import { DomainError } from './errors.ts';

/** States of an agent in the order in which one instance passes them. Source: spec/05 §5. */
export const agentLifecycleStates = [
  'created',
  'starting',
  'start_timeout',
  'start_error',
  'ready',
  'shutting_down',
  'shutdown_timeout',
  'shutdown_error',
  'off',
] as const;
export type AgentLifecycleState = (typeof agentLifecycleStates)[number];

export interface LifecycleRow {
  readonly state: AgentLifecycleState;
  readonly changedAt: Date | null;
  readonly startedAt: Date | null;
  readonly readyAt: Date | null;
}

const oldestMs = 24 * 3_600_000;
const aheadMs = 60_000;

/**
 * The row after a report, or null when it changes nothing: a repeat, or one that comes after a later one. `starting` is taken
 * from any state, because an agent may begin anew.
 */
export function planLifecycle(
  row: LifecycleRow,
  report: { state: AgentLifecycleState; changedAt: Date | null },
  now: Date,
): LifecycleRow | null {
  const changedAt = plausible(report.changedAt, now);
  if (report.state === row.state) return null;
  if (row.changedAt !== null && changedAt < row.changedAt) return null;
  switch (report.state) {
    case 'starting':
      return { state: 'starting', changedAt, startedAt: changedAt, readyAt: null };
    case 'ready':
    case 'start_timeout':
    case 'start_error':
      return { state: report.state, changedAt, startedAt: row.startedAt ?? changedAt, readyAt: changedAt };
    case 'created':
    case 'shutting_down':
    case 'shutdown_timeout':
    case 'shutdown_error':
    case 'off':
      return { ...row, state: report.state, changedAt };
  }
}

/** An agent's clock may be wrong. */
function plausible(changedAt: Date | null, now: Date): Date {
  if (changedAt === null) return now;
  const age = now.getTime() - changedAt.getTime();
  return age > oldestMs || age < -aheadMs ? now : changedAt;
}

/** Semantic version with a leading `v`. */
const semanticVersion = /^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;
export const isAgentVersion = (text: string): boolean => text.length <= 64 && semanticVersion.test(text);

/** What this server speaks: `MAJOR.MINOR`. Source: spec/05 §16. */
const agentApi = { major: 3, minor: 0 } as const;
export const agentApiVersion = `${agentApi.major}.${agentApi.minor}`;
const lowest = '3.0';

/** The version to speak with an agent. Throws INVALID_INPUT naming `version`. */
export function negotiateVersion(asked: string | undefined): string {
  const version = asked ?? lowest;
  const parts = /^(\d{1,4})\.(\d{1,4})$/.exec(version);
  const [major, minor] = [Number(parts?.[1]), Number(parts?.[2])];
  if (parts === null || major !== agentApi.major || minor > agentApi.minor)
    throw new DomainError('INVALID_INPUT', 'Unknown or unsupported API version', {
      validations: [{ field: 'version', detail: `this server speaks ${agentApiVersion}` }],
    });
  return version;
}
