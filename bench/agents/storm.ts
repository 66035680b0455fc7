import { setTimeout as delay } from 'node:timers/promises';
import { quantile } from '../report.ts';
import { type Pair, both, figure } from './figures.ts';
import type { Settings } from './settings.ts';
import { type Side, type Window, loadOf } from './side.ts';

/** Longer than any goal: what is not back by then is said, not waited for. */
const stormLimitMs = 180_000;

export interface Storm {
  readonly backMs: number;
  readonly manifest: readonly number[];
  readonly reports: readonly number[];
  readonly serverErrors: number;
}
/** The server ends and begins anew; time from its readiness until the last agent is back. Reports go on meanwhile. */
export async function storm(side: Side, settings: Settings): Promise<Storm> {
  const { agents } = side;
  await agents.ask('expectRestart', { jitterMs: settings.jitterS * 1_000 });
  await agents.ask('start', loadOf(settings));
  await delay(2_000);
  await agents.ask('reset');
  const { downMs, killed } = await side.restart(settings.signal);
  const begin = performance.now();
  await Promise.race([agents.ask('allConnected'), delay(stormLimitMs)]);
  const backMs = performance.now() - begin;
  // The manifest of the last one.
  await delay(2_000);
  const sample = await agents.ask<Window & { manifest: number[]; connected: number }>('sample');
  await agents.ask('stop');
  console.error(
    `${side.name}: ended by ${settings.signal}${killed ? ' (in vain: killed after 40 s)' : ''}, away for ${(downMs / 1_000).toFixed(1)} s, ` +
      `${sample.connected} back, errors ${JSON.stringify(sample.errors)}`,
  );
  const serverErrors = Object.entries(sample.errors).filter(([name]) => / [345]\d\d$|response: \d/.test(name));
  return {
    backMs,
    manifest: sample.manifest,
    reports: [...sample.stats, ...sample.metadata],
    serverErrors: serverErrors.reduce((all, [, count]) => all + count, 0),
  };
}

export function reportStorms(pair: Pair<Storm>, n: number): void {
  figure(
    'storm_all_back',
    both(pair, ({ backMs }) => backMs / 1_000),
    { n, unit: 's' },
  );
  figure(
    'storm_manifest_p99',
    both(pair, ({ manifest }) => quantile(manifest, 0.99)),
    { n, unit: 'ms' },
  );
  figure(
    'storm_report_p99',
    both(pair, ({ reports }) => quantile(reports, 0.99)),
    { n, unit: 'ms' },
  );
  figure(
    'storm_server_errors',
    both(pair, ({ serverErrors }) => serverErrors),
    { n, unit: 'answers' },
  );
}
