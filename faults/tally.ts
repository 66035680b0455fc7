import type { Finding } from './oracle.ts';
import type { Run } from './run.ts';

/** The figures of a scenario, as they are printed. */
export interface Tally {
  readonly scenario: string;
  readonly runs: number;
  /** Runs in which nothing at all was wrong. */
  readonly ok: number;
  readonly lost: number;
  readonly orphans: number;
  readonly double_applies: number;
  readonly stuck: number;
  /** Prebuilds made, or given away, twice. */
  readonly duplicates: number;
  /** Workspaces in which anything of another owner was seen. */
  readonly two_owners: number;
  /** Agents that began anew for a new owner: one per run; null where no agents run. */
  readonly reinits: number | null;
  /** Null when no fault met a running job. */
  readonly p95_recovery_ms: number | null;
}

export const recoveryGoalMs = 10_000;

export function tallyOf(scenario: string, runs: readonly Run[]): Tally {
  const count = (kind: Finding['kind']): number =>
    runs.flatMap(({ findings }) => findings).filter((each) => each.kind === kind).length;
  const recoveries = runs.flatMap(({ recoveryMs }) => recoveryMs ?? []);
  const reinits = runs.flatMap((run) => run.reinits ?? []);
  return {
    scenario,
    runs: runs.length,
    ok: runs.filter(({ findings }) => findings.length === 0).length,
    lost: count('lost'),
    orphans: count('orphan'),
    double_applies: count('double_apply'),
    stuck: count('stuck'),
    duplicates: count('duplicate'),
    two_owners: count('two_owners'),
    reinits: reinits.length === 0 ? null : reinits.reduce((sum, each) => sum + each, 0),
    p95_recovery_ms: recoveries.length === 0 ? null : Math.round(nearestRank(recoveries, 0.95)),
  };
}

/** Whether every goal is met that a scenario can miss by being wrong; how fast it recovers is reported beside it. */
export const meetsGoals = (tally: Tally): boolean =>
  tally.runs > 0 &&
  tally.ok === tally.runs &&
  tally.lost + tally.orphans + tally.double_applies + tally.stuck + tally.duplicates + tally.two_owners === 0;

/** Value below which the share `q` (0..1) of a sample lies. */
export function nearestRank(sample: readonly number[], q: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
  if (value === undefined) throw new Error('an empty sample has no quantile');
  return value;
}

/** For people, several lines. */
export function describeTally(tally: Tally): string {
  const { scenario, runs, ok, lost, orphans, double_applies: twice, stuck, p95_recovery_ms: p95 } = tally;
  const { duplicates, two_owners: twoOwners, reinits } = tally;
  const recovery =
    p95 === null
      ? 'no fault met a running job'
      : `95 of 100 jobs were in good hands again after ${(p95 / 1000).toFixed(1)} s${p95 > recoveryGoalMs ? ` (goal: ${recoveryGoalMs / 1000} s)` : ''}`;
  return [
    `${meetsGoals(tally) ? '✔' : '✖'} ${scenario}: ${ok} of ${runs} runs as they should be`,
    `    lost ${lost}, orphans ${orphans}, double applies ${twice}, stuck ${stuck}`,
    `    duplicates ${duplicates}, with two owners' data ${twoOwners}${reinits === null ? '' : `, agents begun anew ${reinits}`}`,
    `    ${recovery}`,
  ].join('\n');
}
