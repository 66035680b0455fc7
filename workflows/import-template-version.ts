import { type JobOutcome, type JobWorkflowInput, runJob } from './run-job.ts';

export interface ImportTemplateVersionInput extends JobWorkflowInput {
  readonly templateVersionId: string;
}

/** Import of a template version: parse, plan for start and stop, store what it defines. Source: spec/02 §2. */
export async function importTemplateVersion(input: ImportTemplateVersionInput): Promise<JobOutcome> {
  return runJob(input);
}
