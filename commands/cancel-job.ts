import { authorizeWorkspace } from '../domain/authorization.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import type { JobStatus } from '../domain/jobs.ts';
import { type Subject, isSiteOwner } from '../domain/subject.ts';
import { type Db, transaction } from '../db/client.ts';
import { jobLogsChannel, jobsChannel, notify, prebuildsChannel, workspacesChannel } from '../db/notifications.ts';
import { type AuditOrigin, insertAudit } from '../db/queries/audit-logs.ts';
import { lockJob, markCanceled } from '../db/queries/provisioner-jobs.ts';
import { type VersionView, findVersionView } from '../db/queries/template-version-views.ts';
import { findBuild, getBuildTemplate } from '../db/queries/workspace-builds.ts';
import { findWorkspaceIncludingDeleted } from '../db/queries/workspaces.ts';
import type { Caller } from './caller.ts';
import type { CommandDeps } from './deps.ts';
import { settleBuild } from './settle-build.ts';
import { authorizeVersion } from './template-row.ts';

type CancelDeps = Pick<CommandDeps, 'db' | 'temporal' | 'logger' | 'now'>;

export interface CancelBuild {
  readonly buildId: string;
  readonly expectStatus?: 'pending' | 'running' | undefined;
  readonly origin: AuditOrigin;
}

/** Cancels a build: a pending one is over at once, a running one gets its interrupt. Source: spec/02 §1.7, spec/06 §9. */
export const createCancelBuild = (deps: CancelDeps) =>
  async function cancelBuild(subject: Subject, input: CancelBuild): Promise<void> {
    const workflowId = await transaction(deps.db, async (tx) => {
      const build = await findBuild(tx, input.buildId);
      const workspace = build === undefined ? undefined : await findWorkspaceIncludingDeleted(tx, build.workspaceId);
      if (build === undefined || workspace === undefined) throw notFound();
      authorizeWorkspace(subject, 'update', workspace);
      const template = await getBuildTemplate(tx, build.id);
      const cancel = await cancelLocked(tx, build.jobId, {
        expectStatus: input.expectStatus,
        mayCancelRunning: template.allowUserCancelWorkspaceJobs || isSiteOwner(subject),
      });
      if (cancel.pending) await settleBuild(tx, build.id, { outcome: 'canceled', started: false });
      await insertAudit(tx, {
        origin: input.origin,
        time: deps.now(),
        resourceType: 'workspace_build',
        resourceId: build.id,
        resourceTarget: workspace.name,
        action: 'write',
        organizationId: workspace.organizationId,
        additionalFields: { workspace_name: workspace.name, build_number: String(build.buildNumber), canceled: true },
      });
      await notify(tx, workspacesChannel, workspace.id);
      // Over at once: nobody else will tell that the pool lacks one.
      if (cancel.pending && workspace.ownerId === PREBUILDS_SYSTEM_USER_ID)
        await notify(tx, prebuildsChannel, workspace.templateId);
      return cancel.workflowId;
    });
    await cancelWorkflow(deps, workflowId);
  };

/** Cancels an import. Needs `update` on the template, or on templates of the organization while there is none. */
export const createCancelImport = (deps: CancelDeps) =>
  async function cancelImport(caller: Caller, versionId: string): Promise<void> {
    const workflowId = await transaction(deps.db, async (tx) => {
      const version = await findVersionView(tx, versionId);
      if (version === undefined) throw notFound();
      authorizeVersion(caller, 'update', version);
      const cancel = await cancelLocked(tx, version.job.id, { mayCancelRunning: true });
      await auditCancel(tx, deps, caller, { version, fields: { canceled: true } });
      return cancel.workflowId;
    });
    await cancelWorkflow(deps, workflowId);
  };

/** Cancels a dry run whose rights the caller has checked. */
export const createCancelDryRun = (deps: CancelDeps) =>
  async function cancelDryRun(caller: Caller, run: { version: VersionView; jobId: string }): Promise<void> {
    const workflowId = await transaction(deps.db, async (tx) => {
      const cancel = await cancelLocked(tx, run.jobId, { mayCancelRunning: true });
      await auditCancel(tx, deps, caller, { version: run.version, fields: { canceled: true, dry_run: run.jobId } });
      return cancel.workflowId;
    });
    await cancelWorkflow(deps, workflowId);
  };

const auditCancel = (
  tx: Db,
  deps: CancelDeps,
  caller: Caller,
  of: { version: VersionView; fields: Record<string, unknown> },
): Promise<void> =>
  insertAudit(tx, {
    origin: caller.origin,
    time: deps.now(),
    resourceType: 'template_version',
    resourceId: of.version.id,
    resourceTarget: of.version.name,
    action: 'write',
    organizationId: of.version.organizationId,
    additionalFields: of.fields,
  });

/** Decides and writes under the job's row lock, so that cancel against take is a clean race (spec/02 §1.7). */
async function cancelLocked(
  tx: Db,
  jobId: string,
  options: { expectStatus?: 'pending' | 'running' | undefined; mayCancelRunning: boolean },
): Promise<{ pending: boolean; workflowId: string }> {
  const job = await lockJob(tx, jobId);
  if (job === undefined) throw notFound();
  assertCancelable(job.status, options.expectStatus);
  const pending = job.status === 'pending';
  if (!pending && !options.mayCancelRunning)
    throw new DomainError('FORBIDDEN', 'The template does not allow its users to cancel a running build');
  await markCanceled(tx, jobId, pending);
  await notify(tx, jobsChannel, jobId);
  if (pending) await notify(tx, jobLogsChannel, jobId);
  return { pending, workflowId: job.workflowId };
}

function assertCancelable(status: JobStatus, expected: 'pending' | 'running' | undefined): void {
  if (status === 'canceling' || status === 'canceled')
    throw new DomainError('INVALID_INPUT', 'The job has been canceled already');
  if (status === 'succeeded' || status === 'failed')
    throw new DomainError('INVALID_INPUT', `The job has finished already (${status})`);
  if (expected !== undefined && status !== expected)
    throw new DomainError('EXPECTATION_FAILED', `The job is ${status}, not ${expected}`);
}

/** The row is the command: when this call is lost, the next lease renewal reads the cancel from the row. */
async function cancelWorkflow(deps: CancelDeps, workflowId: string): Promise<void> {
  try {
    await deps.temporal.cancel(workflowId);
  } catch (err) {
    deps.logger.warn({ err, workflow_id: workflowId }, 'workflow not canceled now, the run will read it from the row');
  }
}
