import { type JobOutcome, type JobWorkflowInput, runJob } from './run-job.ts';

/** Plan of a template version with given parameters; creates nothing. Source: spec/02 §3.3. */
export async function dryRunTemplateVersion(input: JobWorkflowInput): Promise<JobOutcome> {
  return runJob(input);
}
