import type { Logger } from '../telemetry/logger.ts';
import type { Db } from '../db/client.ts';
import type { PrebuildStage } from '../domain/claims.ts';
import { markWorkflowStarted, markWorkflowsStarted } from '../db/queries/provisioner-jobs.ts';
import type { BuildWorkspaceInput } from '../workflows/build-workspace.ts';
import type { ImportTemplateVersionInput } from '../workflows/import-template-version.ts';
import type { JobWorkflowInput } from '../workflows/run-job.ts';
import { taskQueueOf } from './task-queue.ts';
import type { TemporalStarter, WorkflowStart } from './temporal.ts';

/** What tells a job's workflow start: known to the command that inserted it, read back by the sweep. */
export interface JobFacts {
  readonly jobId: string;
  readonly workflowId: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly priority: number;
  readonly kind:
    | {
        readonly type: 'workspace_build';
        readonly buildId: string;
        readonly buildNumber: number;
        readonly transition: string;
        readonly reason: string;
        readonly prebuildStage: PrebuildStage;
        readonly workspaceName: string;
        readonly ownerName: string;
        readonly templateName: string;
      }
    | {
        readonly type: 'template_version_import';
        readonly templateVersionId: string;
        readonly versionName: string;
        readonly ownerName: string;
      }
    | { readonly type: 'template_version_dry_run'; readonly versionName: string; readonly ownerName: string };
}

/** Workflow type, input, summary and search attributes of a job. Pure. */
export function jobWorkflowStart(facts: JobFacts): WorkflowStart {
  const { kind, jobId, priority, workflowId } = facts;
  const job: JobWorkflowInput = { jobId, taskQueue: taskQueueOf(facts.tags), priority };
  const common = { workflowId, priority };
  switch (kind.type) {
    case 'workspace_build':
      return {
        ...common,
        workflowType: kind.prebuildStage === 'claim' ? 'claimPrebuild' : 'buildWorkspace',
        input: { ...job, buildId: kind.buildId } satisfies BuildWorkspaceInput,
        summary: `${kind.prebuildStage === 'claim' ? 'claim' : kind.transition} ${kind.ownerName}/${kind.workspaceName} #${kind.buildNumber} (${kind.reason})`,
        searchAttributes: {
          BerthWorkspace: `${kind.ownerName}/${kind.workspaceName}`,
          BerthOwner: kind.ownerName,
          BerthTemplate: kind.templateName,
          BerthTransition: kind.transition,
          BerthReason: kind.reason,
          BerthJobStatus: 'pending',
        },
      };
    case 'template_version_import':
      return {
        ...common,
        workflowType: 'importTemplateVersion',
        input: { ...job, templateVersionId: kind.templateVersionId } satisfies ImportTemplateVersionInput,
        summary: `import template version ${kind.versionName}`,
        searchAttributes: { BerthOwner: kind.ownerName, BerthTemplate: kind.versionName, BerthJobStatus: 'pending' },
      };
    case 'template_version_dry_run':
      return {
        ...common,
        workflowType: 'dryRunTemplateVersion',
        input: job,
        summary: `dry run of template version ${kind.versionName}`,
        searchAttributes: { BerthOwner: kind.ownerName, BerthTemplate: kind.versionName, BerthJobStatus: 'pending' },
      };
  }
}

/**
 * Starts the job's workflow after the commit of its row. Never throws: the pending row is the outbox, and the sweep starts
 * what could not be started now (Temporal down, this process killed). `again` also replaces a workflow that was closed: the
 * take lets no job run twice. Source: design §1.
 */
export async function startJob(
  deps: { db: Db; temporal: TemporalStarter; logger: Logger },
  facts: JobFacts,
  options: { again?: boolean } = {},
): Promise<boolean> {
  try {
    await deps.temporal.start({ ...jobWorkflowStart(facts), ...options });
    await markWorkflowStarted(deps.db, facts.jobId);
    return true;
  } catch (err) {
    deps.logger.warn({ err, workflow_id: facts.workflowId }, 'workflow not started now, the sweep will start it');
    return false;
  }
}

/** Starts in flight at once: the server answers each in milliseconds, one after another they would take long. */
const startsAtOnce = 16;

/**
 * The same for many: the starts go side by side, and one statement remembers them all. When none of
 * the first can be started, Temporal is away and the others are left to the sweep as well. Answers how many were started.
 */
export async function startJobs(
  deps: { db: Db; temporal: TemporalStarter; logger: Logger },
  jobs: readonly JobFacts[],
  options: { again?: boolean } = {},
): Promise<number> {
  const started: string[] = [];
  let next = 0;
  let failures = 0;
  const starter = async () => {
    for (let facts = jobs[next++]; facts !== undefined; facts = jobs[next++])
      try {
        await deps.temporal.start({ ...jobWorkflowStart(facts), ...options });
        started.push(facts.jobId);
      } catch (err) {
        deps.logger.warn({ err, workflow_id: facts.workflowId }, 'workflow not started now, the sweep will start it');
        failures += 1;
        if (started.length === 0 && failures >= startsAtOnce) next = jobs.length;
      }
  };
  await Promise.all(Array.from({ length: Math.min(startsAtOnce, jobs.length) }, starter));
  await markWorkflowsStarted(deps.db, started);
  return started.length;
}

/**
 * Starts jobs whose askers have their answer already: one batch after the other, so that a crowd of them neither overruns a busy
 * server nor takes all from those who still wait. What comes meanwhile makes the next batches.
 */
export function createBackgroundStarts(deps: { db: Db; temporal: TemporalStarter; logger: Logger }) {
  const waiting: JobFacts[] = [];
  let running = false;
  return async function startSoon(facts: JobFacts): Promise<void> {
    waiting.push(facts);
    if (running) return;
    running = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, 2 * startsAtOnce);
      await startJobs(deps, batch).catch((err: unknown) =>
        deps.logger.warn({ err, jobs: batch.length }, 'not known whether these were started, the sweep will ask'),
      );
    }
    running = false;
  };
}
