import { type JobFacts, startJobs } from '../commands/start-job.ts';
import { taskQueueOf } from '../commands/task-queue.ts';
import { transaction } from '../db/client.ts';
import { notifyJobEnd } from '../db/notifications.ts';
import { matchProvisioners } from '../db/queries/provisioner-daemons.ts';
import { listBuildFacts, listImportFacts } from '../db/queries/job-facts.ts';
import { endJob } from '../db/queries/provisioner-jobs.ts';
import {
  type SweptJob,
  forgetWorkflows,
  listOldPendingJobs,
  listSuspectJobs,
  listUnstartedJobs,
} from '../db/queries/swept-jobs.ts';
import type { SweepResult } from '../workflows/sweep-pending-jobs.ts';
import { reportUnsettled } from '../db/queries/workspace-builds.ts';
import { actAsJobJanitor } from './actors.ts';
import type { ControlDeps } from './deps.ts';
import { closeBuild } from './job-end.ts';

const pageSize = 500;
const budgetMs = 10_000;

/**
 * Starts what has no workflow, 500 at a time until none is left or 10 s are over, then compares suspicious jobs with
 * Temporal: workflow gone → start again if never taken, else fail with the last state, so that no workspace stays locked.
 */
export const createSweepPendingJobs = (deps: ControlDeps) =>
  async function sweepPendingJobs(): Promise<SweepResult> {
    const until = Date.now() + budgetMs;
    const suspects = await listSuspectJobs(deps.db, pageSize);
    const lost: SweptJob[] = [];
    for (const job of suspects) if (!(await deps.isWorkflowOpen(job.workflowId))) lost.push(job);
    const neverTaken = lost.filter((job) => job.startedAt === null);
    await forgetWorkflows(
      deps.db,
      neverTaken.map((job) => job.id),
    );
    const taken = lost.filter((job) => job.startedAt !== null);
    for (const job of taken) await endLost(deps, job, gone);
    const deserted = await listDeserted(deps);
    for (const job of deserted) {
      await endLost(deps, job, noWorker);
      await deps.temporal.cancel(job.workflowId);
    }
    let started = 0;
    for (;;) {
      const page = await listUnstartedJobs(deps.db, pageSize);
      const begun = await startJobs(deps, await factsOf(deps, page), { again: true });
      started += begun;
      // A page without a single start means that Temporal is away: the next run tries again.
      if (page.length < pageSize || begun === 0 || Date.now() > until) break;
    }
    return { started, restarted: neverTaken.length, ended: taken.length + deserted.length };
  };

const gone = 'The build made no progress and was stopped: its workflow is gone. The last saved state is kept.';
const noWorker = 'No provisioner has served the tags of this job for too long.';

/** Jobs that nobody will take: they have waited for long and no live worker polls their queue. */
async function listDeserted(deps: ControlDeps): Promise<SweptJob[]> {
  if (deps.pendingJobTimeoutMs === 0) return [];
  const old = await listOldPendingJobs(deps.db, deps.pendingJobTimeoutMs, pageSize);
  const queues = new Map<string, boolean>();
  for (const queue of new Set(old.map((job) => taskQueueOf(job.tags))))
    queues.set(queue, (await matchProvisioners(deps.db, queue)).available > 0);
  return old.filter((job) => queues.get(taskQueueOf(job.tags)) === false);
}

async function endLost(deps: ControlDeps, job: SweptJob, error: string): Promise<void> {
  actAsJobJanitor(job.id);
  await transaction(deps.db, async (tx) => {
    // A worker may have taken it since it was listed: then it is not lost.
    if (!(await endJob(tx, { jobId: job.id, canceled: false, error, attempt: job.attempt }))) return;
    await reportUnsettled(tx, job.id);
    await closeBuild(tx, job.input.workspace_build_id, {
      started: job.startedAt !== null,
      canceled: false,
    });
    await notifyJobEnd(tx, job.id, job.input.workspace_build_id);
  });
}

async function factsOf(deps: ControlDeps, jobs: readonly SweptJob[]): Promise<JobFacts[]> {
  const idsOf = (type: SweptJob['type']) => jobs.filter((job) => job.type === type).map((job) => job.id);
  const builds = (await listBuildFacts(deps.db, idsOf('workspace_build'))).map(
    ({ jobId, workflowId, tags, priority, ...kind }): JobFacts => ({
      jobId,
      workflowId,
      tags,
      priority,
      kind: { type: 'workspace_build', ...kind },
    }),
  );
  const imports = (await listImportFacts(deps.db, idsOf('template_version_import'))).map(
    ({ jobId, workflowId, tags, priority, ...kind }): JobFacts => ({
      jobId,
      workflowId,
      tags,
      priority,
      kind: { type: 'template_version_import', ...kind },
    }),
  );
  const dryRuns = jobs
    .filter((job) => job.type === 'template_version_dry_run')
    .map((job): JobFacts => ({
      jobId: job.id,
      workflowId: job.workflowId,
      tags: job.tags,
      priority: job.priority,
      kind: { type: 'template_version_dry_run', versionName: '', ownerName: '' },
    }));
  return [...builds, ...imports, ...dryRuns];
}
