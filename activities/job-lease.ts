import { heartbeat } from '@temporalio/activity';
import { lease } from '../domain/jobs.ts';
import type { Db } from '../db/client.ts';
import { renewLease } from '../db/queries/provisioner-jobs.ts';

/** Why a run has to stop. */
export type StopReason = 'canceled' | 'fenced' | 'worker-stopped';

export interface JobLease {
  stop(): void;
}

/**
 * Heartbeats to Temporal every 2 s and renews the lease in PostgreSQL every 5 s. The renewal reads a cancel back from the
 * row, so a lost cancel call delays by at most 5 s. A database that is away longer than the lease ends the run: another
 * host may take the job then. Source: spec/02 §5.8.
 */
export function startJobLease(options: {
  db: Db;
  jobId: string;
  attempt: number;
  onStop: (reason: StopReason) => void;
}): JobLease {
  const { db, jobId, attempt, onStop } = options;
  let lastRenewedAt = Date.now();
  let renewing = false;
  const beat = setInterval(() => heartbeat(), lease.heartbeatEveryMs);
  const renew = async () => {
    if (renewing) return;
    renewing = true;
    const sentAt = Date.now();
    try {
      const renewed = await renewLease(db, jobId, attempt);
      if (renewed === undefined) onStop('fenced');
      else {
        lastRenewedAt = sentAt;
        if (renewed.canceled) onStop('canceled');
      }
    } catch {
      if (Date.now() - lastRenewedAt > lease.durationMs) onStop('fenced');
    } finally {
      renewing = false;
    }
  };
  const renewal = setInterval(() => void renew(), lease.renewEveryMs);
  return {
    stop() {
      clearInterval(beat);
      clearInterval(renewal);
    },
  };
}
