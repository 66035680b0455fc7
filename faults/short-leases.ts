import type { Settings } from './stack/fleet.ts';

/** Leases that run out within seconds, so that another host may continue a job within a round. */
export const shortLeases: Settings = {
  BERTH_LEASE_RENEWAL: '1s',
  BERTH_LEASE_DURATION: '4s',
  BERTH_LEASE_KILL_GRACE: '3s',
  BERTH_LEASE_TAKE_OVER: '6s',
};

/** From the last renewal until another host may take a job. */
export const takeOverMs = 10_000;

export const shortLeasesRemark = 'short leases: renewed every 1 s, 4 s long, kill grace 3 s, take-over after 6 s more';
