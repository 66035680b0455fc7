import type { Backoff } from './backoff.ts';

/** Every wait of the agent in one place; tests shorten them. */
export interface Times {
  readonly connect: Backoff;
  readonly supersededWaitMs: number;
  readonly giveUpAfterMs: number;
  /** The server pings every 15 s; so long without one and the socket counts as dead. */
  readonly silenceMs: number;
  readonly request: number;
  readonly manifest: Backoff;
  readonly lifecycle: Backoff;
  readonly logs: Backoff;
  readonly reinit: Backoff;
  /** A claim's event may come before the manifest shows the new owner. */
  readonly newOwnerWithinMs: number;
  readonly logFlushMs: number;
  readonly finalFlushMs: number;
  /** Between the interrupt of a script and the kill. */
  readonly killGraceMs: number;
  /** How long a script's pipes may stay open after its end. */
  readonly openPipesMs: number;
  readonly metadataTickMs: number;
  readonly healthTickMs: number;
}

/** Source: spec/05 §2, §5, §6, §8, §9, §10, §11, §14. */
export const defaultTimes: Times = {
  connect: { minMs: 500, maxMs: 30_000 },
  supersededWaitMs: 5 * 60_000,
  giveUpAfterMs: 10 * 60_000,
  silenceMs: 60_000,
  request: 30_000,
  manifest: { minMs: 500, maxMs: 30_000 },
  lifecycle: { minMs: 1000, maxMs: 15_000 },
  logs: { minMs: 1000, maxMs: 5000 },
  reinit: { minMs: 100, maxMs: 10_000 },
  newOwnerWithinMs: 60_000,
  logFlushMs: 250,
  finalFlushMs: 5000,
  killGraceMs: 10_000,
  openPipesMs: 10_000,
  metadataTickMs: 1000,
  healthTickMs: 1000,
};
