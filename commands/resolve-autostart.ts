import type { Db } from '../db/client.ts';
import { findVersionForBuild, listParameters } from '../db/queries/template-versions.ts';
import { findLatestBuild, listBuildParameters } from '../db/queries/workspace-builds.ts';
import { findWorkspaceIncludingDeleted } from '../db/queries/workspaces.ts';
import { authorizeWorkspace } from '../domain/authorization.ts';
import { carriesOver } from '../domain/carried-parameters.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';

/**
 * Whether the next automatic start would move the workspace to the active version and cannot, because its values do not suffice
 * there. Source: spec/04 §4.2.
 */
export async function hasParameterMismatch(db: Db, subject: Subject, workspaceId: string): Promise<boolean> {
  const workspace = await findWorkspaceIncludingDeleted(db, workspaceId);
  if (workspace === undefined) throw notFound();
  authorizeWorkspace(subject, 'read', workspace);
  if (workspace.deleted) throw new DomainError('GONE', 'The workspace is deleted');
  const latest = await findLatestBuild(db, workspaceId);
  if (latest === undefined) return false;
  const template = (await findVersionForBuild(db, latest.templateVersionId))?.template;
  if (template === undefined || template === null) return false;
  const moves = workspace.automaticUpdates === 'always' || template.requireActiveVersion;
  if (!moves || template.activeVersionId === latest.templateVersionId) return false;
  const [parameters, previous] = await Promise.all([
    listParameters(db, template.activeVersionId),
    listBuildParameters(db, latest.id),
  ]);
  return !carriesOver(parameters, previous);
}
