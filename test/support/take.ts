import { randomUUID } from 'node:crypto';
import type { Db } from '../../db/client.ts';
import { takeJob } from '../../db/queries/job-attempts.ts';
import { defaultLease } from '../../domain/lease.ts';

/** Takes a job as a provisioner worker of this host does. */
export const takeAs = (db: Db, jobId: string, hostId = 'h') =>
  takeJob(db, {
    jobId,
    hostId,
    workerId: randomUUID(),
    leaseMs: defaultLease.durationMs,
    takeOverAfterMs: defaultLease.takeOverAfterMs,
  });
