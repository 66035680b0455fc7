import { heartbeat } from '@temporalio/activity';
import { renameSync, writeFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { type HeldBy, heartbeat as beats, resumeWithinMs } from '../domain/lease.ts';
import { renewLease } from '../db/queries/job-attempts.ts';
import { findJob } from '../db/queries/provisioner-jobs.ts';
import type { ProvisionerDeps } from './deps.ts';

/** What Temporal remembers of a delivery, for when its worker is lost. */
export const heldBy = ({ hostId, lease }: Pick<ProvisionerDeps, 'hostId' | 'lease'>): HeldBy => ({
  hostId,
  resumeWithinMs: resumeWithinMs(lease),
});

/** Milliseconds since boot, also those in which the machine slept. The shim compares with the same clock. */
export const bootClockMs = (): number => Math.round(uptime() * 1000);

/** Tells the shim how long it may let Terraform run. */
export const leaseFile = (jobDirectory: string): string => join(jobDirectory, 'lease');

/** Whole or not at all: the shim may read it at any moment. */
export function writeLease(jobDirectory: string, until: number): void {
  const path = leaseFile(jobDirectory);
  writeFileSync(`${path}.draft`, JSON.stringify({ until }), { mode: 0o600 });
  renameSync(`${path}.draft`, path);
}

type LeaseDeps = Pick<ProvisionerDeps, 'db' | 'hostId' | 'lease'>;

/**
 * Renews the lease for `leaseMs` and hands it on to the shim, counted from before the statement was sent. `canceled` was read
 * back from the row; undefined = the attempt is fenced. Rejects when the database is away.
 */
export async function extendLease(
  deps: LeaseDeps,
  job: { readonly id: string; readonly attempt: number; readonly directory: string; readonly leaseMs: number },
): Promise<{ canceled: boolean } | undefined> {
  const sentAt = bootClockMs();
  const renewed = await renewLease(deps.db, { jobId: job.id, attempt: job.attempt, leaseMs: job.leaseMs });
  if (renewed !== undefined) writeLease(job.directory, sentAt + job.leaseMs);
  return renewed;
}

export interface JobLease {
  stop(): void;
}

/**
 * Heartbeats to Temporal every 2 s and renews the lease in PostgreSQL every 5 s. The renewal reads a cancel back from the
 * row, so a lost cancel call delays by at most 5 s. While the database is away nothing is renewed, and the shim stops
 * Terraform when the lease is over: another host may take the job then. Source: spec/02 §5.8.
 */
export function startJobLease(
  deps: LeaseDeps,
  job: { readonly id: string; readonly attempt: number; readonly directory: string },
  on: { readonly canceled: () => void; readonly fenced: () => void },
): JobLease {
  const { renewEveryMs, durationMs } = deps.lease;
  let renewing = false;
  const beat = () => heartbeat(heldBy(deps));
  const renew = async () => {
    if (renewing) return;
    renewing = true;
    try {
      const renewed = await extendLease(deps, { ...job, leaseMs: durationMs });
      if (renewed === undefined) on.fenced();
      else if (renewed.canceled) on.canceled();
    } catch {
      // Away: the next renewal tries again.
    } finally {
      renewing = false;
    }
  };
  beat();
  const beating = setInterval(beat, beats.everyMs);
  const renewal = setInterval(() => void renew(), renewEveryMs);
  return {
    stop() {
      clearInterval(beating);
      clearInterval(renewal);
    },
  };
}

/**
 * Whether the attempt that fenced this one runs on this host: then Terraform is that attempt's to watch, and must be left
 * alone.
 */
export async function isTakenOnThisHost(deps: LeaseDeps, jobId: string): Promise<boolean> {
  const job = await findJob(deps.db, jobId);
  return job !== undefined && job.completedAt === null && job.hostId === deps.hostId;
}
