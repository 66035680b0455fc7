import { quantile, report } from '../report.ts';

export interface Samples {
  readonly ours: readonly number[];
  readonly bare: readonly number[];
}

/** One figure per quantile of both samples. */
export function reportQuantiles(name: string, { ours, bare }: Samples, quantiles: readonly ('p50' | 'p99')[]): void {
  for (const each of quantiles) {
    const q = each === 'p50' ? 0.5 : 0.99;
    const [mine, other] = [quantile(ours, q), quantile(bare, q)];
    report({ bench: 'claim', metric: `${name}_${each}`, ours: mine, baseline: other, n: ours.length, unit: 'ms' });
  }
}
