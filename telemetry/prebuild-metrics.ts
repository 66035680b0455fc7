import { Counter, Gauge } from 'prom-client';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';
import type { WorkspaceOrigin } from './prebuild-events.ts';

const refreshMs = 60_000;

/** What the database says of pools and of workspaces that come from none. */
export interface PrebuildState {
  readonly paused: boolean;
  readonly pools: readonly (WorkspaceOrigin & {
    readonly desired: number;
    readonly running: number;
    readonly eligible: number;
    readonly status: 'normal' | 'hard_limited' | 'validation_failed';
  })[];
  readonly totals: readonly (WorkspaceOrigin & {
    readonly created: number;
    readonly failed: number;
    readonly claimed: number;
    readonly replacements: number;
  })[];
  readonly creations: readonly (WorkspaceOrigin & { readonly count: number })[];
}

export interface PrebuildMetricsDeps {
  readonly metrics: Pick<Metrics, 'registry' | 'snapshotFailed'>;
  readonly logger: Logger;
  readonly read: (at: Date) => Promise<PrebuildState>;
  now(): Date;
}

export interface PrebuildMetrics {
  /** Reads the database now; it happens each minute anyway. Never rejects. */
  refresh(): Promise<void>;
  close(): void;
}

type Value = readonly [WorkspaceOrigin, number];

/**
 * The state of all pools, read at the start and then each minute, whoever asks for the page and whether or not the reconciler is
 * paused. The page shows what was read last: a series whose preset is gone goes with it. Source: spec/03 §16.
 */
export function createPrebuildMetrics({ metrics, logger, read, now }: PrebuildMetricsDeps): PrebuildMetrics {
  let state: PrebuildState | undefined;
  let updatedAt = 0;
  let reading: Promise<void> | undefined;
  const registers = [metrics.registry];

  const family = (kind: 'gauge' | 'counter', name: string, help: string, values: (of: PrebuildState) => Value[]) => {
    const shown = { name, help, labelNames: ['template_name', 'preset_name', 'organization_name'] as const, registers };
    const labels = ({ templateName, presetName, organizationName }: WorkspaceOrigin) => ({
      template_name: templateName,
      preset_name: presetName,
      organization_name: organizationName,
    });
    const current = () => (state === undefined ? [] : values(state));
    if (kind === 'gauge')
      new Gauge({
        ...shown,
        collect() {
          this.reset();
          for (const [origin, value] of current()) this.set(labels(origin), value);
        },
      });
    else
      new Counter({
        ...shown,
        collect() {
          this.reset();
          for (const [origin, value] of current()) this.inc(labels(origin), value);
        },
      });
  };
  const pools = (value: (pool: PrebuildState['pools'][number]) => number) => (of: PrebuildState) =>
    of.pools.map((pool): Value => [pool, value(pool)]);
  const poolsThatAre = (status: 'hard_limited' | 'validation_failed') => (of: PrebuildState) =>
    of.pools.filter((pool) => pool.status === status).map((pool): Value => [pool, 1]);
  const totals = (value: (total: PrebuildState['totals'][number]) => number) => (of: PrebuildState) =>
    of.totals.map((total): Value => [total, value(total)]);

  const prefix = 'coderd_prebuilt_workspaces';
  family(
    'counter',
    `${prefix}_created_total`,
    'Prebuilds ever made.',
    totals(({ created }) => created),
  );
  family(
    'counter',
    `${prefix}_failed_total`,
    'Of these, those whose first build failed.',
    totals(({ failed }) => failed),
  );
  family(
    'counter',
    `${prefix}_claimed_total`,
    'Of these, those that people have got.',
    totals(({ claimed }) => claimed),
  );
  family(
    'counter',
    `${prefix}_resource_replacements_total`,
    'Claims in which Terraform replaced a resource.',
    totals(({ replacements }) => replacements),
  );
  family(
    'gauge',
    `${prefix}_desired`,
    'Prebuilds wanted now.',
    pools(({ desired }) => desired),
  );
  family(
    'gauge',
    `${prefix}_running`,
    'Prebuilds that run.',
    pools(({ running }) => running),
  );
  family(
    'gauge',
    `${prefix}_eligible`,
    'Of these, those ready to be claimed.',
    pools(({ eligible }) => eligible),
  );
  family(
    'gauge',
    `${prefix}_preset_hard_limited`,
    '1 while the pool is given up because its builds fail.',
    poolsThatAre('hard_limited'),
  );
  family(
    'gauge',
    `${prefix}_preset_validation_failed`,
    '1 while the pool is given up because its builds cannot be requested.',
    poolsThatAre('validation_failed'),
  );
  family('counter', 'coderd_workspace_creation_total', 'Workspaces ever made that come from no pool.', (of) =>
    of.creations.map((creation): Value => [creation, creation.count]),
  );
  new Gauge({
    name: `${prefix}_reconciliation_paused`,
    help: '1 while the reconciliation of pools is paused.',
    registers,
    collect() {
      this.set(state?.paused === true ? 1 : 0);
    },
  });
  new Gauge({
    name: `${prefix}_metrics_last_updated`,
    help: 'When the state of pools was read, in seconds since 1970; 0 = not yet.',
    registers,
    collect() {
      this.set(updatedAt);
    },
  });

  const refresh = () =>
    // A database that does not answer is not asked twice at once.
    (reading ??= read(now())
      .then((found) => {
        state = found;
        updatedAt = Math.floor(now().getTime() / 1_000);
      })
      .catch((err: unknown) => {
        metrics.snapshotFailed('prebuilds');
        logger.warn({ err, snapshot: 'prebuilds' }, 'metrics were not read from the database');
      })
      .finally(() => (reading = undefined)));
  void refresh();
  const timer = setInterval(() => void refresh(), refreshMs);
  timer.unref();
  return { refresh, close: () => clearInterval(timer) };
}
