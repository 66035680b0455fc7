import { DomainError, notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import { transaction } from '../db/client.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { type StateVersionRow, findStateFacts, insertStateVersion } from '../db/queries/state-versions.ts';
import { findStateVersion } from '../db/queries/workspace-build-states.ts';
import { packState } from '../db/state-contents.ts';
import { type StateDeps, auditState, authorOf, getStateWorkspace, lockForStateChange } from './operator-state.ts';

export interface RestoreState {
  readonly workspaceId: string;
  readonly version: number;
  /** Also a state of another lineage, that is: of other resources. */
  readonly force: boolean;
  readonly origin: AuditOrigin;
}

/**
 * Makes an earlier version the current state again: a new version of the latest build with the old content. Throws GONE when the
 * workspace is deleted or the content no longer kept, STATE_DAMAGED, CONFLICT while a build is active, for the current version,
 * and for another lineage unless forced.
 */
export const createRestoreState = (deps: StateDeps) =>
  async function restoreState(subject: Subject, input: RestoreState): Promise<StateVersionRow> {
    const { workspaceId } = input;
    await getStateWorkspace(deps.db, subject, workspaceId);
    return transaction(deps.db, async (tx) => {
      const { workspace, latestBuildId: buildId } = await lockForStateChange(tx, workspaceId);
      const current = await findStateFacts(tx, workspaceId);
      const wanted = await findStateFacts(tx, workspaceId, input.version);
      if (current === undefined || wanted === undefined) throw notFound();
      if (wanted.current) throw new DomainError('CONFLICT', `Version ${wanted.version} is the current state already`);
      const content = await findStateVersion(tx, deps.cipher, { workspaceId, version: wanted.version });
      if (content === undefined) throw notFound();
      if (!input.force) assertSameLineage(current, wanted);
      const version = await insertStateVersion(tx, deps.cipher, {
        workspaceId,
        buildId,
        source: 'restore',
        createdBy: authorOf(subject),
        content: await packState(content),
      });
      const fields = { state_restored: wanted.version, state_version: version };
      await auditState(tx, deps, { ...input, workspace, buildId, statusCode: 201, fields });
      return (await findStateFacts(tx, workspaceId, version))!;
    });
  };

/** An empty state has no lineage: it may be followed by any, but taking one back to nothing forgets everything there is. */
function assertSameLineage(current: StateVersionRow, wanted: StateVersionRow): void {
  if (current.lineage === '' || current.lineage === wanted.lineage) return;
  const detail =
    wanted.lineage === ''
      ? 'it is empty: everything that the current state knows would be left behind, unknown to the workspace'
      : `its lineage is ${wanted.lineage}, the current one is ${current.lineage}: what the current state knows would be left behind`;
  throw new DomainError('CONFLICT', `Version ${wanted.version} is not of the same lineage as the current state`, {
    detail,
    validations: [{ field: 'force', detail: 'must be true to restore it all the same' }],
  });
}
