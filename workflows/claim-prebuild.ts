import type { BuildWorkspaceInput } from './build-workspace.ts';
import { type JobOutcome, runJob } from './run-job.ts';

/**
 * The build that hands a prebuild to its new owner, and every start after it until one has succeeded: a build like any other, under
 * a name of its own so that operators find claims. Source: spec/03 §11.
 */
export async function claimPrebuild(input: BuildWorkspaceInput): Promise<JobOutcome> {
  return runJob(input);
}
