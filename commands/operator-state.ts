import { authorize, templateObject } from '../domain/authorization.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import type { Db } from '../db/client.ts';
import { type AuditOrigin, insertAudit } from '../db/queries/audit-logs.ts';
import type { PlainState } from '../db/state-contents.ts';
import { findLatestBuild, getBuildTemplate } from '../db/queries/workspace-builds.ts';
import { type WorkspaceRow, findWorkspaceIncludingDeleted, lockWorkspace } from '../db/queries/workspaces.ts';
import { parseState } from '../terraform/state.ts';
import type { CommandDeps } from './deps.ts';

export type StateDeps = Pick<CommandDeps, 'db' | 'cipher' | 'now'>;

/** Only those who may update the template see or set states; for everybody else they do not exist (spec/06 §9). */
export async function authorizeBuildState(db: Db, subject: Subject, buildId: string): Promise<void> {
  try {
    authorize(subject, 'update', templateObject(await getBuildTemplate(db, buildId)));
  } catch {
    throw notFound();
  }
}

/** The workspace, deleted ones too: what a delete has left behind is looked for in its states. Throws NOT_FOUND. */
export async function getStateWorkspace(db: Db, subject: Subject, workspaceId: string): Promise<WorkspaceRow> {
  const workspace = await findWorkspaceIncludingDeleted(db, workspaceId);
  if (workspace?.latestBuildId === undefined || workspace.latestBuildId === null) throw notFound();
  await authorizeBuildState(db, subject, workspace.latestBuildId);
  return workspace;
}

/**
 * Locks the workspace for a change of its state by hand. Throws GONE when it is deleted, CONFLICT while a build is active: its
 * run would go on from what it has read, and overwrite the world behind the new state. Answers the latest build.
 */
export async function lockForStateChange(
  tx: Db,
  workspaceId: string,
): Promise<{ workspace: WorkspaceRow; latestBuildId: string }> {
  const workspace = await lockWorkspace(tx, workspaceId);
  const latest = await findLatestBuild(tx, workspaceId);
  if (workspace === undefined || latest === undefined) throw notFound();
  if (workspace.deleted) throw new DomainError('GONE', 'The workspace is deleted');
  if (latest.active)
    throw new DomainError('CONFLICT', 'A build of this workspace is active: its state cannot be changed now', {
      detail: 'Wait until it has finished, or cancel it.',
    });
  return { workspace, latestBuildId: latest.id };
}

/** A state given by an operator must at least be one. Throws INVALID_INPUT naming `state`. */
export function readOperatorState(bytes: Buffer): PlainState {
  if (bytes.length === 0) return { bytes, serial: 0, lineage: '' };
  const parsed = parseState(bytes);
  if (parsed === null) throw invalidField('state', 'not a Terraform state');
  return { bytes, serial: parsed.serial, lineage: parsed.lineage };
}

/** Who gives a state; a background actor is no row of `users`. */
export const authorOf = (subject: Subject): string | null => (subject.kind === 'user' ? subject.id : null);

export async function auditState(
  db: Db,
  deps: StateDeps,
  input: {
    readonly workspace: WorkspaceRow;
    readonly buildId: string;
    readonly origin: AuditOrigin;
    readonly statusCode?: number;
    readonly fields: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  const { workspace, buildId, origin, statusCode, fields } = input;
  await insertAudit(db, {
    origin,
    time: deps.now(),
    resourceType: 'workspace_build',
    resourceId: buildId,
    resourceTarget: workspace.name,
    action: 'write',
    organizationId: workspace.organizationId,
    ...(statusCode !== undefined && { statusCode }),
    additionalFields: { workspace_name: workspace.name, workspace_id: workspace.id, ...fields },
  });
}
