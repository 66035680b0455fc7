import { type JobOutcome, type JobWorkflowInput, runJob } from './run-job.ts';

export interface BuildWorkspaceInput extends JobWorkflowInput {
  readonly buildId: string;
}

/** One workspace build: start, stop or delete. Source: design §1, spec/02 §1.9. */
export async function buildWorkspace(input: BuildWorkspaceInput): Promise<JobOutcome> {
  return runJob(input);
}
