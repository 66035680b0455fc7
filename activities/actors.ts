import { Context } from '@temporalio/activity';
import { randomUUID } from 'node:crypto';
import type { ActorName } from '../domain/actor-permissions.ts';
import { buildRunner, jobJanitor, templateImporter } from '../domain/actors.ts';
import { authorize, authorizeWorkspace } from '../domain/authorization.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import type { Subject } from '../domain/subject.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import type { BuildRun } from '../db/queries/workspace-builds.ts';
import type { Activities } from './index.ts';
import type { JobRun } from './job-run.ts';

/**
 * Which named actors an activity type may act as. An activity without an entry does not compile: there is no background
 * work without an actor, and no catch-all one. Payloads cannot choose it. Source: spec/07 §8.
 */
export const activityActors: Readonly<Record<keyof Activities, readonly ActorName[]>> = {
  runTerraform: ['build-runner', 'template-importer'],
  finishJob: ['job-janitor'],
  sweepPendingJobs: ['job-janitor'],
  // Logs and statistics have no resource type of their own: its statements (db/queries/upkeep.ts) are all that it may do there.
  runUpkeep: ['purger', 'autobuild'],
  planPrebuildCycle: ['prebuilds-orchestrator'],
  reconcilePools: ['prebuilds-orchestrator'],
  runLifecyclePage: ['autobuild'],
};

/** Acts for one build: bound to its workspace, job and owner, and checked before Terraform or a row is touched. */
export function actAsBuildRunner(run: JobRun, found: BuildRun): Subject {
  const { workspace, build } = found;
  const { organizationId, ownerId } = workspace;
  const actor = buildRunner({
    workspaceId: workspace.id,
    buildId: build.id,
    jobId: run.job.id,
    ownerId,
    organizationId,
  });
  authorize(actor, 'update', { type: 'provisioner_jobs', id: run.job.id, organizationId });
  const row = { id: workspace.id, ownerId, organizationId, dormantAt: workspace.dormantAt, userAcl: {}, groupAcl: {} };
  authorizeWorkspace(actor, build.transition, row);
  return actor;
}

/** Acts for one import or dry run of a version. */
export function actAsTemplateImporter(run: JobRun, versionId: string): Subject {
  const { organizationId } = run.job;
  const actor = templateImporter({ versionId, jobId: run.job.id, organizationId });
  authorize(actor, 'update', { type: 'provisioner_jobs', id: run.job.id, organizationId });
  authorize(actor, 'read', { type: 'file', id: run.job.fileId });
  return actor;
}

/** Acts for the sweep and for jobs that no run can end. */
export function actAsJobJanitor(jobId: string): Subject {
  const actor = jobJanitor();
  authorize(actor, 'update', { type: 'provisioner_jobs', id: jobId });
  return actor;
}

/** Where a background activity's audit rows come from: its workflow. Source: spec/07 §11. */
export function originOfActor(actor: ActorName): AuditOrigin {
  const { workflowType, workflowExecution } = Context.current().info;
  return {
    requestId: workflowExecution?.runId ?? randomUUID(),
    ip: null,
    userAgent: `temporal/${workflowType ?? ''}`,
    userId: PREBUILDS_SYSTEM_USER_ID,
    actor,
  };
}

/** What the clock does is shown as done by the owner, from the deployment itself. Source: spec/04 §5. */
export function originsOfOwners(): (ownerId: string) => AuditOrigin {
  const origin = originOfActor('autobuild');
  return (userId) => ({ ...origin, userId, ip: '127.0.0.1' });
}
