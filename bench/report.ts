/** One figure of a benchmark, printed as one JSON line (design §7). `unit` is that of ours and baseline. */
export interface Figure {
  readonly bench: string;
  readonly metric: string;
  readonly ours: number;
  readonly baseline: number;
  readonly n: number;
  readonly unit: string;
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

export function report(figure: Figure): void {
  const { bench, metric, ours, baseline, n, unit } = figure;
  console.log(
    JSON.stringify({
      bench,
      metric,
      ours: round(ours),
      baseline: round(baseline),
      ratio: round(ours / baseline),
      n,
      unit,
    }),
  );
}

/** Value below which the share `q` (0..1) of the sample lies; nearest rank. */
export function quantile(sample: readonly number[], q: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
  if (value === undefined) throw new Error('an empty sample has no quantile');
  return value;
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
