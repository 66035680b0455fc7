import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the clock does to workspaces. Source: spec/04 §2.7. */
export function lifecycleEvents(registers: Registry[]) {
  const seconds = new Histogram({
    name: 'coderd_lifecycle_autobuild_execution_duration_seconds',
    help: 'Time of one tick, from its start to the end of its last page.',
    registers,
  });
  const due = new Gauge({
    name: 'coderd_lifecycle_due_workspaces',
    help: 'Workspaces that the last tick found, by what they seemed due for.',
    labelNames: ['action'] as const,
    registers,
  });
  const skipped = new Counter({
    name: 'coderd_lifecycle_skipped_total',
    help: 'Workspaces that were found and not acted on.',
    labelNames: ['reason'] as const,
    registers,
  });
  const lag = new Gauge({
    name: 'coderd_lifecycle_tick_lag_seconds',
    help: 'How much later than scheduled the last tick began.',
    registers,
  });
  return {
    lifecycleTick: ({ lagSeconds }: { readonly lagSeconds: number }): void => lag.set(lagSeconds),
    /** `due` and `seconds` come with the last page of a tick. */
    lifecyclePage(page: {
      readonly skipped: Readonly<Record<string, number>>;
      readonly due?: Readonly<Record<string, number>>;
      readonly seconds?: number;
    }): void {
      for (const [reason, count] of Object.entries(page.skipped)) skipped.inc({ reason }, count);
      if (page.seconds !== undefined) seconds.observe(Math.max(0, page.seconds));
      if (page.due === undefined) return;
      due.reset();
      for (const [action, count] of Object.entries(page.due)) due.set({ action }, count);
    },
  };
}
