import type { ManifestApp } from './protocol.ts';

export interface HealthState {
  readonly health: ManifestApp['health'];
  readonly failures: number;
}

/** Seconds and failures in a row; missing ones as in spec/05 §10. */
export const healthcheckOf = ({
  healthcheck,
}: ManifestApp): { url: string; intervalMs: number; threshold: number } | null =>
  healthcheck === undefined || healthcheck.url === ''
    ? null
    : {
        url: healthcheck.url,
        intervalMs: (healthcheck.interval > 0 ? healthcheck.interval : 5) * 1000,
        threshold: healthcheck.threshold > 0 ? healthcheck.threshold : 3,
      };

/** One success makes healthy, `threshold` failures in a row unhealthy. Source: spec/05 §10. */
export function nextHealth(state: HealthState, succeeded: boolean, threshold: number): HealthState {
  if (succeeded) return { health: 'healthy', failures: 0 };
  const failures = state.failures + 1;
  return { health: failures >= threshold ? 'unhealthy' : state.health, failures };
}
