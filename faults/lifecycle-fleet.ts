import type { FleetOptions } from './stack/fleet.ts';

/** Few transactions at once, so that there is a middle of a page. The provisioner serves none of the storms' queues. */
export const lifecycleFleet: FleetOptions = { slots: 3, settings: { CODER_LIFECYCLE_CONCURRENCY: '3' } };
export const lifecycleTwice: FleetOptions = { ...lifecycleFleet, controls: 2 };
export const lifecycleRemark = 'a run is one storm of workspaces that are due at once; three transactions at a time';
