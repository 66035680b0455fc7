import { sweep } from './policies.ts';

export interface SweepResult {
  readonly started: number;
  readonly restarted: number;
  readonly ended: number;
}

/**
 * Starts the workflows of pending jobs that have none (a process died between commit and start, or Temporal was away) and
 * repairs jobs whose workflow is gone. Its result is what an operator sees in the schedule's runs. Source: design §1.
 */
export async function sweepPendingJobs(): Promise<SweepResult> {
  return sweep.sweepPendingJobs();
}
