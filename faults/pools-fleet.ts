import type { FleetOptions } from './stack/fleet.ts';

/** Looks at the pools more often than usual: a kick that was lost with its process costs one interval. */
export const poolsFleet: FleetOptions = {
  slots: 6,
  settings: { CODER_WORKSPACE_PREBUILDS_RECONCILIATION_INTERVAL: '5s' },
};
export const poolsRemark = 'the pools are looked at every 5 s';
