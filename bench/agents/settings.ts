/** Command-line options of the bench; all may be left out. */
export const agentsOptions = {
  /** 300 agents and short windows, to see that it works. */
  quick: { type: 'boolean' },
  agents: { type: 'string' },
  watchers: { type: 'string' },
  /** Seconds of one measured window; each side has `runs` of them. */
  window: { type: 'string' },
  /** Seconds between two metadata reports of an agent. */
  'metadata-every': { type: 'string' },
  /** Share of the agents that report an open connection, 0..1. */
  active: { type: 'string' },
  /** Hours until the workspaces' deadline; below 1 activity moves it. */
  deadline: { type: 'string' },
  /** How the server is ended before the reconnect storm: SIGTERM (default) or SIGKILL. */
  signal: { type: 'string' },
  /** Writes a CPU profile of our server to this file and prints where the time goes. */
  profile: { type: 'string' },
} as const;

export interface AgentsOptions {
  readonly runs: number | undefined;
  readonly quick?: boolean;
  readonly agents?: string;
  readonly watchers?: string;
  readonly window?: string;
  readonly 'metadata-every'?: string;
  readonly active?: string;
  readonly deadline?: string;
  readonly signal?: string;
  readonly profile?: string;
}

export interface Settings {
  readonly agents: number;
  readonly watchers: number;
  readonly rounds: number;
  readonly windowS: number;
  /** Load before a window is measured, so that batches are under way. */
  readonly leadInS: number;
  /** Connecting at the same time, at first. */
  readonly connectsAtOnce: number;
  readonly statsEveryS: number;
  readonly metadataEveryS: number;
  readonly activeShare: number;
  readonly deadlineHours: number;
  /** Agents come back after a random time up to this (spec/05 §19). */
  readonly jitterS: number;
  readonly signal: NodeJS.Signals;
  readonly profile: string | undefined;
}

export function settingsOf(options: AgentsOptions): Settings {
  const { quick = false, profile, runs = 2 } = options;
  const number = (name: keyof AgentsOptions, usual: number, small = usual): number => {
    const given = options[name];
    return given === undefined ? (quick ? small : usual) : Number(given);
  };
  return {
    agents: number('agents', 10_000, 300),
    watchers: number('watchers', 1_000, 50),
    rounds: runs,
    windowS: number('window', 30, 10),
    leadInS: quick ? 2 : 5,
    connectsAtOnce: 50,
    statsEveryS: 30,
    metadataEveryS: number('metadata-every', 30),
    activeShare: number('active', 1),
    deadlineHours: number('deadline', 8),
    jitterS: quick ? 5 : 30,
    signal: (options.signal ?? 'SIGTERM') as NodeJS.Signals,
    profile,
  };
}
