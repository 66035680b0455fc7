/**
 * The lease protocol in one place (spec/02 §5.8): a job belongs to the host that renews its lease; a host that cannot renew
 * stops its Terraform by itself, and only when that must have happened may another host go on.
 */
export interface LeaseTimes {
  /** How often the worker renews. */
  readonly renewEveryMs: number;
  /** How long a renewal lasts; then Terraform gets its one SIGINT. */
  readonly durationMs: number;
  /** From the SIGINT to the SIGKILL. */
  readonly killGraceMs: number;
  /** From the end of the lease until another host may take the job; longer than the grace, for suspended hosts. */
  readonly takeOverAfterMs: number;
}

export const defaultLease: LeaseTimes = {
  renewEveryMs: 5_000,
  durationMs: 60_000,
  killGraceMs: 60_000,
  takeOverAfterMs: 75_000,
};

/** A worker heartbeats to Temporal while it has a job, and is taken for dead after the time-out. */
export const heartbeat = { everyMs: 2_000, timeoutMs: 10_000 } as const;

/** A worker that is told to stop leaves its Terraform running for at most this long: the next one takes it over. */
export const drainLeaseMs = 10 * 60_000;

/** How often a new Terraform may go on from what a lost one has left (design §2). */
export const maxContinuations = 2;

/**
 * How long a lost run is offered to its own host alone, counted from when Temporal notices the loss: what is left of the
 * lease and of the wait behind it (125 s with the defaults). The host has the newest state, and until then no other may take
 * the job anyway.
 */
export const resumeWithinMs = (lease: LeaseTimes): number =>
  Math.max(1_000, lease.durationMs - heartbeat.timeoutMs + lease.takeOverAfterMs);

/** Where a job lies whose worker is gone, and how long only that host is asked to take it up again. */
export interface HeldBy {
  readonly hostId: string;
  readonly resumeWithinMs: number;
}

/** Names what is wrong with a set of times; empty = nothing. */
export function leaseFaults(lease: LeaseTimes): string[] {
  const faults: string[] = [];
  if (lease.renewEveryMs * 2 >= lease.durationMs) faults.push('a lease must last longer than two renewals');
  if (lease.killGraceMs >= lease.takeOverAfterMs) faults.push('the take-over must come after the kill grace');
  return faults;
}
