import { authorizeWorkspace } from '../domain/authorization.ts';
import type { Repetition } from '../domain/build-repairs.ts';
import { notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import type { Db } from '../db/client.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { findBuild } from '../db/queries/workspace-builds.ts';
import { findWorkspaceIncludingDeleted } from '../db/queries/workspaces.ts';
import type { CommandDeps } from './deps.ts';
import type { IdempotentRequest } from './idempotency.ts';
import { createRequestBuild } from './request-build.ts';

interface RepeatOptions {
  readonly origin: AuditOrigin;
  readonly idempotency?: IdempotentRequest | undefined;
}

/**
 * Requests the latest build of a workspace again after it failed or was canceled: same transition, version, preset and values.
 * Throws CONFLICT saying why when it is another build or has another end. Returns the new build's id.
 */
export const createRetryBuild = (deps: CommandDeps) =>
  async function retryBuild(subject: Subject, input: RepeatOptions & { buildId: string }): Promise<string> {
    return repeat(deps, subject, { ...input, as: 'retry' });
  };

/**
 * Requests a build that only reads the world into the state. Throws CONFLICT saying why unless the latest build is a start or
 * stop that succeeded, or a refresh that did not. Returns the new build's id.
 */
export const createRefreshWorkspace = (deps: CommandDeps) =>
  async function refreshWorkspace(subject: Subject, input: RepeatOptions & { workspaceId: string }): Promise<string> {
    const workspace = await readableWorkspace(deps.db, subject, input.workspaceId);
    if (workspace.latestBuildId === null) throw notFound();
    return repeat(deps, subject, { ...input, buildId: workspace.latestBuildId, as: 'refresh' });
  };

/** Whether it may be repeated is decided under the workspace's lock; here only what never changes of a build is read. */
async function repeat(
  deps: CommandDeps,
  subject: Subject,
  input: RepeatOptions & { buildId: string; as: Repetition },
): Promise<string> {
  const { buildId, as, origin, idempotency } = input;
  const build = await findBuild(deps.db, buildId);
  if (build === undefined) throw notFound();
  const { workspaceId, transition } = build;
  await readableWorkspace(deps.db, subject, workspaceId);
  const made = await createRequestBuild(deps)(subject, {
    workspaceId,
    transition,
    richParameterValues: [],
    orphan: false,
    debug: false,
    reason: 'initiator',
    dryRun: false,
    repeat: { buildId, as },
    origin,
    idempotency,
  });
  if (typeof made !== 'string') throw new Error('a repeated build is never a dry run');
  return made;
}

async function readableWorkspace(db: Db, subject: Subject, workspaceId: string) {
  const workspace = await findWorkspaceIncludingDeleted(db, workspaceId);
  if (workspace === undefined) throw notFound();
  authorizeWorkspace(subject, 'read', workspace);
  return workspace;
}
