import { upkeep } from './policies.ts';

/** Rows deleted, by kind, and automatic starts that time-zone data has moved. */
export interface UpkeepCounts {
  readonly startsMoved: number;
  readonly agentLogs: number;
  readonly agentStats: number;
  readonly agentRequests: number;
}

export interface UpkeepResult extends UpkeepCounts {
  /** false = its time was over: the next run goes on. */
  readonly finished: boolean;
}

/** Deletes what is kept no longer, and keeps stored starts true to the time zones. Its result is what an operator sees in the schedule's runs. Source: spec/05 §8, §20, spec/08 §6. */
export async function runUpkeep(): Promise<UpkeepResult> {
  return upkeep.runUpkeep();
}
