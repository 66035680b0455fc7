import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Whose workspace it is; an empty preset where there is none. */
export interface WorkspaceOrigin {
  readonly organizationName: string;
  readonly templateName: string;
  readonly presetName: string;
}
const originLabels = ['organization_name', 'template_name', 'preset_name'] as const;
const labelsOf = ({ organizationName, templateName, presetName }: WorkspaceOrigin) => ({
  organization_name: organizationName,
  template_name: templateName,
  preset_name: presetName,
});

export type ClaimMissReason = 'none_ready' | 'parameters' | 'quota' | 'inactive';

/** What pools of prebuilds do, and how long people wait for their workspaces. Source: spec/03 §16, spec/08 §1.2. */
export function prebuildEvents(registers: Registry[]) {
  const claimSeconds = new Histogram({
    name: 'coderd_prebuilt_workspace_claim_duration_seconds',
    help: 'Run time of claim builds that succeeded.',
    labelNames: originLabels,
    buckets: [1, 5, 10, 20, 30, 60, 120, 180, 240, 300],
    registers,
  });
  const creationSeconds = new Histogram({
    name: 'coderd_workspace_creation_duration_seconds',
    help: 'Run time of first builds that succeeded.',
    labelNames: [...originLabels, 'type'] as const,
    buckets: [1, 10, 30, 60, 300, 600, 1800, 3600],
    registers,
  });
  const cycleSeconds = new Histogram({
    name: 'coderd_prebuilds_reconciliation_duration_seconds',
    help: 'Time of one look at all pools, with what was done about them.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  });
  const presets = new Gauge({
    name: 'coderd_prebuilds_reconcile_presets',
    help: 'Presets that the last look at all pools saw, and those that could not be skipped.',
    labelNames: ['kind'] as const,
    registers,
  });
  const actions = new Counter({
    name: 'coderd_prebuilds_actions_total',
    help: 'What was done about pools.',
    labelNames: ['action'] as const,
    registers,
  });
  const misses = new Counter({
    name: 'coderd_prebuilds_claim_misses_total',
    help: 'Workspaces of presets with a pool that had to be built from scratch.',
    labelNames: ['reason'] as const,
    registers,
  });
  const instantClaims = new Counter({
    name: 'coderd_prebuilds_instant_claims_total',
    help: 'Claims that handed the agent over before Terraform had run.',
    registers,
  });
  const drifts = new Counter({
    name: 'coderd_prebuilds_instant_claim_drift_total',
    help: 'Such claims whose Terraform then changed something after all.',
    registers,
  });
  return {
    /** A claim build that succeeded; from its start to its completion. */
    claimed: (seconds: number, origin: WorkspaceOrigin): void => claimSeconds.observe(labelsOf(origin), seconds),
    /** A first build that succeeded: of a pool (`prebuild`), or of a workspace that comes from none. */
    workspaceCreated: (seconds: number, created: WorkspaceOrigin & { readonly type: 'regular' | 'prebuild' }): void =>
      creationSeconds.observe({ ...labelsOf(created), type: created.type }, seconds),
    poolsReconciled(cycle: { readonly seconds: number; readonly total: number; readonly reconciled: number }): void {
      cycleSeconds.observe(cycle.seconds);
      presets.set({ kind: 'total' }, cycle.total);
      presets.set({ kind: 'reconciled' }, cycle.reconciled);
    },
    poolAction: (action: 'create' | 'delete' | 'cancel_pending' | 'backoff', count = 1): void =>
      actions.inc({ action }, count),
    claimMissed: (reason: ClaimMissReason): void => misses.inc({ reason }),
    claimedInstantly: (): void => instantClaims.inc(),
    claimDrifted: (): void => drifts.inc(),
  };
}
