import { quantile, report } from '../report.ts';
import type { Window } from './side.ts';

export type Pair<T> = { readonly ours: T; readonly bare: T };

export const figure = (metric: string, pair: Pair<number>, { n, unit }: { n: number; unit: string }): void =>
  report({ bench: 'agents', metric, ours: pair.ours, baseline: pair.bare, n, unit });

export const both = <T, R>({ ours, bare }: Pair<T>, of: (value: T) => R): Pair<R> => ({
  ours: of(ours),
  bare: of(bare),
});

const sum = (values: readonly number[]): number => values.reduce((all, each) => all + each, 0);

/** Seconds of processor time per second. */
export const cpuOf = (windows: readonly Window[]): number =>
  sum(windows.map((each) => each.cpuSeconds)) / sum(windows.map(({ seconds }) => seconds));

/** What all windows of both sides say. */
export function reportWindows(windows: Pair<readonly Window[]>, agents: number): void {
  figure('cpu', both(windows, cpuOf), { n: agents, unit: 'cores' });
  const reports = both(windows, (all) => all.flatMap(({ stats, metadata }) => [...stats, ...metadata]));
  for (const [name, q] of [
    ['report_p50', 0.5],
    ['report_p99', 0.99],
  ] as const)
    figure(
      name,
      both(reports, (all) => quantile(all, q)),
      { n: reports.ours.length, unit: 'ms' },
    );
  figure(
    'stats_p99',
    both(windows, (all) =>
      quantile(
        all.flatMap(({ stats }) => stats),
        0.99,
      ),
    ),
    {
      n: sum(windows.ours.map(({ stats }) => stats.length)),
      unit: 'ms',
    },
  );
  figure(
    'loop_lag_p99',
    both(windows, (all) =>
      quantile(
        all.map(({ lagP99Ms }) => lagP99Ms),
        1,
      ),
    ),
    {
      n: windows.ours.length,
      unit: 'ms',
    },
  );
  const perSecond = both(reports, (all) => all.length);
  const seconds = both(windows, (all) => sum(all.map((each) => each.seconds)));
  figure(
    'reports_per_second',
    { ours: perSecond.ours / seconds.ours, bare: perSecond.bare / seconds.bare },
    { n: agents, unit: '1/s' },
  );
}
