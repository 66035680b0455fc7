import { invalidField } from './errors.ts';

/** What an agent counts of its connections. Source: spec/05 §9. */
export interface ReportedStats {
  readonly connectionsByProto: Readonly<Record<string, number>>;
  readonly connectionCount: number;
  /** −1 = unknown. */
  readonly connectionMedianLatencyMs: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly sessionCountVscode: number;
  readonly sessionCountJetbrains: number;
  readonly sessionCountReconnectingPty: number;
  readonly sessionCountSsh: number;
  /** Sessions per application; overrides the four. */
  readonly sessionCounts: Readonly<Record<string, number>>;
}

const maxNames = 50;
const maxName = 64;
const knownApps = {
  vscode: 'sessionCountVscode',
  jetbrains: 'sessionCountJetbrains',
  'reconnecting-pty': 'sessionCountReconnectingPty',
  ssh: 'sessionCountSsh',
} as const;

/** Lower-case application names, the four known counts taken from them. Throws INVALID_INPUT for a number that cannot be. */
export function planStats(reported: ReportedStats): ReportedStats {
  for (const [field, value] of Object.entries(reported)) {
    const numbers = typeof value === 'number' ? [value] : Object.values(value as Record<string, number>);
    const lowest = field === 'connectionMedianLatencyMs' ? -1 : 0;
    if (numbers.some((number) => !Number.isFinite(number) || number < lowest))
      throw invalidField(field, `must be a number of at least ${lowest}`);
  }
  const names = Object.entries(reported.sessionCounts);
  if (names.length === 0) return reported;
  if (names.length > maxNames) throw invalidField('session_counts', `at most ${maxNames} names`);
  const sessionCounts: Record<string, number> = {};
  for (const [name, count] of names) {
    if (name.length > maxName) throw invalidField('session_counts', `names have at most ${maxName} characters`);
    sessionCounts[name.toLowerCase().replaceAll('\0', '')] = count;
  }
  const known = Object.fromEntries(
    Object.entries(knownApps).map(([name, field]) => [
      field,
      sessionCounts[name] ?? sessionCounts[name.replaceAll('-', '_')] ?? 0,
    ]),
  );
  return { ...reported, ...known, sessionCounts };
}

/** Somebody works in the workspace (spec/04 §8). */
export const isActivity = (stats: ReportedStats): boolean =>
  stats.connectionCount > 0 || Object.values(knownApps).some((field) => stats[field] > 0);

/** Nothing to count: repeats of it are stored only now and then. */
export const isIdle = (stats: ReportedStats): boolean =>
  !isActivity(stats) &&
  [stats.rxBytes, stats.txBytes, stats.rxPackets, stats.txPackets, ...Object.values(stats.sessionCounts)].every(
    (count) => count === 0,
  );
