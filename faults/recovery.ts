import type { JobRow, JobWatch } from './job-watch.ts';

/** How a scenario tells that a job is in good hands again: somebody holds it (`held`), or it has come to its end (`over`). */
export type RecoverySign = 'held' | 'over';

/** Measures from now, the moment of the fault, until the job recovers. */
export interface RecoveryMeasurement {
  /** Leases that are renewed from now on were renewed after the fault. */
  faultEnded(): void;
  /** Milliseconds; null when the job was not running at the fault, or did not recover. Ends the measurement. */
  result(): number | null;
}

const isAtWork = ({ status }: JobRow): boolean => status === 'running' || status === 'canceling';

/** Whether `now` shows a job that was lost by nobody: a later attempt, a lease newer than at the fault's end, or its end. */
export const hasRecovered = (
  sign: RecoverySign,
  { atFault, atFaultEnd, now }: { atFault: JobRow; atFaultEnd: JobRow | undefined; now: JobRow },
): boolean =>
  now.over ||
  (sign === 'held' &&
    (now.attempt > atFault.attempt || (atFaultEnd !== undefined && now.leaseUntilMs > atFaultEnd.leaseUntilMs)));

export function measureRecovery(watch: JobWatch, jobId: string, sign: RecoverySign): RecoveryMeasurement {
  const beganAt = performance.now();
  const atFault = watch.row(jobId);
  let atFaultEnd: JobRow | undefined;
  let recoveredAfter: number | null = null;
  const stop = watch.onChange(jobId, (now) => {
    if (recoveredAfter !== null || atFault === undefined) return;
    if (hasRecovered(sign, { atFault, atFaultEnd, now })) recoveredAfter = performance.now() - beganAt;
  });
  return {
    faultEnded: () => void (atFaultEnd = watch.row(jobId)),
    result() {
      stop();
      return atFault !== undefined && isAtWork(atFault) ? recoveredAfter : null;
    },
  };
}
